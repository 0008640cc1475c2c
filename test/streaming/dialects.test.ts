/** Writes through the dialects are changes like any others: watches, near caches and leases hear of them. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { type Cache, connect as connectClient } from "../../src/client/client";
import type { Reply } from "../support/frames";
import { startServer, type TestServer } from "../support/server";
import { fill, getWatched, lease, ping, put, watch } from "../support/stream-requests";
import { WireClient } from "../support/wire-client";

let server: TestServer;
let cache: Cache;
let writer: WireClient;
const open: WireClient[] = [];
let named = 0;
const fresh = () => `k${named++}`;

beforeAll(async () => {
  server = await startServer({ flags: ["--shards", "4"] });
  cache = await connectClient(server.http, { near: { maxAgeMs: 3_600_000 } });
  writer = await WireClient.connect(server.ws);
});

afterEach(() => {
  for (const client of open.splice(0)) client.close();
});

afterAll(async () => {
  await cache.close();
  writer.close();
  expect(await server.stop()).toBe(0);
});

async function connect(): Promise<WireClient> {
  const client = await WireClient.connect(server.ws);
  open.push(client);
  return client;
}

const call = (path: string, init: RequestInit = {}) =>
  fetch(server.http + path, { keepalive: false, ...init });
async function redis(...command: string[]): Promise<unknown> {
  const response = await call("/upstash", { method: "POST", body: JSON.stringify(command) });
  return ((await response.json()) as { result: unknown }).result;
}

/** Null where there is no entry. */
async function versionOf(key: string): Promise<bigint | null> {
  const etag = (await call(`/kv/${key}`, { method: "HEAD" })).headers.get("etag");
  return etag === null ? null : BigInt(etag.slice(1, -1));
}

interface Change {
  readonly name: string;
  readonly root: string;
  /** What is there before; null for nothing. */
  readonly before: string | null;
  readonly told: "stored" | "deleted" | "touched";
  readonly change: (name: string) => Promise<unknown>;
}

const upstash = (name: string, told: Change["told"], command: (key: string) => string[]): Change => ({
  name: `upstash: ${name}`,
  root: "upstash:",
  before: "7",
  told,
  change: (key) => redis(...command(key)),
});

const CHANGES: Change[] = [
  upstash("SET", "stored", (key) => ["SET", key, "v"]),
  upstash("SET GET", "stored", (key) => ["SET", key, "v", "GET"]),
  upstash("SET KEEPTTL", "stored", (key) => ["SET", key, "v", "KEEPTTL"]),
  upstash("GETSET", "stored", (key) => ["GETSET", key, "v"]),
  upstash("MSET", "stored", (key) => ["MSET", key, "v"]),
  upstash("INCR", "stored", (key) => ["INCR", key]),
  upstash("APPEND", "stored", (key) => ["APPEND", key, "v"]),
  upstash("SETRANGE", "stored", (key) => ["SETRANGE", key, "3", "v"]),
  upstash("DEL", "deleted", (key) => ["DEL", key]),
  upstash("GETDEL", "deleted", (key) => ["GETDEL", key]),
  upstash("EXPIRE in the past", "deleted", (key) => ["EXPIRE", key, "-1"]),
  upstash("PEXPIREAT in the past", "deleted", (key) => ["PEXPIREAT", key, "1"]),
  upstash("EXPIRE", "touched", (key) => ["EXPIRE", key, "100"]),
  upstash("GETEX", "touched", (key) => ["GETEX", key, "EX", "100"]),
  {
    name: "unstorage: setItem",
    root: "unstorage:",
    before: "old",
    told: "stored",
    change: (key) => call(`/unstorage/${key}`, { method: "PUT", body: "v" }),
  },
  {
    name: "unstorage: removeItem",
    root: "unstorage:",
    before: "old",
    told: "deleted",
    change: (key) => call(`/unstorage/${key}`, { method: "DELETE" }),
  },
  {
    name: "Nx: a record",
    root: "nx:",
    before: null,
    told: "stored",
    change: (key) => call(`/v1/cache/${key}`, { method: "PUT", body: "v" }),
  },
  {
    name: "Turborepo: an artifact",
    root: "turborepo:team:",
    before: "old",
    told: "stored",
    change: (key) =>
      call(`/v8/artifacts/${key}?slug=team`, {
        method: "PUT",
        body: "v",
        headers: { "Content-Type": "application/octet-stream", "x-artifact-duration": "5" },
      }),
  },
  {
    name: "WebDAV: a value in a collection",
    root: "sccache/",
    before: "old",
    told: "stored",
    change: async (key) => {
      await call("/kv/sccache/", { method: "MKCOL" });
      await call(`/kv/sccache/${key}`, { method: "PUT", body: "v" });
    },
  },
];

