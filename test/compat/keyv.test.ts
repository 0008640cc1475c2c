/** The adapter for Keyv with Keyv 5 and 6, with Keyv's own tests of adapters, and in the caches that take Keyv stores. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { createKeyv, KeyvBreadbox, type KeyvBreadboxOptions } from "../../src/adapters/keyv";
import { type Cache, CacheError, connect } from "../../src/client/client";
import { startServer, type TestServer } from "../support/server";
import { client, installClients, versionOf } from "./clients";

/** More than the adapter reads at once. */
const MANY = 1200;

let server: TestServer;
let cache: Cache;
const made: KeyvBreadbox[] = [];

// Not in beforeAll: Keyv's own tests are found while this file is read.
await installClients();
const { default: keyvTestSuite, keyvIteratorTests } = await client("@keyv/test-suite");

beforeAll(async () => {
  server = await startServer();
  cache = await connect(server.ws);
});

beforeEach(async () => {
  await cache.clear();
});

afterEach(async () => {
  await Promise.all(made.splice(0).map((store) => store.disconnect()));
});

afterAll(async () => {
  await cache.close();
  expect(await server.stop()).toBe(0);
});

function storeWith(options: KeyvBreadboxOptions = {}): KeyvBreadbox {
  const store = new KeyvBreadbox(server.ws, options);
  made.push(store);
  return store;
}

async function keysOf(): Promise<string[]> {
  return (await Array.fromAsync(cache.scan())).sort();
}

/** What it tells as errors, from now on. */
function errorsOf(store: KeyvBreadbox): unknown[] {
  const errors: unknown[] = [];
  store.on("error", (error) => errors.push(error));
  return errors;
}

describe("Keyv's own tests of adapters", async () => {
  const { Keyv } = await client("keyv");
  // They are written for a test function that is handed what it needs.
  const vitest = {
    expect,
    beforeEach: (run: () => Promise<void>) => beforeEach(() => run()),
    afterEach: (run: () => Promise<void>) => afterEach(() => run()),
    it: (name: string, run: (context: object) => unknown) =>
      test(name, async () => {
        await run({ expect });
      }),
  };
  keyvTestSuite(vitest, Keyv, storeWith);
  keyvIteratorTests(vitest, Keyv, storeWith);
});

for (const [name, version] of [
  ["keyv", "5."],
  ["keyv-6", "6."],
] as const)
  describe(`Keyv ${version}x`, async () => {
    const { Keyv } = await client(name);
    const keyvWith = (options: object = {}, store = storeWith()) => new Keyv({ store, ...options });

    test("is that version", async () => {
      expect(await versionOf(name)).toStartWith(version);
    });

    test("values of every kind, and what is not there", async () => {
      const keyv = keyvWith();
      for (const value of ["text", 0, false, "", { deep: [1, { a: null }] }, Buffer.from([0, 255])]) {
        expect(await keyv.set("key", value)).toBe(true);
        expect(await keyv.get("key")).toEqual(value);
        expect(await keyv.has("key")).toBe(true);
      }
      expect(await keyv.delete("key")).toBe(true);
      expect(await keyv.delete("key")).toBe(false);
      expect(await keyv.get("key")).toBeUndefined();
      expect(await keyv.has("key")).toBe(false);
    });

    test("several at once", async () => {
      const keyv = keyvWith();
      const entries = [
        { key: "a", value: 1 },
        { key: "b", value: 2, ttl: 60_000 },
      ];
      expect(await keyv.setMany(entries)).toEqual([true, true]);
      expect(await keyv.getMany(["a", "b", "c"])).toEqual([1, 2, undefined]);
      expect(await keyv.hasMany(["a", "b", "c"])).toEqual([true, true, false]);
      await keyv.deleteMany(["a", "b"]);
      expect(await keysOf()).toEqual([]);
    });

    test("a time to live is the server's too, rounded up to whole milliseconds", async () => {
      const keyv = keyvWith();
      await keyv.set("short", "x", 59_999.5);
      await keyv.set("for ever", "x");
      await keyv.set("zero", "x", 0);
      const [zero, forever, short] = await Promise.all(
        ["zero", "for ever", "short"].map(async (end) =>
          cache.info((await keysOf()).find((key) => key.endsWith(end))!),
        ),
      );
      expect(short!.ttlMs).toBeGreaterThan(0);
      expect(short!.ttlMs).toBeLessThanOrEqual(60_000);
      expect([zero!.ttlMs, forever!.ttlMs]).toEqual([null, null]);
      await keyv.set("gone", "x", 1);
      while ((await keysOf()).some((key) => key.endsWith("gone")));
      expect(await keyv.get("gone")).toBeUndefined();
    });

    test("namespaces are apart: clear and iterator are of one", async () => {
      const [one, other] = [keyvWith({ namespace: "one" }), keyvWith({ namespace: "other" })];
      await cache.put("mine", "x");
      await Promise.all([one.set("a", 1), one.set("b", 2), other.set("a", 3)]);
      const entries = await Array.fromAsync(one.iterator());
      expect((entries as [string, number][]).sort()).toEqual([
        ["a", 1],
        ["b", 2],
      ]);
      await one.clear();
      expect(await one.get("a")).toBeUndefined();
      expect(await other.get("a")).toBe(3);
      expect(await cache.get("mine")).toBe("x");
    });

    test("iterates over more entries than it reads at once, each once", async () => {
      const keyv = keyvWith({ namespace: "many" });
      await keyv.setMany(Array.from({ length: MANY }, (_, i) => ({ key: `k${i}`, value: i })));
      const entries = (await Array.fromAsync(keyv.iterator())) as [string, number][];
      expect(entries.every(([key, value]) => key === `k${value}`)).toBe(true);
      expect(new Set(entries.map(([key]) => key)).size).toBe(MANY);
    });

    test("without the server a read is a miss, a write is false, and each is an error event", async () => {
      const store = new KeyvBreadbox("ws://127.0.0.1:1", { failFast: true });
      made.push(store);
      const keyv = keyvWith({}, store);
      const errors: CacheError[] = [];
      keyv.on("error", (error: CacheError) => errors.push(error));
      expect(await keyv.get("a")).toBeUndefined();
      expect(await keyv.getMany(["a", "b"])).toEqual([undefined, undefined]);
      expect(await keyv.has("a")).toBe(false);
      expect(await keyv.set("a", 1)).toBe(false);
      expect(await keyv.setMany([{ key: "a", value: 1 }])).toEqual([false]);
      expect(await keyv.delete("a")).toBe(false);
      await keyv.clear();
      expect(errors.length).toBe(7);
      expect(errors.every(({ code }) => code === "not-connected")).toBe(true);
    });
  });

