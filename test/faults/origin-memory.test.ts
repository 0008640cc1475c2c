/** What is not in the first level costs a call to the origin each; what calls leave behind must not become the larger part of a server. */
import { expect, test } from "bun:test";
import { startEngine, until } from "../support/engine";
import { request } from "../support/frames";
import { peakResidentBytes } from "../support/process";
import { startServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const MB = 1 << 20;
const MESSAGES = 600;
const GETS = 500;
const GET = 1;
/** The program, its store, and what some ten thousand calls leave; without collections it is 1 KB and more for each call. */
const HELD_MAX = 350 * MB;

test("hundreds of thousands of misses leave nothing behind", async () => {
  const engine = await startEngine();
  const flags = ["--origin", engine.url, "--origin-timeout", "10s", "--memory", "64mb", "--workers", "1"];
  const server = await startServer({ flags });
  const client = await WireClient.connect(server.ws);
  const none = Array.from({ length: GETS }, () => ({ status: "MISS" as const }));
  const gets = (message: number) =>
    Array.from({ length: GETS }, (_, i) => request({ op: GET, key: `${message}:${i}` }));
  await until("the origin answers", async () => (await client.ask(...gets(0)))[0]!.status === "MISS");
  for (let message = 0; message < MESSAGES; message++)
    expect(await client.ask(...gets(message))).toEqual(none);
  expect(peakResidentBytes(server.process.pid)).toBeLessThan(HELD_MAX);
  client.close();
  expect(await server.stop()).toBe(0);
  await engine.kill();
});
