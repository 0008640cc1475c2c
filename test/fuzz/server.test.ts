/** A short fuzz of a real server with two workers; `bun run fuzz` is the long one. */
import { expect, test } from "bun:test";
import { startServer } from "../support/server";
import { checkStore, fuzzServer } from "./server";

test("20,000 messages of every kind: each answered as promised, and the store is whole", async () => {
  const server = await startServer({ flags: ["--workers", "2", "--memory", "16mb"] });
  const counts = await fuzzServer(server, 1, 20_000);
  expect(counts.proved).toBeGreaterThan(10_000);
  expect(counts.closedAsMalformed).toBeGreaterThan(500);
  expect(counts.http).toBeGreaterThan(10);
  await checkStore(server);
  expect(server.log()).not.toMatch(/error|ended/);
  expect(await server.stop()).toBe(0);
});