describe("the adapter by itself", () => {
  test("is constructed in each way that other adapters are", async () => {
    const given = [
      new KeyvBreadbox(server.ws, { namespace: "n" }),
      new KeyvBreadbox({ url: server.ws, namespace: "n" }),
      new KeyvBreadbox({ uri: server.ws }, { namespace: "n" }),
      new KeyvBreadbox(cache, { namespace: "n" }),
    ];
    for (const [i, store] of given.entries()) {
      expect(await store.set("key", `${i}`)).toBe(true);
      expect(await cache.get("n::key")).toBe(`${i}`);
      expect(store.opts).toMatchObject({ namespace: "n", keyPrefixSeparator: "::" });
      await store.disconnect();
    }
    expect(given[1]!.opts.url).toBe(server.ws);
    expect(new KeyvBreadbox().opts.url).toBe("ws://localhost:7171");
  });

  test("a client that was given stays open, and takes no options of a connection", async () => {
    await new KeyvBreadbox(cache).disconnect();
    expect(await cache.put("still", "open")).toBeGreaterThan(0);
    for (const options of [{ token: "x" }, { url: server.ws } as object])
      expect(() => new KeyvBreadbox(cache, options)).toThrow("has its connection already");
  });

  test("an option that does not exist is an error of the first request", async () => {
    const store = storeWith({ useUnlink: true } as object);
    const errors = errorsOf(store);
    expect(await store.get("key")).toBeUndefined();
    expect(errors).toEqual([expect.objectContaining({ code: "invalid-argument" })]);
  });

  test("after disconnect the next request connects again", async () => {
    const store = storeWith();
    await store.set("key", "x");
    const { client: first } = store;
    await store.disconnect();
    await expect(first.get("key")).rejects.toThrow("closed");
    expect(await store.get("key")).toBe("x");
  });

  test("without a namespace, clear and iterator leave those of others", async () => {
    const store = storeWith();
    await cache.putMany([
      ["a", "1"],
      ["b", "2"],
      ["n::a", "3"],
    ]);
    expect((await Array.fromAsync(store.iterator())).sort()).toEqual([
      ["a", "1"],
      ["b", "2"],
    ]);
    await store.clear();
    expect(await keysOf()).toEqual(["n::a"]);
  });

  test("with noNamespaceAffectsAll they are about everything, and another separator is another namespace", async () => {
    const store = storeWith({ noNamespaceAffectsAll: true });
    await storeWith({ namespace: "n", keyPrefixSeparator: "/" }).set("a", "1");
    await storeWith({ namespace: "n" }).set("a", "2");
    expect((await Array.fromAsync(store.iterator())).sort()).toEqual([
      ["n/a", "1"],
      ["n::a", "2"],
    ]);
    await store.clear();
    expect(await keysOf()).toEqual([]);
  });

  test("deleteMany says whether there was any; hasMany and getMany of none ask for nothing", async () => {
    const store = storeWith();
    await store.set("a", "1");
    expect(await store.deleteMany(["a", "b"])).toBe(true);
    expect(await store.deleteMany(["a", "b"])).toBe(false);
    expect(await store.hasMany([])).toEqual([]);
    expect(await store.getMany([])).toEqual([]);
  });

  test("throwOnErrors rejects beside the event", async () => {
    const store = storeWith({ throwOnErrors: true });
    const errors = errorsOf(store);
    const tooLong = "k".repeat(2000);
    await expect(store.set(tooLong, "x")).rejects.toMatchObject({ code: "bad-key" });
    await expect(store.get(tooLong)).rejects.toBeInstanceOf(CacheError);
    expect(errors.length).toBe(2);
  });

  test("of several that are written, only what fails is false", async () => {
    const store = storeWith();
    const errors = errorsOf(store);
    const entries = ["good", "k".repeat(2000), "better"].map((key) => ({ key, value: "x" }));
    expect(await store.setMany(entries)).toEqual([true, false, true]);
    expect(errors.length).toBe(1);
  });

  test("listeners come and go", () => {
    const store = storeWith();
    const heard: unknown[] = [];
    const listener = (detail: unknown) => heard.push(detail);
    store.on("error", listener).once("error", (detail) => heard.push(["once", detail]));
    store.emit("error", 1);
    store.emit("error", 2);
    store.off("error", listener).emit("error", 3);
    store.emit("nobody listens", 4);
    expect(heard).toEqual([1, ["once", 1], 2]);
  });
});

