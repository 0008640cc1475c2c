/** Watches over real connections, to a server with two workers: what is told, to whom, and before which reply. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { startServer, type TestServer } from "../support/server";
import {
  clear,
  getIfNewer,
  getWatched,
  ping,
  put,
  putNumbered,
  putWatched,
  remove,
  touch,
  unwatch,
  unwatchKeys,
  watch,
  watchNoLoop,
} from "../support/stream-requests";
import { request, type Reply } from "../support/frames";
import { WireClient } from "../support/wire-client";

let server: TestServer;
const open: WireClient[] = [];
let named = 0;
/** A key or prefix that no other test uses. */
const fresh = (name = "k") => `${name}:${named++}:`;

beforeAll(async () => {
  server = await startServer({ flags: ["--shards", "4"] });
});

/** The server hears of the end of a connection when it comes to it. */
async function untilNothingIsWatched(): Promise<void> {
  for (;;) {
    const response = await fetch(`${server.http}/stats`, { keepalive: false });
    const { prefixes, watches } = (await response.json()) as { prefixes: number; watches: number };
    if (prefixes === 0 && watches === 0) return;
  }
}

afterEach(async () => {
  for (const client of open.splice(0)) {
    client.close();
    await client.closed;
  }
  await untilNothingIsWatched();
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

async function connect(): Promise<WireClient> {
  const client = await WireClient.connect(server.ws);
  open.push(client);
  return client;
}

const connections = (count: number) => Promise.all(Array.from({ length: count }, connect));

async function numberOf(client: WireClient, bytes: Buffer): Promise<bigint> {
  const [reply] = await client.ask(bytes);
  if (reply?.status !== "NUMBER") throw new Error(`${reply?.status} instead of a version`);
  return reply.number;
}

/** What was pushed so far: a ping's reply comes after everything that was told before it. */
async function pushedTo(client: WireClient) {
  await client.ask(ping());
  return client.pushed.splice(0);
}

const changed = (...keys: [key: string, version: bigint][]) => ({
  push: "CHANGED" as const,
  keys: keys.map(([key, version]) => ({ key, version })),
});

describe("a watch of a key", () => {
  test("is told once, with the version, to whichever worker its connection has", async () => {
    const [writer, ...watchers] = await connections(9);
    const key = fresh();
    for (const watcher of watchers) expect(await watcher.ask(getWatched(key))).toEqual([{ status: "MISS" }]);
    const version = await numberOf(writer!, putNumbered(key, "one"));
    for (const watcher of watchers) expect(await watcher.push()).toEqual(changed([key, version]));
    await writer!.ask(put(key, "two"));
    for (const watcher of watchers) expect(await pushedTo(watcher)).toEqual([]);
    for (const watcher of watchers) await watcher.ask(getWatched(key));
    const third = await numberOf(writer!, putNumbered(key, "three"));
    for (const watcher of watchers) expect(await watcher.push()).toEqual(changed([key, third]));
  });

  test("comes before every reply that could show the change, on the writer's own connection too", async () => {
    const [writer, watcher] = await connections(2);
    const key = fresh();
    await watcher!.ask(getWatched(key));
    await writer!.ask(getWatched(key));
    for (let round = 0; round < 200; round++) {
      const value = `value ${round}`;
      const version = await numberOf(writer!, putNumbered(key, value));
      // The writer has its answer: nothing that is asked from now on may be answered before the change is told.
      const [, read] = await watcher!.ask(ping(), getWatched(key));
      expect(watcher!.pushed.splice(0)).toEqual([changed([key, version])]);
      expect(read).toMatchObject({ status: "META_VALUE", version, value: Buffer.from(value) });
      expect(writer!.pushed.splice(0)).toEqual([changed([key, version])]);
      await writer!.ask(getWatched(key));
    }
  });

  test("every kind of change is told: what it was, and under which version", async () => {
    const [writer, watcher] = await connections(2);
    const changes: [name: string, bytes: (key: string) => Buffer][] = [
      ["put", (key) => put(key, "other")],
      ["put of the same size", (key) => put(key, "value")],
      ["add", (key) => request({ op: 5, key, value: Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]) })],
      ["append", (key) => request({ op: 6, key, value: Buffer.from("7") })],
      ["delete", remove],
      ["clear of a prefix", (key) => clear(key.slice(0, -1))],
      ["touch", (key) => touch(key, 60_000n)],
    ];
    for (const [name, bytes] of changes) {
      const key = fresh(name);
      const before = await numberOf(writer!, putNumbered(key, "12345"));
      await watcher!.ask(getWatched(key));
      await writer!.ask(bytes(key));
      const [push] = await pushedTo(watcher!);
      const version = push?.push === "CHANGED" ? push.keys[0]!.version : -1n;
      expect({ name, push }).toEqual({ name, push: changed([key, version]) });
      if (name === "touch") expect(version).toBe(0n);
      else expect(version).toBeGreaterThan(before);
    }
  });

  test("what was refused or found nothing is not told", async () => {
    const [writer, watcher] = await connections(2);
    const key = fresh();
    const absent = fresh();
    await writer!.ask(put(key, "x"));
    await watcher!.ask(getWatched(key), getWatched(absent));
    await writer!.ask(
      put(key, "y", { flags: 0x08 }),
      put(key, "y", { version: 1n }),
      request({ op: 3, key, version: 1n }),
      request({ op: 5, key, value: Buffer.alloc(8) }),
      remove(absent),
      touch(absent, 5n),
      clear(absent),
    );
    expect(await pushedTo(watcher!)).toEqual([]);
  });

  test("a put that watches hears of the next change and not of itself", async () => {
    const [writer, watcher] = await connections(2);
    const key = fresh();
    await numberOf(watcher!, putWatched(key, "mine"));
    expect(await pushedTo(watcher!)).toEqual([]);
    const version = await numberOf(writer!, putNumbered(key, "theirs"));
    expect(await pushedTo(watcher!)).toEqual([changed([key, version])]);
  });

  test("UNWATCH with KEYS ends all of them", async () => {
    const [writer, watcher] = await connections(2);
    const keys = [fresh(), fresh()];
    for (const key of keys) await watcher!.ask(getWatched(key));
    await watcher!.ask(unwatchKeys());
    for (const key of keys) await writer!.ask(put(key, "x"));
    expect(await pushedTo(watcher!)).toEqual([]);
  });

  test("a clear of everything is a reset: the watches are void, and can be set again", async () => {
    const [writer, watcher] = await connections(2);
    const key = fresh();
    await writer!.ask(put(key, "x"));
    await watcher!.ask(getWatched(key));
    await writer!.ask(clear(""));
    const pushed = await pushedTo(watcher!);
    expect(pushed.at(-1)).toEqual({ push: "RESET", reason: 2, prefix: "" });
    await writer!.ask(put(key, "y"));
    expect((await pushedTo(watcher!)).filter(({ push }) => push === "CHANGED")).toEqual([]);
    await watcher!.ask(getWatched(key));
    const version = await numberOf(writer!, putNumbered(key, "z"));
    expect(await pushedTo(watcher!)).toEqual([changed([key, version])]);
  });
});

