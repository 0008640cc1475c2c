/** All workers have one clock, and while the system's is set, nothing expires early or late, nothing stops. */
import { expect, test } from "bun:test";
import { request } from "../support/frames";
import { startServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const PROGRAM = new URL("./faulty-server.ts", import.meta.url).pathname;
const DAY_MS = 86_400_000;

for (const [way, byMs] of [
  ["forwards", 400 * DAY_MS],
  ["backwards", -400 * DAY_MS],
] as const) {
  test(`the clock is set ${way}: long entries stay, short ones go, versions grow`, async () => {
    const server = await startServer({ program: PROGRAM, flags: ["--workers", "1"] });
    const client = await WireClient.connect(server.ws);
    const put = async (key: string, ttlMs: bigint) => {
      const [reply] = await client.ask(request({ op: 2, flags: 0x20, key, value: Buffer.from("v"), ttlMs }));
      return reply?.status === "NUMBER" ? reply.number : -1n;
    };
    const isThere = async (key: string) => (await client.ask(request({ op: 7, key })))[0]!.status === "META";
    await put("long", BigInt(DAY_MS));
    const before = await put("short", 100n);
    server.process.stdin.write(`${JSON.stringify({ worker: 0, fault: "set the clock", byMs })}\n`);
    server.process.stdin.flush();
    await server.logged(`clock set: ${byMs}`);
    while (await isThere("short"));
    expect(await isThere("long")).toBe(true);
    // Of the same key: each shard counts for itself, and two keys may have the same version.
    expect(await put("short", 100n)).toBeGreaterThan(before);
    while (await isThere("short"));
    const [info] = await client.ask(request({ op: 7, key: "long" }));
    if (info?.status !== "META") throw new Error("no info");
    expect(info.ttlMs).toBeLessThanOrEqual(BigInt(DAY_MS));
    expect(info.ttlMs).toBeGreaterThan(BigInt(DAY_MS - 60_000));
    client.close();
    expect(await server.stop()).toBe(0);
  });
}

const WORKERS = 4;
const TTL_MS = 60_000;

/** Puts on each connection and looks from each: the time that remains is never more than was set, nor less than has passed. */
async function expectOneClock(clients: WireClient[]): Promise<void> {
  for (const [i, writer] of clients.entries())
    for (const [j, reader] of clients.entries()) {
      const key = `${i} to ${j}`;
      const sent = performance.now();
      await writer.ask(request({ op: 2, key, value: Buffer.from("v"), ttlMs: BigInt(TTL_MS) }));
      const [info] = await reader.ask(request({ op: 7, key }));
      const passed = performance.now() - sent;
      if (info?.status !== "META") throw new Error(`${key}: no entry, but ${JSON.stringify(info)}`);
      const left = Number(info.ttlMs);
      expect(left).toBeLessThanOrEqual(TTL_MS);
      // Both are whole milliseconds: one may be lost to rounding.
      expect(left).toBeGreaterThanOrEqual(TTL_MS - Math.ceil(passed) - 1);
    }
}

test("all workers have one clock, and one that is replaced has it too", async () => {
  const flags = ["--workers", String(WORKERS), "--log-level", "debug"];
  const server = await startServer({ program: PROGRAM, flags });
  const connect = () => Promise.all(Array.from({ length: 4 * WORKERS }, () => WireClient.connect(server.ws)));
  await expectOneClock(await connect());
  server.process.stdin.write(`${JSON.stringify({ worker: 0, fault: "terminate" })}\n`);
  server.process.stdin.flush();
  await server.loggedTimes("worker 0 serves", 2);
  await expectOneClock(await connect());
  expect(await server.stop()).toBe(0);
});