describe("createKeyv", () => {
  test("prefixes keys once, with the namespace or with nothing", async () => {
    const keyv = createKeyv(server.ws, { namespace: "app" });
    await keyv.set("key", { a: 1 });
    const bare = createKeyv({ url: server.ws });
    await bare.set("key", 2);
    expect(await keysOf()).toEqual(["app::key", "key"]);
    expect([await keyv.get("key"), await bare.get("key")]).toEqual([{ a: 1 }, 2]);
    await bare.clear();
    expect(await Array.fromAsync(keyv.iterator!({}))).toEqual([["key", { a: 1 }]]);
    await Promise.all([keyv.disconnect(), bare.disconnect()]);
  });

  test("with throwOnErrors Keyv rejects, too", async () => {
    const keyv = createKeyv("ws://127.0.0.1:1", { throwOnErrors: true, failFast: true });
    await expect(keyv.get("key")).rejects.toMatchObject({ code: "not-connected" });
    await keyv.disconnect();
  });
});

describe("caches that take Keyv stores", () => {
  test("cacheable: what one process wrote, another reads through its second layer", async () => {
    const { Cacheable } = await client("cacheable");
    const [one, other] = [0, 1].map(
      () => new Cacheable({ secondary: createKeyv(server.ws, { namespace: "c" }) }),
    );
    await one.set("user", { name: "Ada" }, "1h");
    expect(await other.get("user")).toEqual({ name: "Ada" });
    expect((await cache.info("c::user"))!.ttlMs).toBeLessThanOrEqual(3_600_000);
    await other.delete("user");
    expect(await cache.has("c::user")).toBe(false);
    await Promise.all([one.disconnect(), other.disconnect()]);
  });

  test("cache-manager: set, get, mget, wrap, ttl, clear", async () => {
    const { createCache } = await client("cache-manager");
    const manager = createCache({ stores: [createKeyv(server.ws, { namespace: "m" })] });
    await manager.set("a", 1, 60_000);
    await manager.mset([
      { key: "b", value: 2 },
      { key: "c", value: 3 },
    ]);
    expect(await manager.mget(["a", "b", "c", "d"])).toEqual([1, 2, 3, undefined]);
    let computed = 0;
    const compute = () => ++computed;
    expect([await manager.wrap("w", compute, 60_000), await manager.wrap("w", compute, 60_000)]).toEqual([
      1, 1,
    ]);
    expect(await manager.ttl("a")).toBeGreaterThan(Date.now());
    await manager.clear();
    expect(await keysOf()).toEqual([]);
    await manager.disconnect();
  });

  test("Apollo: get and set with a time to live in seconds", async () => {
    const { KeyvAdapter } = await client("@apollo/utils.keyvadapter");
    const keyv = createKeyv(server.ws, { namespace: "apollo" });
    const adapter = new KeyvAdapter(keyv);
    await adapter.set("query", "result", { ttl: 60 });
    expect(await Promise.all(["query", "none"].map((key) => adapter.get(key)))).toEqual([
      "result",
      undefined,
    ]);
    expect((await cache.info("apollo::query"))!.ttlMs).toBeGreaterThan(1000);
    expect(await adapter.delete("query")).toBe(true);
    await keyv.disconnect();
  });
});