for (const { name, root, before, told, change } of CHANGES)
  test(`${name}: a watch of the key and one of its prefix are told`, async () => {
    const [ofKey, ofPrefix] = [await connect(), await connect()];
    const short = fresh();
    const key = root + short;
    if (before !== null) await writer.ask(put(key, before));
    const first = await versionOf(key);
    await ofKey.ask(getWatched(key));
    await ofPrefix.ask(watch(root));
    await change(short);
    const last = await versionOf(key);
    for (const watcher of [ofKey, ofPrefix]) {
      const push = await watcher.push();
      const version = push.push === "CHANGED" ? push.keys[0]!.version : -1n;
      expect(push).toEqual({ push: "CHANGED", keys: [{ key, version }] });
      if (told === "stored") expect(version).toBe(last!);
      else if (told === "touched") expect([version, last]).toEqual([0n, first]);
      else expect([version > first!, last]).toEqual([true, null]);
      await watcher.ask(ping());
      expect(watcher.pushed).toEqual([]);
    }
  });

test("a flush of all keys of a dialect is told to those who watch them, one by one or by prefix", async () => {
  const [ofKey, ofPrefix] = [await connect(), await connect()];
  const short = fresh();
  await redis("SET", short, "v");
  await ofKey.ask(getWatched(`upstash:${short}`));
  await ofPrefix.ask(watch("upstash:"));
  expect(await redis("FLUSHDB")).toBe("OK");
  expect(await ofKey.push()).toMatchObject({ push: "CHANGED", keys: [{ key: `upstash:${short}` }] });
  expect(await ofPrefix.push()).toMatchObject({ push: "RESET", prefix: "upstash:" });
});

test("what was refused or found nothing is not told", async () => {
  const watcher = await connect();
  const [there, absent] = [fresh(), fresh()];
  await redis("SET", there, "v");
  await writer.ask(put(`nx:${there}`, "v"));
  for (const key of [`upstash:${there}`, `upstash:${absent}`, `nx:${there}`])
    await watcher.ask(getWatched(key));
  expect(await redis("SET", there, "w", "NX", "GET")).toBe("v");
  expect(await redis("SET", absent, "w", "XX")).toBeNull();
  expect(await redis("EXPIRE", there, "100", "XX")).toBe(0);
  expect(await redis("PERSIST", there)).toBe(0);
  expect(await redis("GETDEL", absent)).toBeNull();
  expect(await redis("GETEX", absent, "EX", "100")).toBeNull();
  expect((await call(`/v1/cache/${there}`, { method: "PUT", body: "w" })).status).toBe(409);
  await watcher.ask(ping());
  expect(watcher.pushed).toEqual([]);
});

/** The copy in the near cache is given up when the push comes, for which a read of a copy leaves no time. */
async function untilRead(key: string, value: string | null): Promise<void> {
  while ((await cache.get(key)) !== value) await new Promise((resolve) => setImmediate(resolve));
}

test("a copy that a client holds is given up, whoever writes", async () => {
  const short = fresh();
  const key = `upstash:${short}`;
  await redis("SET", short, "one");
  await untilRead(key, "one");
  await redis("SET", short, "two", "KEEPTTL", "GET");
  await untilRead(key, "two");
  expect(await redis("GETDEL", short)).toBe("two");
  await untilRead(key, null);
  await redis("SET", short, "three");
  await untilRead(key, "three");
  await redis("EXPIRE", short, "0");
  await untilRead(key, null);
  const item = fresh();
  await call(`/unstorage/${item}`, { method: "PUT", body: "one" });
  await untilRead(`unstorage:${item}`, "one");
  await call(`/unstorage/${item}`, { method: "DELETE" });
  await untilRead(`unstorage:${item}`, null);
});

test("who computes a value that is written or deleted meanwhile stores nothing", async () => {
  const token = (reply: Reply | undefined) => {
    if (reply?.status !== "LEASED" && reply?.status !== "HIT_LEASED") throw new Error(reply?.status);
    return reply.token;
  };
  const ends: [command: (key: string) => string[], before: string | null][] = [
    [(key) => ["SET", key, "w"], null],
    [(key) => ["GETDEL", key], null],
    [(key) => ["GETDEL", key], "soon old"],
    [(key) => ["EXPIRE", key, "-1"], "soon old"],
    [(key) => ["GETEX", key, "PXAT", "1"], "soon old"],
  ];
  for (const [command, before] of ends) {
    const short = fresh();
    const key = `upstash:${short}`;
    if (before !== null) await writer.ask(put(key, before, { ttlMs: 60_000n }));
    const [reply] = await writer.ask(lease(key, { earlyMs: 120_000n }));
    await redis(...command(short));
    const stored = await writer.ask(fill(key, "computed before", token(reply)));
    expect({ command: command(short), stored }).toEqual({
      command: command(short),
      stored: [{ status: "REFUSED" }],
    });
  }
  const short = fresh();
  await writer.ask(put(`upstash:${short}`, "soon old", { ttlMs: 60_000n }));
  const [reply] = await writer.ask(lease(`upstash:${short}`, { earlyMs: 120_000n }));
  await redis("EXPIRE", short, "90");
  const [stored] = await writer.ask(fill(`upstash:${short}`, "computed", token(reply)));
  expect(stored).toMatchObject({ status: "NUMBER" });
});
