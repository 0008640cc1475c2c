/** @upstash/redis as it is, against the server; and @upstash/ratelimit, which needs scripts. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { type DialectServer, scoped, startDialects } from "../http/dialects/support";
import { client, installClients } from "./clients";

const VERBS = ["get", "put", "delete", "scan", "touch", "add", "append"];
let dialects: DialectServer;
let Redis: any;

beforeAll(async () => {
  await installClients();
  dialects = await startDialects();
  ({ Redis } = await client("@upstash/redis"));
});

afterAll(async () => {
  expect(await dialects.server.stop()).toBe(0);
});

const redisWith = (options: object, token = scoped("upstash:app:", VERBS)) =>
  new Redis({ url: `${dialects.server.http}/upstash`, token, ...options });

for (const [name, options] of [
  ["as it comes: pipelines by itself, base64", {}],
  ["without base64", { responseEncoding: false }],
  ["one request for each command", { enableAutoPipelining: false }],
] as const)
  describe(name, () => {
    let redis: any;

    beforeEach(async () => {
      redis = redisWith(options);
      await redis.flushdb();
    });

    test("values of every kind come back as they were", async () => {
      for (const value of [
        "text",
        "größe ✓",
        1,
        -1.5,
        true,
        null,
        { a: [1, { b: null }] },
        [],
        "",
        "OK",
        "123abc",
      ]) {
        expect(await redis.set("k", value)).toBe("OK");
        expect(await redis.get("k")).toEqual(value);
      }
      expect(await redis.get("none")).toBeNull();
    });

    test("many commands at once", async () => {
      const names = Array.from({ length: 50 }, (_, i) => `k${i}`);
      await Promise.all(names.map((key) => redis.set(key, key)));
      expect(await Promise.all(names.map((key) => redis.get(key)))).toEqual(names);
      expect(await redis.mget(...names, "none")).toEqual([...names, null]);
      expect((await redis.keys("k1?")).sort()).toEqual(names.filter((key) => /^k1.$/.test(key)));
      expect(await redis.dbsize()).toBe(50);
      expect(await redis.del(...names)).toBe(50);
    });

    test("set with its options, and the ways to read and change", async () => {
      expect(await redis.set("k", 1, { nx: true, ex: 100 })).toBe("OK");
      expect(await redis.set("k", 2, { nx: true })).toBeNull();
      expect(await redis.set("k", 3, { xx: true, get: true, keepTtl: true })).toBe(1);
      expect(await redis.ttl("k")).toEqual(expect.closeTo(96, -1));
      expect([
        await redis.incr("n"),
        await redis.incrby("n", 5),
        await redis.decr("n"),
        await redis.incrbyfloat("n", 0.5),
      ]).toEqual([1, 6, 5, 5.5]);
      expect([
        await redis.append("t", "abc"),
        await redis.strlen("t"),
        await redis.getrange("t", 1, 2),
      ]).toEqual([3, 3, "bc"]);
      expect([await redis.getex("t", { ex: 50 }), await redis.ttl("t"), await redis.persist("t")]).toEqual([
        "abc",
        expect.closeTo(46, -1),
        1,
      ]);
      expect([await redis.expire("t", 100, "NX"), await redis.expire("t", 50, "GT")]).toEqual([1, 0]);
      expect([await redis.getset("t", "x"), await redis.getdel("t"), await redis.exists("t", "k")]).toEqual([
        "abc",
        "x",
        1,
      ]);
      expect([await redis.type("k"), await redis.ping(), await redis.echo("hi")]).toEqual([
        "string",
        "PONG",
        "hi",
      ]);
      expect([await redis.mset({ a: 1, b: { c: 2 } }), await redis.mget("a", "b")]).toEqual([
        "OK",
        [1, { c: 2 }],
      ]);
    });

    test("scan, from page to page", async () => {
      const all = Array.from({ length: 60 }, (_, i) => `s:${i}`);
      await redis.mset(Object.fromEntries(all.map((key) => [key, 1])));
      const found = new Set<string>();
      let cursor = "0";
      do {
        const [next, keys] = await redis.scan(cursor, { match: "s:*", count: 10 });
        for (const key of keys) found.add(key);
        cursor = next;
      } while (cursor !== "0");
      expect([...found].sort()).toEqual(all.sort());
    });

    test("pipelines and transactions, with errors in their place", async () => {
      expect(await redis.pipeline().set("p", 1).incr("p").get("p").exec()).toEqual(["OK", 2, 2]);
      expect(await redis.multi().set("m", "x").get("m").del("m").exec()).toEqual(["OK", "x", 1]);
      const kept = await redis.pipeline().set("p", "x").incr("p").exec({ keepErrors: true });
      expect(kept.map(({ error }: { error?: string }) => error)).toEqual([
        undefined,
        "ERR value is not an integer or out of range",
      ]);
      await expect(redis.pipeline().incr("p").exec()).rejects.toThrow("not an integer");
      await expect(redis.multi().set("m", "y").hget("h", "f").exec()).rejects.toThrow("EXECABORT");
      expect(await redis.get("m")).toBeNull();
    });

    test("what is not for strings is an unknown command, and says so", async () => {
      await expect(redis.hset("h", { f: 1 })).rejects.toThrow("ERR unknown command 'hset'");
      await expect(redis.lpush("l", 1)).rejects.toThrow("ERR unknown command 'lpush'");
      await expect(redis.eval("return 1", [], [])).rejects.toThrow("ERR unknown command 'eval'");
    });
  });

test("a wrong token is told in the client's own error", async () => {
  await expect(redisWith({}, "wrong").get("k")).rejects.toThrow("WRONGPASS");
});

test("its sync token is another one after each write", async () => {
  const redis = redisWith({});
  expect(redis.readYourWritesSyncToken).toBe("");
  await redis.set("k", 1);
  const first = redis.readYourWritesSyncToken;
  await redis.set("k", 2);
  expect(first.length).toBeGreaterThan(0);
  expect(redis.readYourWritesSyncToken).not.toBe(first);
});

test("@upstash/ratelimit is scripts: it is refused, and its limiter does not take that for a yes", async () => {
  const { Ratelimit } = await client("@upstash/ratelimit");
  const limiter = new Ratelimit({
    redis: redisWith({ retry: false }),
    limiter: Ratelimit.slidingWindow(10, "10 s"),
    ephemeralCache: false,
    timeout: 0,
  });
  await expect(limiter.limit("somebody")).rejects.toThrow("ERR unknown command 'evalsha'");
});
