/** Workers that die: the supervisor replaces them, frees what they held, and the others go on. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { request } from "../support/frames";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";
import type { FaultOrder } from "./fault-order";

const PROGRAM = new URL("./faulty-server.ts", import.meta.url).pathname;
let server: TestServer;

beforeEach(async () => {
  server = await startServer({ program: PROGRAM, flags: ["--shards", "1", "--log-level", "debug"] });
});

afterEach(async () => {
  expect(await server.stop()).toBe(0);
});

function order(order: FaultOrder): void {
  server.process.stdin.write(`${JSON.stringify(order)}\n`);
  server.process.stdin.flush();
}

const metric = async (name: string) => {
  const text = await (await fetch(`${server.http}/metrics`, { keepalive: false })).text();
  return Number(new RegExp(`^breadbox_${name} (\\d+)$`, "m").exec(text)?.[1]);
};

/** Connections until every worker has at least one: which worker a connection got shows when that worker ends. */
async function crowd(count: number): Promise<WireClient[]> {
  return Promise.all(Array.from({ length: count }, () => WireClient.connect(server.ws)));
}

test("an uncaught error is logged with its stack, ends that worker only, and it is replaced", async () => {
  const clients = await crowd(24);
  const ended = new Set<WireClient>();
  for (const client of clients) void client.closed.then(() => ended.add(client));
  order({ worker: 0, fault: "throw" });
  await server.logged("worker 0 ended");
  await server.logged(/worker 0 serves[^]*worker 0 serves/);
  expect(server.log()).toContain("a fault that a test ordered");
  expect(server.log()).toContain("faulty-worker.ts");
  const pong = request({ op: 10, value: Buffer.from("on") });
  const alive = clients.filter((client) => !ended.has(client));
  expect(alive.length).toBeGreaterThan(0);
  expect(alive.length).toBeLessThan(clients.length);
  for (const client of alive)
    expect(await client.ask(pong)).toEqual([{ status: "VALUE", value: Buffer.from("on") }]);
  expect(await metric("worker_restarts_total")).toBe(1);
  expect(await metric("connected_clients")).toBe(alive.length);
  for (const client of alive) client.close();
});

test("an unhandled rejection ends and replaces a worker too", async () => {
  order({ worker: 1, fault: "reject" });
  await server.logged(/worker 1 serves[^]*worker 1 serves/);
  expect(server.log()).toContain("a rejection that a test ordered");
});

for (const [fault, what] of [
  ["exit holding a lock", "freed"],
  ["exit while writing", "freed and repaired"],
] as const) {
  test(`${fault}: the shard comes back with all it had`, async () => {
    const before = await metric("shard_recoveries_total");
    await fetch(`${server.http}/kv/kept`, { method: "PUT", body: "value" });
    order({ worker: 0, fault, shard: 0 });
    // Goes to whichever worker is left, and has to wait for the lock.
    await server.logged(`${what}, 0 entries lost`);
    await server.logged(/worker 0 serves[^]*worker 0 serves/);
    expect((await fetch(`${server.http}/kv/kept`)).status).toBe(200);
    expect((await fetch(`${server.http}/kv/new`, { method: "PUT", body: "value" })).status).toBe(204);
    expect(await metric("shard_recoveries_total")).toBe(before + 1);
    expect(await metric("entries_lost_total")).toBe(0);
    expect(await metric("shards_lost_total")).toBe(0);
  });
}

test("a worker that keeps dying is replaced after growing delays", async () => {
  const delays: number[] = [];
  for (let death = 1; death <= 4; death++) {
    order({ worker: 0, fault: "exit" });
    await server.loggedTimes("worker 0 ended", death);
    await server.loggedTimes("worker 0 serves", death + 1);
  }
  for (const [, delay] of server.log().matchAll(/worker 0 ended; another starts in (\d+) ms/g))
    delays.push(Number(delay));
  expect(delays).toEqual([0, 50, 100, 200]);
  expect(await metric("worker_restarts_total")).toBe(4);
});
