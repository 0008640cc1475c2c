/** Namespaces and default times to live: what a view of a prefix asks the server, and what it tells. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { type Cache, connect, type Namespace } from "../../src/client/client";
import { startServer, type TestServer } from "../support/server";
import { errorOf } from "./error-of";
import { connected } from "./fake-connection";
import { changed, number, ok, reset } from "./wire-replies";

let server: TestServer;
let cache: Cache;
let users: Namespace;

beforeAll(async () => {
  server = await startServer();
  cache = await connect(server.http, { near: {} });
  users = cache.namespace("user:");
});

beforeEach(async () => {
  await cache.clear();
});

afterAll(async () => {
  await cache.close();
  expect(await server.stop()).toBe(0);
});

async function keysOf(space: Namespace, prefix?: string): Promise<string[]> {
  const keys = new Set<string>();
  for await (const key of space.scan(prefix)) keys.add(key);
  return [...keys].sort();
}

describe("many keys at once", () => {
  test("has, putMany, deleteMany", async () => {
    expect(await cache.putMany(new Map([["a", "1"]]))).toEqual([expect.any(Number)]);
    const versions = await cache.putMany(Object.entries({ a: "2", b: "3" }), { ifAbsent: true });
    expect(versions).toEqual([null, expect.any(Number)]);
    expect(
      await cache.putMany([["b", new Uint8Array([52])] as const], { ifPresent: true, ttlMs: 60_000 }),
    ).toEqual([expect.any(Number)]);
    expect(await cache.many(new Set(["a", "b", "c"]))).toEqual(["1", "4", null]);
    expect(await cache.has("b")).toBe(true);
    expect(await cache.has("c")).toBe(false);
    expect(await cache.deleteMany(["a", "b", "b", "c"])).toBe(2);
    expect(await cache.has("b")).toBe(false);
    expect(await cache.putMany([])).toEqual([]);
    expect(await cache.deleteMany([])).toBe(0);
  });

  test("leave in one message", async () => {
    const { cache, asked, receive, sockets } = await connected();
    const versions = cache.putMany([
      ["a", "1"],
      ["b", "2"],
    ]);
    const removed = cache.deleteMany(["a", "b"]);
    expect(await asked()).toMatchObject([
      { op: 2, key: "a" },
      { op: 2, key: "b" },
      { op: 3, key: "a" },
      { op: 3, key: "b" },
    ]);
    expect(sockets.last.sent.length).toBe(1);
    await receive(number(5n), number(6n), ok(), ok());
    expect(await versions).toEqual([5, 6]);
    expect(await removed).toBe(2);
  });

  test("one that fails is the call's error, and the others are stored", async () => {
    const error = await errorOf(
      cache.putMany([
        ["fine", "1"],
        ["k".repeat(2000), "2"],
      ]),
    );
    expect(error.code).toBe("bad-key");
    expect(await cache.get("fine")).toBe("1");
  });
});

describe("a namespace", () => {
  test("has every verb, on the keys under its prefix", async () => {
    await users.put("1", "Ada");
    expect(await cache.getWithMeta("user:1")).toMatchObject({ text: "Ada" });
    expect(await users.get("1")).toBe("Ada");
    expect(users.near.peek("1")).toBe("Ada");
    expect(cache.near.peek("user:1")).toBe("Ada");
    expect(new TextDecoder().decode((await users.getBytes("1"))!)).toBe("Ada");
    expect(await users.getWithMeta("1")).toMatchObject({ text: "Ada" });
    expect(await users.info("1")).toMatchObject({ length: 3 });
    expect(await users.has("1")).toBe(true);
    expect(await users.append("1", " L.")).toBe(true);
    expect(await users.touch("1", { ttlMs: 60_000 })).toBe(true);
    await users.putMany([["2", "Grace"]]);
    expect(await users.many(["1", "2", "3"])).toEqual(["Ada L.", "Grace", null]);
    expect(await users.add("visits", 2)).toBe(2);
    expect(await users.getAndTouch("visits", { ttlMs: 60_000 })).toBe("2");
    await users.put("once", "code");
    expect(await users.getAndDelete("once")).toBe("code");
    expect(await cache.has("user:once")).toBe(false);
    expect(await users.getOrCompute("4", () => "Linus")).toBe("Linus");
    expect(await users.json<object>().put("5", { a: 1 })).toBeGreaterThan(0);
    expect(await users.json<object>().get("5")).toEqual({ a: 1 });
    await cache.put("other", "1");
    expect(await keysOf(cache)).toEqual(["other", "user:1", "user:2", "user:4", "user:5", "user:visits"]);
    expect(await users.delete("1")).toBe(true);
    expect(await users.deleteMany(["2", "4"])).toBe(2);
    expect(await users.clear("v")).toBe(1);
    expect(await users.clear()).toBe(1);
    expect(await keysOf(cache)).toEqual(["other"]);
  });

  test("tells keys without its prefix, in scans", async () => {
    await cache.putMany(["user:1", "user:12", "user:user:1", "users", "user"].map((key) => [key, "x"]));
    expect(await keysOf(users)).toEqual(["1", "12", "user:1"]);
    expect(await keysOf(users, "1")).toEqual(["1", "12"]);
    const pages = cache.namespace("ü🍞");
    await pages.put("é", "1");
    expect(await keysOf(pages)).toEqual(["é"]);
  });

  test("tells keys without its prefix, in watches", async () => {
    const { cache, asked, receive, reconnect } = await connected({ heartbeatMs: 0 });
    const changes = cache.namespace("a:").namespace("b:").watch("c:");
    const first = changes.next();
    expect(await asked()).toMatchObject([{ op: 0x10, key: "a:b:c:" }]);
    await receive(ok(), changed(["a:b:c:1", 5], ["a:b:d", 6]), reset("a:b:c:2"), reset("a:"));
    expect(await first).toEqual({ done: false, value: { key: "c:1", version: 5 } });
    expect((await changes.next()).value).toEqual({ reset: "c:2" });
    expect((await changes.next()).value).toEqual({ reset: "c:" });
    await reconnect();
    await receive(ok());
    expect((await changes.next()).value).toEqual({ reset: "c:" });
    await changes.return!();
  });

  test("within another has the prefixes of both", async () => {
    const admins = users.namespace("admin:");
    await admins.put("1", "Grace");
    expect(await cache.get("user:admin:1")).toBe("Grace");
    expect(await users.clear("admin:")).toBe(1);
  });

  test("drops the copies that it writes", async () => {
    await users.put("1", "Ada");
    expect(await cache.get("user:1")).toBe("Ada");
    void users.put("1", "Grace");
    expect(cache.near.peek("user:1")).toBeUndefined();
    expect(await cache.get("user:1")).toBe("Grace");
    void users.clear();
    expect(cache.near.peek("user:1")).toBeUndefined();
    expect(await users.get("1")).toBeNull();
    expect(await users.get("nobody")).toBeNull();
    expect(users.near.peek("nobody")).toBeNull();
  });

  test("refuses an empty key as everything does, and prefixes that are none", async () => {
    for (const call of [
      () => users.get(""),
      () => users.put("", "x"),
      () => users.delete(""),
      () => users.getOrCompute("", () => "x"),
    ])
      expect((await errorOf(call())).code).toBe("bad-key");
    expect(await keysOf(cache)).toEqual([]);
    expect((await errorOf(users.get(7 as never))).message).toBe("key: must be a string");
    expect((await errorOf(users.clear(null as never))).message).toBe("key: must be a string");
    for (const prefix of [7, undefined, "a\ud83c"])
      expect(() => cache.namespace(prefix as string)).toThrow("prefix: ");
    for (const options of [{ ttl: 5 }, { ttlMs: 0 }, null])
      expect(() => cache.namespace("a", options as object)).toThrow(
        expect.objectContaining({ code: "invalid-argument" }),
      );
  });
});

describe("a default time to live", () => {
  const ttlOf = async (key: string) => (await cache.info(key))!.ttlMs;

  test("counts for the writes that say none", async () => {
    const short = cache.namespace("", { ttlMs: 60_000 });
    await short.put("put", "x");
    await short.putMany([["putMany", "x"]]);
    await short.add("add");
    await short.getOrCompute("computed", () => "x");
    await short.json<number>().put("json", 1);
    await cache.put("touched", "x");
    await short.touch("touched");
    await cache.put("read", "x");
    await short.getAndTouch("read");
    await cache.put("appended", "x");
    await short.append("appended", "y");
    for (const key of ["put", "putMany", "add", "computed", "json", "touched", "read"]) {
      expect(await ttlOf(key)).toBeGreaterThan(50_000);
      expect(await ttlOf(key)).toBeLessThanOrEqual(60_000);
    }
    expect(await ttlOf("appended")).toBeNull();
  });

  test("is overruled by what a write says: a time, or null for never", async () => {
    const short = cache.namespace("", { ttlMs: 60_000 });
    await short.put("longer", "x", { ttlMs: 600_000 });
    expect(await ttlOf("longer")).toBeGreaterThan(60_000);
    await short.put("put", "x", { ttlMs: null });
    await short.add("add", 1, { ttlMs: null });
    await short.getOrCompute("computed", () => "x", { ttlMs: null });
    await short.put("touched", "x");
    await short.touch("touched", { ttlMs: null });
    await short.put("read", "x");
    await short.getAndTouch("read", { ttlMs: null });
    for (const key of ["put", "add", "computed", "touched", "read"]) expect(await ttlOf(key)).toBeNull();
    // JavaScript callers hand options down that are there and undefined.
    await short.put("put", "x", { ttlMs: undefined } as object);
    await short.getOrCompute("undefined", () => "x", { ttlMs: undefined } as object);
    expect(await ttlOf("put")).not.toBeNull();
    expect(await ttlOf("undefined")).not.toBeNull();
  });

  test("comes from connect, and a namespace has its own or that of what it is in", async () => {
    await using client = await connect(server.http, { ttlMs: 60_000 });
    await client.put("client", "x");
    expect(await ttlOf("client")).toBeGreaterThan(50_000);
    await client.namespace("n:").put("1", "x");
    expect(await ttlOf("n:1")).toBeGreaterThan(50_000);
    const forever = client.namespace("f:", { ttlMs: null });
    await forever.namespace("n:").put("1", "x");
    expect(await ttlOf("f:n:1")).toBeNull();
    await using without = await connect(server.http, { ttlMs: null });
    await without.put("client", "x");
    expect(await ttlOf("client")).toBeNull();
  });
});
