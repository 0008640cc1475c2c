/** --l1-stale-max: while the origin does not answer, copies that are older are served, and every protocol says so. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Cache, connect } from "../../src/client/client";
import type { OriginReport } from "../../src/commands/report";
import { type Engine, startEngine, until } from "../support/engine";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";

let engine: Engine;
let server: TestServer;
let cache: Cache;
let text: WireClient;

beforeAll(async () => {
  engine = await startEngine({});
  const flags = ["--origin", engine.url, "--l1-max-age", "200ms", "--l1-stale-max", "10m"];
  server = await startServer({ flags });
  cache = await connect(server.ws);
  text = await WireClient.connect(server.ws, { protocols: ["breadbox.v1"] });
});

afterAll(async () => {
  text.close();
  await cache.close();
  expect(await server.stop()).toBe(0);
  await engine.kill();
});

/** Reads until a copy was served, which shows in the hits. */
async function untilCopied(key: string): Promise<void> {
  const hits = async () => (await cache.stats())["hits"] as number;
  for (const before = await hits(); (await hits()) === before;) await cache.get(key);
}

test("old copies are marked over frames, text and HTTP, what has none is BUSY, and all is well when the origin is back", async () => {
  await cache.put("kept", "value");
  await cache.put("other", "value");
  // What the origin tells of these writes may come after a first read, and ends the copy that this leaves.
  await until("both changes were told", async () => {
    const { origin } = (await cache.stats()) as { origin: OriginReport };
    return origin.tracking.invalidations >= 2;
  });
  await untilCopied("kept");
  const fresh = await cache.getWithMeta("kept");
  expect(fresh).not.toHaveProperty("isStale");
  await engine.kill();
  await server.logged("origin: lost the master");

  expect(await cache.getWithMeta("kept")).toMatchObject({ version: fresh!.version, isStale: true });
  expect(await text.askJson({ op: "get", key: "kept" })).toMatchObject({ value: "value", stale: true });
  for (const path of ["/kv/kept", "/get?key=kept"]) {
    const response = await fetch(server.http + path);
    expect([response.status, response.headers.get("warning")]).toEqual([200, '110 - "Response is Stale"']);
  }
  expect(await cache.get("other").catch(({ code }) => code)).toBe("busy");
  expect((await fetch(`${server.http}/kv/other`)).status).toBe(503);
  expect(await cache.put("kept", "new").catch(({ code }) => code)).toBe("busy");

  await engine.start();
  await server.loggedTimes("origin: tracks the master", 2);
  // Each worker connects again by itself.
  const answered = async () => (await fetch(`${server.http}/kv/absent`)).status === 404;
  await until("the origin is back", answered);
  await until("a write is taken", () => cache.put("kept", "newer").catch(() => null));
  const back = await until("a read is answered", async () => {
    const response = await fetch(`${server.http}/kv/kept`);
    return response.status === 200 && response.headers.get("warning") === null ? response : null;
  });
  expect(await back.text()).toBe("newer");
}, 60_000);
