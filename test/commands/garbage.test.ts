/** When the collector is told: by the garbage that requests leave, and less often the more there is that stays. */
import { expect, test } from "bun:test";
import { Garbage } from "../../src/commands/garbage";
import { request } from "../support/frames";
import { residentBytes } from "../support/process";
import { startServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const MB = 1 << 20;

function collections(sessions: number) {
  let count = 0;
  const garbage = new Garbage(
    () => sessions,
    () => void count++,
  );
  return (notes: number, bytes: number) => {
    count = 0;
    for (let i = 0; i < notes; i++) garbage.note(bytes);
    return count;
  };
}

test("once for each two megabytes, however they come", () => {
  const of = collections(0);
  expect(of(511, 4096)).toBe(0);
  expect(of(1, 4096)).toBe(1);
  expect(of(10, 3 * MB)).toBe(10);
});

test("ten thousand sessions make it rarer: what stays alive is looked at each time", () => {
  expect(collections(10_000)(10_000, 4096)).toBe(1);
  expect(collections(100)(10_000, 4096)).toBe(19);
});

test("a load of many messages leaves little on the heap", async () => {
  const server = await startServer({ flags: ["--workers", "1", "--memory", "64mb"] });
  const client = await WireClient.connect(server.ws);
  const value = Buffer.alloc(500, 1);
  // The same few entries again and again: all growth is garbage.
  const batch = Buffer.concat(
    Array.from({ length: 2000 }, (_, i) => request({ op: 2, key: `k${i % 100}`, value })),
  );
  const load = async (rounds: number) => {
    for (let i = 0; i < rounds; i++) {
      client.send(batch);
      for (let replies = 0; replies < 2000; replies++) await client.reply();
    }
  };
  await load(20);
  const before = residentBytes(server.process.pid);
  await load(100);
  // A hundred megabytes went in.
  expect(residentBytes(server.process.pid) - before).toBeLessThan(32 * MB);
  client.close();
  expect(await server.stop()).toBe(0);
});
