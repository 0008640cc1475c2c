/** Workers that hang: the supervisor notices, ends and replaces them; what only takes long, or was stopped, is left alone. */
import { expect, test } from "bun:test";
import { metricsOf } from "../support/exposition";
import { request } from "../support/frames";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";
import type { FaultOrder } from "./fault-order";

const PROGRAM = new URL("./faulty-server.ts", import.meta.url).pathname;
const PONG = { status: "VALUE", value: Buffer.from("on") } as const;
const PING = request({ op: 10, value: PONG.value });
/** Enough that every worker has some. */
const CLIENTS = 24;

function start(timeout: string): Promise<TestServer> {
  const flags = ["--shards", "1", "--worker-timeout", timeout, "--log-level", "debug"];
  return startServer({ program: PROGRAM, flags });
}

function order(server: TestServer, order: FaultOrder): void {
  server.process.stdin.write(`${JSON.stringify(order)}\n`);
  server.process.stdin.flush();
}

/** The stats that any worker tells, and the metrics of the same. */
async function counted(server: TestServer): Promise<{ hangs: number; restarts: number; metric: string }> {
  const stats = (await (await fetch(`${server.http}/stats`, { keepalive: false })).json()) as {
    workerHangs: number;
    workerRestarts: number;
  };
  const metrics = await (await fetch(`${server.http}/metrics`, { keepalive: false })).text();
  const metric = /^breadbox_worker_hangs_total (\d+)$/m.exec(metrics)?.[1] ?? "none";
  return { hangs: stats.workerHangs, restarts: stats.workerRestarts, metric };
}

test("a worker that hangs is ended and replaced; connections of the others go on", async () => {
  const server = await start("1s");
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => WireClient.connect(server.ws)));
  order(server, { worker: 0, fault: "hang" });
  await server.logged("worker 0 hangs: silent for 1 s");
  await server.loggedTimes("worker 0 serves", 2);
  expect(await counted(server)).toEqual({ hangs: 1, restarts: 1, metric: "1" });
  const outcomes = await Promise.allSettled(clients.map((client) => client.ask(PING)));
  const alive = outcomes.filter((outcome) => outcome.status === "fulfilled");
  for (const { value } of alive) expect(value).toEqual([PONG]);
  expect(alive.length).toBeGreaterThan(0);
  expect(alive.length).toBeLessThan(CLIENTS);
  expect(await server.stop()).toBe(0);
});

test("one that hangs holding a lock is ended, not those that wait for it; the shard comes back with all it had", async () => {
  const server = await start("1s");
  const put = request({ op: 2, key: "kept", value: Buffer.from("value") });
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => WireClient.connect(server.ws)));
  expect(await clients[0]!.ask(put)).toEqual([{ status: "OK" }]);
  order(server, { worker: 0, fault: "hang holding a lock", shard: 0 });
  const get = request({ op: 1, key: "kept" });
  const outcomes = await Promise.allSettled(clients.map((client) => client.ask(get)));
  const answers = outcomes.filter((outcome) => outcome.status === "fulfilled").map(({ value }) => value[0]);
  expect(answers.length).toBeGreaterThan(0);
  for (const answer of answers) expect(answer).toEqual({ status: "VALUE", value: Buffer.from("value") });
  await server.loggedTimes("worker 0 serves", 2);
  expect(server.log()).toContain("shard 0 was locked by worker 0: freed, 0 entries lost");
  expect(await counted(server)).toEqual({ hangs: 1, restarts: 1, metric: "1" });
  expect(await server.stop()).toBe(0);
});

test("one that cannot be ended: the others answer what they have, and the process ends with 70", async () => {
  const server = await start("1s");
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => WireClient.connect(server.ws)));
  order(server, { worker: 0, fault: "hang outside JavaScript" });
  await server.logged("worker 0 still hangs, 1 s after it was to end: the server ends");
  expect(await server.process.exited).toBe(70);
  const closed = await Promise.all(clients.map(({ closed }) => closed));
  expect(closed.filter(({ code }) => code === 1001).length).toBeGreaterThan(0);
});

test("one that is busy for less than the timeout is left alone", async () => {
  const server = await start("4s");
  order(server, { worker: 0, fault: "be busy", byMs: 1000 });
  await server.logged("worker 0 was busy");
  const lag = (await metricsOf(server.http)).value("breadbox_event_loop_lag_seconds", { worker: "0" });
  expect(lag).toBeGreaterThan(0.8);
  expect(await counted(server)).toEqual({ hangs: 0, restarts: 0, metric: "0" });
  expect(await server.stop()).toBe(0);
});

test("after the whole process was stopped for longer than the timeout nobody is blamed", async () => {
  const server = await start("1s");
  const client = await WireClient.connect(server.ws);
  server.process.kill("SIGSTOP");
  await Bun.sleep(1500);
  server.process.kill("SIGCONT");
  expect(await client.ask(PING)).toEqual([PONG]);
  // Nor by the looks that follow.
  order(server, { worker: 1, fault: "be busy", byMs: 300 });
  await server.logged("worker 1 was busy");
  expect(await counted(server)).toEqual({ hangs: 0, restarts: 0, metric: "0" });
  client.close();
  expect(await server.stop()).toBe(0);
});
