/** The client and the server together, with two workers: what is watched, kept and computed, over everything that can break. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { type Cache, type Change, connect, type ConnectOptions } from "../../src/client/client";
import type { FaultOrder } from "../faults/fault-order";
import { freeze, thaw } from "../support/process";
import { scopedToken, SECRET } from "../support/scoped";
import { startServer, type StartOptions, type TestServer } from "../support/server";
import { temporaryFile, temporaryPath } from "../support/temporary";
import { errorOf } from "./error-of";
import { Relay } from "./relay";

/** Longer than any test, so that nothing ends because the machine is slow. */
const LONG_MS = 60_000;
const OPTIONS = { timeoutMs: LONG_MS, connectTimeoutMs: LONG_MS, reconnectMinMs: 5, reconnectMaxMs: 50 };
const NEAR = { near: { maxAgeMs: LONG_MS } };
const FAULTY = new URL("../faults/faulty-server.ts", import.meta.url).pathname;

let server: TestServer;
let caches: Cache[] = [];
let relays: Relay[] = [];

afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()));
  for (const relay of relays.splice(0)) relay.close();
  if (server.process.exitCode === null && server.process.signalCode === null)
    expect(await server.stop()).toBe(0);
});

const start = async (options: StartOptions = {}) => (server = await startServer(options));

async function join(options: ConnectOptions = {}, url = server.ws): Promise<Cache> {
  const cache = await connect(url, { ...OPTIONS, ...options });
  caches.push(cache);
  return cache;
}

/** So many that each worker has some: the kernel spreads them. */
const crowd = (count: number, options: ConnectOptions = {}) =>
  Promise.all(Array.from({ length: count }, () => join(options)));

async function relay(): Promise<Relay> {
  const made = await Relay.to(server.port);
  relays.push(made);
  return made;
}

interface Stats {
  watches: number;
  prefixes: number;
  leases: number;
  tickets: number;
  keysPushed: number;
  resets: Record<string, number>;
  commands: Record<string, number>;
}

const stats = async () => (await (await fetch(`${server.http}/stats`, { keepalive: false })).json()) as Stats;

/** Resolves when the server says so. */
async function untilStats(holds: (stats: Stats) => boolean): Promise<void> {
  while (!holds(await stats()));
}

/** After it, all that had changed has been told to these. */
const hear = (...all: Cache[]) => Promise.all(all.map((cache) => cache.ping()));