describe("GET with a version", () => {
  test("is CURRENT as long as the entry has it, with the time that is left", async () => {
    const [client] = await connections(1);
    const key = fresh();
    const version = await numberOf(client!, putNumbered(key, "x"));
    const noTtl = 0xffff_ffff_ffff_ffffn;
    expect(await client!.ask(getIfNewer(key, version))).toEqual([{ status: "CURRENT", ttlMs: noTtl }]);
    await client!.ask(touch(key, 60_000n));
    const [current] = (await client!.ask(getIfNewer(key, version))) as [Reply & { ttlMs: bigint }];
    expect(current.status).toBe("CURRENT");
    expect(current.ttlMs).toBeLessThanOrEqual(60_000n);
    const [read] = await client!.ask(getIfNewer(key, version - 1n));
    expect(read).toMatchObject({ status: "META_VALUE", version });
    expect(await client!.ask(getIfNewer(fresh(), version), getIfNewer(key, 0n))).toMatchObject([
      { status: "MISS" },
      { status: "META_VALUE" },
    ]);
  });

  test("watches as well", async () => {
    const [writer, watcher] = await connections(2);
    const key = fresh();
    const version = await numberOf(writer!, putNumbered(key, "x"));
    expect(await watcher!.ask(getWatched(key, version))).toMatchObject([{ status: "CURRENT" }]);
    const next = await numberOf(writer!, putNumbered(key, "y"));
    expect(await pushedTo(watcher!)).toEqual([changed([key, next])]);
  });
});

