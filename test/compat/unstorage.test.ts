/** unstorage with its http driver and with ours, against the server: what its own tests ask of every driver. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import breadboxDriver from "../../src/adapters/unstorage";
import { type Cache, connect } from "../../src/client/client";
import { Relay } from "../client/relay";
import { ALL, type DialectServer, scoped, startDialects } from "../http/dialects/support";
import { client, installClients } from "./clients";

let dialects: DialectServer;
let createStorage: any;
let driver: any;
let storage: any;

beforeAll(async () => {
  await installClients();
  dialects = await startDialects();
  ({ createStorage } = await client("unstorage"));
  driver = (await client("unstorage/drivers/http")).default;
});

afterAll(async () => {
  expect(await dialects.server.stop()).toBe(0);
});

const storageFor = (token: string) =>
  createStorage({
    driver: driver({
      base: `${dialects.server.http}/unstorage`,
      headers: { Authorization: `Bearer ${token}` },
    }),
  });

const ownStorage = (token: string, base?: string) =>
  createStorage({ driver: breadboxDriver({ url: dialects.server.ws, token, base }) });

for (const [name, makeStorage] of [
  ["the http driver with a token for everything", () => storageFor(ALL)],
  [
    "the http driver with a scoped token",
    () => storageFor(scoped("unstorage:app:", ["get", "put", "delete", "scan"])),
  ],
  ["our driver", () => ownStorage(ALL)],
  ["our driver with a base", () => ownStorage(ALL, "app:one:")],
  [
    "our driver with a scoped token",
    () => ownStorage(scoped("app:", ["get", "put", "delete", "scan"]), "app"),
  ],
] as const)
  describe(name, () => {
    beforeEach(() => {
      storage = makeStorage();
    });

    afterEach(async () => {
      await storage.clear();
      await storage.dispose();
    });

    test("nothing at first", async () => {
      expect(await storage.hasItem("s1:a")).toBe(false);
      expect(await storage.getItem("s2:a")).toBeNull();
      expect(await storage.getKeys()).toEqual([]);
    });

    test("texts, objects, and what is false", async () => {
      for (const [key, value] of Object.entries({
        "s1:a": "test_data",
        "data:object.json": { json: "works", deep: [1, { a: null }] },
        zero: 0,
        flag: false,
        truth: true,
        empty: "",
        unicode: "größe ✓",
        numeral: "0123x",
      })) {
        await storage.setItem(key, value);
        expect([key, await storage.hasItem(key)]).toEqual([key, true]);
        expect([key, await storage.getItem(key)]).toEqual([key, value]);
      }
      await storage.setItem("gone", "x");
      await storage.setItem("gone", undefined);
      expect(await storage.hasItem("gone")).toBe(false);
      await storage.setItem("null", null);
      expect(await storage.getItem("null")).toBeNull();
    });

    test("raw values are the bytes that they were", async () => {
      const value = new Uint8Array([1, 2, 3, 0, 255]);
      await storage.setItemRaw("data:raw.bin", value);
      expect(new Uint8Array(await storage.getItemRaw("data:raw.bin"))).toEqual(value);
      await storage.setItem("data:text", "text");
      expect(Buffer.from(await storage.getItemRaw("data:text")).toString()).toBe("text");
      await storage.setItemRaw("data:raw-text", "raw text");
      expect(await storage.getItem("data:raw-text")).toBe("raw text");
    });

    test("keys and bases, however they are separated", async () => {
      for (const key of ["s1:a", "s2:a", "s3/a?q=1", "deep:er:and\\deeper", "key with spaces:größe"])
        await storage.setItem(key, "x");
      expect((await storage.getKeys()).sort()).toEqual([
        "deep:er:and:deeper",
        "key with spaces:größe",
        "s1:a",
        "s2:a",
        "s3:a",
      ]);
      expect(await storage.getKeys("s1")).toEqual(["s1:a"]);
      expect(await storage.getKeys("deep/er")).toEqual(["deep:er:and:deeper"]);
      expect((await storage.getKeys(undefined, { maxDepth: 1 })).sort()).toEqual([
        "key with spaces:größe",
        "s1:a",
        "s2:a",
        "s3:a",
      ]);
      // The storage itself asks only for whole mounts to be cleared.
      await storage.getMount("").driver.clear("s1");
      expect((await storage.getKeys()).length).toBe(4);
    });

    test("several at once", async () => {
      await storage.setItems([
        { key: "t:1", value: "one" },
        { key: "t:2", value: { two: 2 } },
      ]);
      expect(await storage.getItems(["t:1", "t:2", "t:3"])).toEqual([
        { key: "t:1", value: "one" },
        { key: "t:2", value: { two: 2 } },
        { key: "t:3", value: null },
      ]);
    });

    test("meta: what is left of a ttl, and what was set", async () => {
      await storage.setItem("ttl", "x", { ttl: 1000 });
      expect(await storage.getMeta("ttl")).toMatchObject({ ttl: expect.closeTo(996, -1) });
      await storage.setItem("for-ever", "x");
      expect((await storage.getMeta("for-ever")).ttl).toBeUndefined();
      await storage.setMeta("for-ever", { owner: "me" });
      expect(await storage.getMeta("for-ever")).toMatchObject({ owner: "me" });
    });

    test("removing, also what is not there", async () => {
      await storage.setItem("a", "x");
      await storage.removeItem("a");
      await storage.removeItem("a");
      expect(await storage.getItem("a")).toBeNull();
    });
  });

test("an error of the server is an error of the driver's, with its message", async () => {
  const reader = storageFor("wrong");
  await expect(reader.getItem("a")).rejects.toThrow("401");
});

describe("our driver", () => {
  let cache: Cache;

  beforeAll(async () => {
    cache = await connect(dialects.server.ws, { token: ALL });
  });

  afterEach(async () => {
    await cache.clear();
  });

  afterAll(async () => {
    await cache.close();
  });

  test("its keys lie below the base, those of one base are not those of another", async () => {
    const [one, other] = [ownStorage(ALL, "one"), ownStorage(ALL, "one:two:")];
    await one.setItem("a/b", "x");
    await other.setItem("c", "y");
    expect((await Array.fromAsync(cache.scan())).sort()).toEqual(["one:a:b", "one:two:c"]);
    expect(await other.getKeys()).toEqual(["c"]);
    await other.clear();
    expect(await one.getKeys()).toEqual(["a:b"]);
    await Promise.all([one.dispose(), other.dispose()]);
  });

  test("a ttl of its own, of the storage, and none", async () => {
    const own = createStorage({ driver: breadboxDriver({ client: cache, ttl: 30 }) });
    await own.setItem("default", "x");
    await own.setItem("longer", "x", { ttl: 59.5 });
    await own.setItem("never", "x", { ttl: 0 });
    await own.setItems([{ key: "several", value: "x", options: { ttl: 90 } }]);
    const ttl = async (key: string) => (await own.getMeta(key)).ttl;
    expect(await Promise.all(["default", "longer", "never", "several"].map(ttl))).toEqual([
      30,
      60,
      undefined,
      90,
    ]);
    expect((await own.getMeta("default")).size).toBe(1);
    expect(await own.getMeta("nothing")).toEqual({});
  });

  test("a client that was given stays open, and takes no options of a connection", async () => {
    const driver = breadboxDriver({ client: cache });
    expect(driver.getInstance()).toBe(cache);
    await driver.dispose();
    expect(await cache.put("still", "open")).toBeGreaterThan(0);
    expect(() => breadboxDriver({ client: cache, token: "x" })).toThrow("token: the client that is given");
  });

  test("after dispose the next call connects again", async () => {
    const own = ownStorage(ALL);
    await own.setItem("a", "x");
    await own.dispose();
    expect(await own.getItem("a")).toBe("x");
    await own.dispose();
  });

  test("a wrong token is an error of each call", async () => {
    const own = ownStorage("wrong");
    await expect(own.getItem("a")).rejects.toMatchObject({ code: "unauthorized" });
    await own.dispose();
  });

  describe("watch", () => {
    type Told = [event: string, key: string];

    /** What is told, one after the other. */
    function teller() {
      const told: Told[] = [];
      let wake = () => {};
      return {
        tell: (event: string, key: string) => {
          told.push([event, key]);
          wake();
        },
        async next(): Promise<Told> {
          while (told.length === 0) await new Promise<void>((resolve) => (wake = resolve));
          return told.shift()!;
        },
        get waiting() {
          return told.length;
        },
      };
    }

    test("tells what anybody writes and removes below the base, until it ends", async () => {
      const own = ownStorage(ALL, "app");
      const { tell, next } = teller();
      const unwatch = await own.watch(tell);
      await cache.put("app:theirs:1", "x");
      expect(await next()).toEqual(["update", "theirs:1"]);
      await own.setItem("mine", "x");
      expect(await next()).toEqual(["update", "mine"]);
      await cache.put("elsewhere", "x");
      await own.removeItem("mine");
      expect(await next()).toEqual(["remove", "mine"]);
      await unwatch();
      const again = teller();
      await own.watch(again.tell);
      await cache.put("app:after", "x");
      expect(await again.next()).toEqual(["update", "after"]);
      await own.dispose();
    });

    test("what a listener throws does not keep it from telling the next", async () => {
      const script = `
        import breadboxDriver from ${JSON.stringify(import.meta.resolve("../../src/adapters/unstorage.ts"))};
        const driver = breadboxDriver({ url: ${JSON.stringify(dialects.server.ws)}, token: ${JSON.stringify(ALL)} });
        process.on("uncaughtException", ({ message }) => console.log(message));
        await driver.watch((event, key) => {
          if (key === "bad") throw new Error("thrown by the listener");
          console.log(event, key);
          void driver.dispose();
        });
        await driver.setItem("bad", "x");
        await driver.setItem("good", "x");
      `;
      const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" });
      expect(await new Response(child.stdout).text()).toBe("thrown by the listener\nupdate good\n");
    });

    test("after a broken connection it tells all that is there as updates, and goes on", async () => {
      const relay = await Relay.to(dialects.server.port);
      const options = { url: relay.url, token: ALL, base: "app", reconnectMinMs: 1 };
      const own = createStorage({ driver: breadboxDriver(options) });
      const { tell, next } = teller();
      await own.watch(tell);
      await cache.put("other", "x");
      await cache.put("app:a", "x");
      expect(await next()).toEqual(["update", "a"]);
      relay.cut();
      expect(await next()).toEqual(["update", "a"]);
      await cache.put("app:b", "x");
      expect(await next()).toEqual(["update", "b"]);
      await own.dispose();
      relay.close();
    });

    test("is refused where the token may not watch, and where the client is closed", async () => {
      const own = breadboxDriver({ url: dialects.server.ws, token: scoped("app:", ["put"]), base: "app" });
      await expect(own.watch(() => {})).rejects.toMatchObject({ code: "forbidden" });
      await own.dispose();
      const closed = await connect(dialects.server.ws, { token: ALL });
      await closed.close();
      await expect(breadboxDriver({ client: closed }).watch(() => {})).rejects.toMatchObject({
        code: "closed",
      });
    });

    test("dispose ends it, also where the client stays open", async () => {
      const driver = breadboxDriver({ client: cache });
      const [first, second] = [teller(), teller()];
      await driver.watch(first.tell);
      await driver.dispose();
      await driver.watch(second.tell);
      await cache.put("key", "x");
      expect(await second.next()).toEqual(["update", "key"]);
      expect(first.waiting).toBe(0);
      await driver.dispose();
    });
  });
});