describe("watch", () => {
  test("tells what is changed through any worker: each put and deletion, in the order of its key", async () => {
    await start();
    const [watchers, writers] = await Promise.all([crowd(12), crowd(12)]);
    const heard = watchers.map(async (cache) => {
      const changes: Change[] = [];
      for await (const change of cache.watch("w:")) {
        if (change.key === "w:end") return changes;
        changes.push(change);
      }
      throw new Error("it ended");
    });
    await hear(...watchers);
    const versions = await Promise.all(writers.map((cache, i) => cache.put(`w:${i}`, "x")));
    await Promise.all(writers.map((cache, i) => cache.delete(`w:${i}`)));
    await writers[0]!.put("other:1", "x");
    await hear(...watchers);
    await writers[0]!.put("w:end", "x");
    for (const changes of await Promise.all(heard)) {
      expect(changes.length).toBe(24);
      for (const [i, version] of versions.entries()) {
        const [put, deletion] = changes.filter(({ key }) => key === `w:${i}`);
        expect(put!.version).toBe(version!);
        expect(deletion!.version).toBeGreaterThan(version!);
      }
    }
    await hear(...watchers);
    expect((await stats()).prefixes).toBe(0);
  });

  test("of a scoped token hears of its prefix alone", async () => {
    const file = temporaryFile("streaming secret", SECRET);
    await start({ flags: ["--token-secret-file", file, "--token", "root"] });
    const writer = await join({ token: "root" });
    const scoped = await join({ token: scopedToken("a:", ["get", "put"]), ...NEAR });
    const watch = scoped.watch();
    const first = watch.next();
    await scoped.ping();
    await writer.put("b:1", "x");
    const version = await writer.put("a:1", "x");
    expect(await first).toEqual({ done: false, value: { key: "a:1", version: version! } });
    for (const prefix of ["b:", "a"])
      expect((await errorOf(scoped.watch(prefix).next())).code).toBe("forbidden");
    expect((await errorOf(scoped.get("b:1"))).code).toBe("forbidden");
    expect((await errorOf(scoped.getOrCompute("b:2", () => "x"))).code).toBe("forbidden");
    expect(await scoped.getOrCompute("a:2", () => "computed")).toBe("computed");
    expect(await scoped.get("a:1")).toBe("x");
    await writer.put("a:1", "y");
    await scoped.ping();
    expect(scoped.near.peek("a:1")).toBeUndefined();
    const reader = await join({ token: scopedToken("a:", ["get"]) });
    expect((await errorOf(reader.getOrCompute("a:2", () => "x"))).code).toBe("forbidden");
    await watch.return!();
  });

  test("ends with its token, and so do copies, and who waits for a value", async () => {
    const file = temporaryFile("streaming tokens", "all root\nall theirs\n");
    await start({ flags: ["--token-file", file] });
    const [root, theirs] = [await join({ token: "root" }), await join({ token: "theirs", ...NEAR })];
    const held = Promise.withResolvers<string>();
    const holding = root.getOrCompute("computed", () => held.promise);
    await root.ping();
    await theirs.put("k", "x");
    expect(await theirs.get("k")).toBe("x");
    const watching = errorOf(theirs.watch("k").next());
    const waiting = errorOf(theirs.getOrCompute("computed", () => "theirs"));
    await theirs.ping();
    expect(await root.stats()).toMatchObject({ watches: 1, prefixes: 1, tickets: 1 });
    temporaryFile("streaming tokens", "all root\n");
    await server.renew();
    for (const ended of [watching, waiting]) expect((await ended).code).toBe("unauthorized");
    expect((await errorOf(theirs.get("k"))).code).toBe("unauthorized");
    expect(theirs.near.peek("k")).toBeUndefined();
    expect(await root.stats()).toMatchObject({ watches: 0, prefixes: 0, tickets: 0 });
    held.resolve("root's");
    expect(await holding).toBe("root's");
  });

  test("goes on over a restart of the server, and says what may have been missed", async () => {
    await start();
    const cache = await join(NEAR);
    await cache.put("k", "old");
    expect(await cache.get("k")).toBe("old");
    const watch = cache.watch("k");
    const change = watch.next();
    await cache.ping();
    const { port } = server;
    expect(await server.stop()).toBe(0);
    await start({ flags: ["--port", String(port)] });
    expect(await change).toEqual({ done: false, value: { reset: "k" } });
    expect(cache.near.peek("k")).toBeUndefined();
    expect(await cache.get("k")).toBeNull();
    const writer = await join();
    const version = await writer.put("k", "new");
    expect(await watch.next()).toEqual({ done: false, value: { key: "k", version: version! } });
    expect(cache.near.peek("k")).toBeUndefined();
    expect(await cache.get("k")).toBe("new");
    await watch.return!();
  });
});

