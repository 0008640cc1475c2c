/** Deaths among those who watch, hold leases and wait for them: of connections, and of the workers that serve them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Reply } from "../support/frames";
import { startServer, type TestServer } from "../support/server";
import { fill, get, getWatched, lease, leaseOrWait, ping, put, watch } from "../support/stream-requests";
import { WireClient } from "../support/wire-client";
import type { FaultOrder } from "./fault-order";

const PROGRAM = new URL("./faulty-server.ts", import.meta.url).pathname;
/** Longer than any test: what ends before has been ended. */
const LONG_MS = 60_000n;
const FLAGS = ["--shards", "1", "--log-level", "debug"];
let server: TestServer;
/** Of worker 0, which is the one that dies. */
let deaths = 0;
let clients: WireClient[] = [];

beforeEach(async () => {
  server = await startServer({ program: PROGRAM, before: ["--at-once"], flags: FLAGS });
  deaths = 0;
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  expect(await server.stop()).toBe(0);
});

async function crowd(count: number): Promise<WireClient[]> {
  const more = await Promise.all(Array.from({ length: count }, () => WireClient.connect(server.ws)));
  clients.push(...more);
  return more;
}

/** Ends worker 0; resolves with those of the connections that ended with it, when another serves in its place. */
async function endWorker(all: WireClient[], fault: FaultOrder["fault"] = "exit"): Promise<Set<WireClient>> {
  const ended = new Set<WireClient>();
  for (const client of all) void client.closed.then(() => ended.add(client));
  server.process.stdin.write(`${JSON.stringify({ worker: 0, fault, shard: 0 })}\n`);
  server.process.stdin.flush();
  deaths++;
  await server.loggedTimes("worker 0 ended", deaths);
  await server.loggedTimes("worker 0 serves", deaths + 1);
  // Those that are left answer; the others have been closed by then.
  await Promise.allSettled(all.map((client) => client.ask(ping())));
  return ended;
}

/** Connections that worker 1 has: those that a death of worker 0 leaves. */
async function survivors(): Promise<WireClient[]> {
  const all = await crowd(24);
  const gone = await endWorker(all);
  const left = all.filter((client) => !gone.has(client));
  expect(left.length).toBeGreaterThan(2);
  return left;
}

const filledOf = async (client: WireClient): Promise<Reply> => {
  for (;;) {
    const push = await client.push();
    if (push.push === "FILLED") return push.reply;
  }
};

/** The lease of a key that somebody else computes is given to one of those who wait, and what that one stores is for all. */
async function expectOneLeased(waiters: WireClient[], key: string): Promise<void> {
  const answers = waiters.map((client) => filledOf(client));
  const first = await Promise.race(answers.map(async (answer, index) => ({ index, reply: await answer })));
  if (first.reply.status !== "LEASED") throw new Error(`${first.reply.status} instead of LEASED`);
  const holder = waiters[first.index]!;
  expect(await holder.ask(fill(key, "computed", first.reply.token))).toMatchObject([{ status: "NUMBER" }]);
  for (const [index, answer] of answers.entries())
    if (index !== first.index) expect(await answer).toMatchObject({ value: Buffer.from("computed") });
}

describe("leases", () => {
  test("the holder's connection ends: exactly one of those who wait gets the lease", async () => {
    const [holder, ...waiters] = await crowd(9);
    await holder!.ask(lease("k", { ttlMs: LONG_MS }));
    for (const waiter of waiters) await waiter.ask(leaseOrWait("k"));
    holder!.socket.terminate();
    await expectOneLeased(waiters, "k");
  });

  test("the holder's worker dies: exactly one of those who wait on the other gets the lease", async () => {
    const left = await survivors();
    // New connections are spread over both workers again; those of the new worker end with it.
    const others = await crowd(24);
    await Promise.all(others.map((client, i) => client.ask(lease(`of:${i}`, { ttlMs: LONG_MS }))));
    const waiter = left[0]!;
    for (const i of others.keys()) await waiter.ask(leaseOrWait(`of:${i}`));
    const gone = await endWorker(others);
    expect(gone.size).toBeGreaterThan(0);
    let leased = 0;
    for (; leased < gone.size; leased++) expect((await filledOf(waiter)).status).toBe("LEASED");
    // The holders that live still hold theirs.
    await waiter.ask(ping());
    expect(waiter.pushed.filter(({ push }) => push === "FILLED")).toEqual([]);
  });

  test("a waiter's worker dies: the others are served as if it had never waited", async () => {
    const left = await survivors();
    const [holder, ...waiters] = left;
    await holder!.ask(lease("k", { ttlMs: LONG_MS }));
    const others = await crowd(24);
    for (const client of [...waiters, ...others]) await client.ask(leaseOrWait("k"));
    const gone = await endWorker(others);
    expect(gone.size).toBeGreaterThan(0);
    const living = [...waiters, ...others.filter((client) => !gone.has(client))];
    holder!.socket.terminate();
    await expectOneLeased(living, "k");
  });
});

describe("watches", () => {
  test("a writer's worker dies while it holds a shard: everybody who watches drops everything, and is told again", async () => {
    const left = await survivors();
    const [byKey, byPrefix] = left;
    await byKey!.ask(put("k", "x"), getWatched("k"));
    await byPrefix!.ask(watch("k"));
    await endWorker(left, "exit holding a lock");
    const reset = { push: "RESET" as const, reason: 3, prefix: "" };
    for (const client of [byKey!, byPrefix!]) {
      const pushed = [];
      do pushed.push(await client.push());
      while (pushed.at(-1)!.push !== "RESET");
      expect(pushed.at(-1)).toEqual(reset);
    }
    const [read] = await byKey!.ask(getWatched("k"));
    expect(read).toMatchObject({ status: "META_VALUE" });
    await left[2]!.ask(put("k", "y"));
    for (const client of [byKey!, byPrefix!]) expect(await client.push()).toMatchObject({ push: "CHANGED" });
  });

  test("a worker that replaces a dead one serves watches, and what the dead one's watched is nobody's", async () => {
    const left = await survivors();
    const others = await crowd(24);
    await Promise.all(others.map((client, i) => client.ask(watch(`p:${i % 8}`), getWatched("k"))));
    const gone = await endWorker(others);
    expect(gone.size).toBeGreaterThan(0);
    for (const client of others) {
      client.close();
      await client.closed;
    }
    for (;;) {
      const { prefixes, watches } = (await (
        await fetch(`${server.http}/stats`, { keepalive: false })
      ).json()) as {
        prefixes: number;
        watches: number;
      };
      if (prefixes === 0 && watches === 0) break;
    }
    const more = await crowd(24);
    await Promise.all(more.map((client) => client.ask(getWatched("k"))));
    await left[0]!.ask(put("k", "x"));
    for (const client of more)
      expect(await client.push()).toMatchObject({ push: "CHANGED", keys: [{ key: "k" }] });
    expect(await left[0]!.ask(get("k"))).toMatchObject([{ status: "META_VALUE" }]);
  });
});