describe("a watch of a prefix", () => {
  test("is told of every change under it, and of none beside it, until UNWATCH", async () => {
    const [writer, ...watchers] = await connections(5);
    const prefix = fresh("p");
    for (const watcher of watchers) expect(await watcher.ask(watch(prefix))).toEqual([{ status: "OK" }]);
    const told: [string, bigint][] = [];
    for (let i = 0; i < 50; i++) {
      const key = `${prefix}${i}`;
      told.push([key, await numberOf(writer!, putNumbered(key, "x"))]);
      await writer!.ask(put(`beside:${prefix}${i}`, "x"));
    }
    for (const watcher of watchers) {
      const keys = (await pushedTo(watcher)).flatMap((push) => (push.push === "CHANGED" ? push.keys : []));
      // Of different keys they come in any order.
      const inOrder = (all: typeof keys) => all.toSorted((a, b) => (a.key < b.key ? -1 : 1));
      expect(inOrder(keys)).toEqual(inOrder(changed(...told).keys));
      await watcher.ask(unwatch(prefix));
    }
    await writer!.ask(put(`${prefix}1`, "y"));
    for (const watcher of watchers) expect(await pushedTo(watcher)).toEqual([]);
  });

  test("with NOLOOP not of the connection's own writes, and of everybody else's", async () => {
    const [writer, watcher] = await connections(2);
    const prefix = fresh("p");
    await watcher!.ask(watchNoLoop(prefix));
    await watcher!.ask(put(`${prefix}mine`, "x"));
    const version = await numberOf(writer!, putNumbered(`${prefix}theirs`, "x"));
    expect(await pushedTo(watcher!)).toEqual([changed([`${prefix}theirs`, version])]);
    await watcher!.ask(watch(prefix));
    const own = await numberOf(watcher!, putNumbered(`${prefix}mine`, "y"));
    expect(watcher!.pushed.splice(0)).toEqual([changed([`${prefix}mine`, own])]);
  });

  test("with a watch of a key under it, a change is told once", async () => {
    const [writer, watcher] = await connections(2);
    const prefix = fresh("p");
    await watcher!.ask(watch(prefix), watch(prefix.slice(0, 2)), getWatched(`${prefix}a`));
    const version = await numberOf(writer!, putNumbered(`${prefix}a`, "x"));
    expect(await pushedTo(watcher!)).toEqual([changed([`${prefix}a`, version])]);
  });

  test("a clear that reaches it is a reset of what both have", async () => {
    const [writer, watcher] = await connections(2);
    const prefix = fresh("p");
    await watcher!.ask(watch(prefix));
    for (const key of ["a:1", "a:2", "b:1"]) await writer!.ask(put(prefix + key, "x"));
    await pushedTo(watcher!);
    await writer!.ask(clear(`${prefix}a:`));
    const resets = await pushedTo(watcher!);
    expect(resets.length).toBeGreaterThan(0);
    for (const reset of resets) expect(reset).toEqual({ push: "RESET", reason: 2, prefix: `${prefix}a:` });
    await writer!.ask(clear(prefix.slice(0, -1)));
    for (const reset of await pushedTo(watcher!)) expect(reset).toEqual({ push: "RESET", reason: 2, prefix });
    await writer!.ask(put(`${prefix}b:1`, "x"));
    expect(await pushedTo(watcher!)).toMatchObject([{ push: "CHANGED" }]);
  });

  test("as long as a key may be, and no byte longer", async () => {
    const [writer, watcher] = await connections(2);
    const longest = "p".repeat(1024);
    expect(await watcher!.ask(watch(`${longest}p`))).toMatchObject([{ status: "ERROR", code: 0x82 }]);
    expect(await watcher!.ask(watch(longest))).toEqual([{ status: "OK" }]);
    const version = await numberOf(writer!, putNumbered(longest, "x"));
    expect(await pushedTo(watcher!)).toEqual([changed([longest, version])]);
  });

  test("16 for a connection, 64 different ones for all; beyond that BUSY, and room again after UNWATCH or an end", async () => {
    const clients = await connections(5);
    const prefix = fresh("p");
    for (const [i, client] of clients.slice(0, 4).entries()) {
      const all = Array.from({ length: 16 }, (_, n) => watch(`${prefix}${i}:${n}`));
      expect(await client.ask(...all)).toEqual(all.map(() => ({ status: "OK" })));
    }
    expect(await clients[0]!.ask(watch(`${prefix}more`))).toMatchObject([{ status: "ERROR", code: 0x86 }]);
    expect(await clients[4]!.ask(watch(`${prefix}more`))).toMatchObject([{ status: "ERROR", code: 0x86 }]);
    // Others may watch what is watched already.
    expect(await clients[4]!.ask(watch(`${prefix}0:0`), watch(`${prefix}1:1`))).toEqual([
      { status: "OK" },
      { status: "OK" },
    ]);
    await clients[1]!.ask(unwatch(`${prefix}1:2`));
    expect(await clients[4]!.ask(watch(`${prefix}more`))).toEqual([{ status: "OK" }]);
    clients[2]!.close();
    await clients[2]!.closed;
    const again = watch(`${prefix}again`);
    // The server hears of the end when it comes to it.
    for (;;) {
      const [reply] = await clients[3]!.ask(unwatch(`${prefix}3:0`), again);
      if (reply!.status === "OK") break;
    }
  });
});