describe("near cache", () => {
  test("reads are answered by copies, without a message, until somebody writes", async () => {
    await start();
    const readers = await crowd(8, NEAR);
    const writer = await join(NEAR);
    await writer.put("k", "one");
    const gets = async () => (await stats()).commands.get!;
    const expectReads = async (value: string | null) => {
      const before = await gets();
      expect(await Promise.all(readers.map((cache) => cache.get("k")))).toEqual(readers.map(() => value));
      expect(await gets()).toBe(before + readers.length);
      for (let i = 0; i < 1000; i++) for (const cache of readers) expect(await cache.get("k")).toBe(value);
      expect(await gets()).toBe(before + readers.length);
    };
    await expectReads("one");
    expect((await stats()).watches).toBe(readers.length);
    const changes: [change: () => Promise<unknown>, value: string | null][] = [
      [() => writer.put("k", "two"), "two"],
      [() => writer.append("k", "!"), "two!"],
      [() => writer.touch("k", { ttlMs: LONG_MS }), "two!"],
      [() => writer.delete("k"), null],
      [() => writer.add("k", 42), "42"],
      [() => writer.clear("k"), null],
      [() => readers[0]!.put("k", "three"), "three"],
      [() => writer.clear(), null],
    ];
    for (const [change, value] of changes) {
      await change();
      await hear(...readers);
      for (const cache of readers) expect(cache.near.peek("k")).toBeUndefined();
      await expectReads(value);
    }
  });

  test("what a client holds on the server ends with its connection, and is in the metrics until then", async () => {
    await start();
    const cache = await join(NEAR);
    await cache.many(Array.from({ length: 100 }, (_, i) => `k:${i}`));
    const watch = cache.watch("k:");
    void watch.next();
    await cache.ping();
    const metrics = async () => await (await fetch(`${server.http}/metrics`, { keepalive: false })).text();
    expect(await stats()).toMatchObject({ watches: 100, prefixes: 1 });
    for (const line of ["breadbox_watched_keys 100\n", "breadbox_watched_prefixes 1\n"])
      expect(await metrics()).toContain(line);
    await cache.close();
    await untilStats(({ watches, prefixes }) => watches === 0 && prefixes === 0);
    for (const line of ["breadbox_watched_keys 0\n", "breadbox_watched_prefixes 0\n"])
      expect(await metrics()).toContain(line);
  });

  describe("after a broken connection 10,000 copies cost nine bytes each", () => {
    const KEYS = Array.from({ length: 10_000 }, (_, i) => `key:${i}`);
    const VALUE = "v".repeat(200);
    const CHANGED = 7;
    /** A reply of CURRENT is 9 bytes; the frames around replies are few. */
    const BYTES_MAX = KEYS.length * 9 + VALUE.length * CHANGED + 10_000;

    async function hold(writer: Cache, through: Relay): Promise<Cache> {
      await Promise.all(KEYS.map((key) => writer.put(key, VALUE)));
      const cache = await join(NEAR, through.url);
      await cache.many(KEYS);
      expect(through.bytesToClient).toBeGreaterThan(KEYS.length * VALUE.length);
      return cache;
    }

    /** All of them are read, and only those that have changed are sent again. */
    async function expectCurrent(cache: Cache, writer: Cache, through: Relay): Promise<void> {
      for (let i = 0; i < CHANGED; i++) await writer.put(KEYS[i * 1000]!, "changed");
      await cache.ping();
      const before = through.bytesToClient;
      for (const key of KEYS) if (cache.near.peek(key) !== undefined) throw new Error(`${key} was served`);
      const values = await cache.many(KEYS);
      expect(values.filter((value) => value === "changed").length).toBe(CHANGED);
      expect(values.filter((value) => value === VALUE).length).toBe(KEYS.length - CHANGED);
      expect(through.bytesToClient - before).toBeLessThan(BYTES_MAX);
      expect(cache.near.stats()).toMatchObject({
        revalidations: KEYS.length - CHANGED,
        entries: KEYS.length,
      });
      expect(await cache.many(KEYS)).toEqual(values);
      expect(cache.near.stats().hits).toBe(KEYS.length);
      // And they are watched again.
      await writer.put(KEYS[1]!, "later");
      await cache.ping();
      expect(cache.near.peek(KEYS[1]!)).toBeUndefined();
      expect(await cache.get(KEYS[1]!)).toBe("later");
    }

    test("to the same server", async () => {
      await start();
      const [through, writer] = [await relay(), await join()];
      const cache = await hold(writer, through);
      const reopened = new Promise((resolve) => cache.on("open", resolve));
      through.cut();
      await reopened;
      await expectCurrent(cache, writer, through);
    });

    test("to one that was killed and has kept its entries", async () => {
      const directory = temporaryPath("streaming data");
      mkdirSync(directory, { mode: 0o700 });
      const flags = ["--data-dir", directory];
      await start({ flags });
      const { port } = server;
      const [through, writer] = [await relay(), await join()];
      const cache = await hold(writer, through);
      server.process.kill("SIGKILL");
      await server.process.exited;
      await start({ flags: [...flags, "--port", String(port)] });
      await expectCurrent(cache, writer, through);
    });
  });

  describe("nothing older than maxAgeMs is served", () => {
    const MAX_AGE_MS = 300;

    /** Reads a copy until it is too old. No later read is answered by it. */
    async function expectEnds(cache: Cache, halfOpenSince: number): Promise<void> {
      for (;;) {
        const askedAt = performance.now();
        if (cache.near.peek("k") === undefined) break;
        expect(askedAt - halfOpenSince).toBeLessThanOrEqual(MAX_AGE_MS);
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect((await errorOf(cache.get("k", { timeoutMs: 100 }))).code).toBe("timeout");
      expect(cache.near.peek("k")).toBeUndefined();
    }

    /** Copies are served again, as soon as the server answers in time. */
    async function expectBegins(cache: Cache, value: string): Promise<void> {
      let served: string | null | undefined;
      do {
        expect(await cache.get("k")).toBe(value);
        served = cache.near.peek("k");
      } while (served === undefined);
      expect(served).toBe(value);
    }

    test("while the server stands still", async () => {
      await start();
      const cache = await join({ near: { maxAgeMs: MAX_AGE_MS } });
      await cache.put("k", "x");
      await cache.get("k");
      await freeze(server.process.pid);
      const since = performance.now();
      try {
        await expectEnds(cache, since);
      } finally {
        thaw(server.process.pid);
      }
      await expectBegins(cache, "x");
    });

    test("while the way to the server is cut unnoticed, and others write", async () => {
      await start();
      const [through, writer] = [await relay(), await join()];
      await writer.put("k", "old");
      const cache = await join({ near: { maxAgeMs: MAX_AGE_MS } }, through.url);
      await cache.get("k");
      through.hold();
      const since = performance.now();
      await writer.put("k", "new");
      await expectEnds(cache, since);
      const answer = cache.get("k");
      through.release();
      expect(await answer).toBe("new");
      await expectBegins(cache, "new");
    });
  });

  test("a client that does not read for a while is told that everything may be old, and is right again", async () => {
    await start();
    const [through, writer] = [await relay(), await join()];
    const kept = Array.from({ length: 50 }, (_, i) => `kept:${i}`);
    await Promise.all(kept.map((key) => writer.put(key, "old")));
    const cache = await join(NEAR, through.url);
    await cache.many(kept);
    const changes: Change[] = [];
    const watching = (async () => {
      for await (const change of cache.watch()) {
        if (change.key === "end") return;
        changes.push(change);
      }
    })();
    await cache.ping();
    through.hold();
    // Long keys fill the buffers of the way before they fill what the server keeps.
    const long = Array.from({ length: 500 }, (_, i) => `long:${String(i).padStart(1000, "0")}`);
    do await Promise.all(long.map((key) => writer.put(key, "x")));
    while ((await stats()).resets.overflow === 0);
    await Promise.all(kept.map((key) => writer.put(key, "new")));
    through.release();
    await cache.ping();
    expect(changes.filter(({ reset }) => reset === "").length).toBeGreaterThan(0);
    for (const key of kept) expect(cache.near.peek(key)).toBeUndefined();
    expect(await cache.many(kept)).toEqual(kept.map(() => "new"));
    await writer.put(kept[0]!, "newer");
    await writer.put("end", "x");
    await watching;
    expect(cache.near.peek(kept[0]!)).toBeUndefined();
    expect(await cache.get(kept[0]!)).toBe("newer");
    expect(cache.near.peek(kept[1]!)).toBe("new");
  });
});

describe("getOrCompute", () => {
  const CONNECTIONS = 20;
  const CALLERS = 50;
  const LEASE = { leaseMs: LONG_MS, timeoutMs: LONG_MS };

  /** A function that computes; tests see who began, and let all go on together. */
  class Work {
    /** Who computes what, in the order of their beginnings. */
    readonly begun: { key: string; by: number }[] = [];
    private readonly gate = Promise.withResolvers<void>();
    private news = Promise.withResolvers<void>();

    /** Of one client. */
    by(client: number, key: string): () => Promise<string> {
      return async () => {
        const value = `${key} by ${client}`;
        this.begun.push({ key, by: client });
        this.news.resolve();
        this.news = Promise.withResolvers();
        await this.gate.promise;
        return value;
      };
    }

    async hasBegun(times: number): Promise<void> {
      while (this.begun.length < times) await this.news.promise;
    }

    finish(): void {
      this.gate.resolve();
    }

    times(key: string): number {
      return this.begun.filter((one) => one.key === key).length;
    }
  }

  /** All callers of all clients; by client. */
  const callAll = (all: readonly Cache[], compute: (client: number) => () => Promise<string>) =>
    all.map((cache, client) =>
      Promise.allSettled(
        Array.from({ length: CALLERS }, () => cache.getOrCompute("cold", compute(client), LEASE)),
      ),
    );
  const all = (value: string) => Array.from({ length: CALLERS }, () => ({ status: "fulfilled", value }));
  /** One computes, and all others wait for it. */
  const allWait = async (work: Work) => {
    await untilStats(({ tickets }) => tickets === CONNECTIONS - 1);
    await work.hasBegun(1);
  };

  test("1,000 callers over 20 connections and two workers: computed once, all have the value", async () => {
    await start();
    const clients = await crowd(CONNECTIONS);
    const work = new Work();
    const called = callAll(clients, (client) => work.by(client, "cold"));
    await allWait(work);
    work.finish();
    const value = `cold by ${work.begun[0]!.by}`;
    for (const results of await Promise.all(called)) expect(results).toEqual(all(value) as never);
    expect(work.times("cold")).toBe(1);
    const { commands, leases, tickets } = await stats();
    expect(commands.lease).toBe(CONNECTIONS);
    expect({ leases, tickets }).toEqual({ leases: 0, tickets: 0 });
  });

  test("the computing client's connection breaks half-way: computed twice, and the late value is not stored", async () => {
    await start();
    const ways = await Promise.all(Array.from({ length: CONNECTIONS }, relay));
    const clients = await Promise.all(ways.map(({ url }) => join({}, url)));
    const work = new Work();
    const called = callAll(clients, (client) => work.by(client, "cold"));
    await allWait(work);
    const first = work.begun[0]!.by;
    ways[first]!.cut();
    await work.hasBegun(2);
    work.finish();
    const second = work.begun[1]!.by;
    expect(second).not.toBe(first);
    for (const [client, results] of (await Promise.all(called)).entries())
      expect(results).toEqual(all(`cold by ${client === first ? first : second}`) as never);
    expect(work.times("cold")).toBe(2);
    for (const cache of clients) expect(await cache.get("cold")).toBe(`cold by ${second}`);
  });

  test("a worker dies under those who compute and those who wait: each value is computed once, or twice if its first was lost", async () => {
    await start({ program: FAULTY, before: ["--at-once"], flags: ["--log-level", "debug"] });
    const clients = await crowd(CONNECTIONS);
    const lost = new Set<number>();
    for (const [client, cache] of clients.entries()) cache.on("close", () => lost.add(client));
    const work = new Work();
    const keyOf = (client: number) => `of:${client}`;
    const compute = (cache: Cache, client: number, key: string) =>
      cache.getOrCompute(key, work.by(client, key), LEASE);
    const own = clients.map((cache, client) => compute(cache, client, keyOf(client)));
    await work.hasBegun(CONNECTIONS);
    const others = clients.flatMap((cache, client) =>
      clients
        .map((_, other) => other)
        .filter((other) => other !== client)
        .map((other) => compute(cache, client, keyOf(other))),
    );
    await untilStats(({ tickets }) => tickets === CONNECTIONS * (CONNECTIONS - 1));
    const order: FaultOrder = { worker: 0, fault: "exit" };
    server.process.stdin.write(`${JSON.stringify(order)}\n`);
    server.process.stdin.flush();
    await server.loggedTimes("worker 0 ended", 1);
    await hear(...clients);
    expect(lost.size).toBeGreaterThan(0);
    expect(lost.size).toBeLessThan(CONNECTIONS);
    await work.hasBegun(CONNECTIONS + lost.size);
    work.finish();
    await Promise.all([...own, ...others]);
    for (const client of clients.keys())
      expect({ client, times: work.times(keyOf(client)) }).toEqual({
        client,
        times: lost.has(client) ? 2 : 1,
      });
    const values = await Promise.all(clients.map((cache) => cache.many([...clients.keys()].map(keyOf))));
    for (const value of values) expect(value).toEqual(values[0]!);
    await untilStats(({ leases, tickets }) => leases === 0 && tickets === 0);
  });

  test("what it throws is its own callers' error, and the next who waits computes", async () => {
    await start();
    const clients = await crowd(CONNECTIONS);
    const work = new Work();
    const fault = new Error("no value");
    const called = callAll(clients, (client) => async () => {
      const value = await work.by(client, "cold")();
      if (work.begun[0]!.by === client) throw fault;
      return value;
    });
    await allWait(work);
    work.finish();
    const results = await Promise.all(called);
    const [first, second] = work.begun.map(({ by }) => by);
    for (const [client, settled] of results.entries())
      if (client !== first) expect(settled).toEqual(all(`cold by ${second}`) as never);
      else for (const result of settled) expect((result as PromiseRejectedResult).reason).toBe(fault);
    expect(work.times("cold")).toBe(2);
  });

  test("somebody deletes the key meanwhile: what was computed is not stored, and computed again", async () => {
    await start();
    const clients = await crowd(CONNECTIONS);
    const work = new Work();
    const called = callAll(clients, (client) => work.by(client, "cold"));
    await allWait(work);
    await clients[0]!.delete("cold");
    await work.hasBegun(2);
    work.finish();
    await Promise.all(called);
    expect(work.times("cold")).toBe(2);
    const second = work.begun[1]!.by;
    for (const cache of clients) expect(await cache.get("cold")).toBe(`cold by ${second}`);
  });

  test("an entry that is about to expire is computed anew once, while everybody has the old value", async () => {
    await start();
    const clients = await crowd(CONNECTIONS, NEAR);
    await clients[0]!.put("cold", "old", { ttlMs: LONG_MS });
    const work = new Work();
    const terms = { ...LEASE, earlyMs: 2 * LONG_MS };
    const read = () =>
      Promise.all(clients.map((cache, client) => cache.getOrCompute("cold", work.by(client, "new"), terms)));
    for (let round = 0; round < 3; round++) expect(await read()).toEqual(clients.map(() => "old"));
    await work.hasBegun(1);
    work.finish();
    const value = `new by ${work.begun[0]!.by}`;
    while ((await clients[0]!.getWithMeta("cold"))!.text === "old");
    await hear(...clients);
    expect(await read()).toEqual(clients.map(() => value));
    expect(work.times("new")).toBe(1);
  });

  test("over a restart of the server: those who wait ask again on the next connection, and one computes for all", async () => {
    await start();
    const clients = await crowd(CONNECTIONS);
    const closed = clients.map((cache) => new Promise((resolve) => cache.on("close", resolve)));
    const work = new Work();
    const called = callAll(clients, (client) => work.by(client, "cold"));
    await allWait(work);
    const { port } = server;
    expect(await server.stop()).toBe(0);
    await Promise.all(closed);
    // Workers end their connections at different moments, so a lease may have been passed on once more.
    const before = work.begun.map(({ by }) => by);
    await start({ flags: ["--port", String(port)] });
    await untilStats(({ tickets }) => tickets === CONNECTIONS - before.length - 1);
    await work.hasBegun(before.length + 1);
    work.finish();
    const results = await Promise.all(called);
    expect(work.times("cold")).toBe(before.length + 1);
    const { by } = work.begun.at(-1)!;
    for (const [client, settled] of results.entries())
      expect(settled).toEqual(all(`cold by ${before.includes(client) ? client : by}`) as never);
  });
});
