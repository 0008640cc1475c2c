/** unstorage with its http driver, against the server: what its own tests ask of every driver. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
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

for (const [name, token] of [
  ["a token for everything", () => ALL],
  ["a scoped token", () => scoped("unstorage:app:", ["get", "put", "delete", "scan"])],
] as const)
  describe(name, () => {
    beforeEach(() => {
      storage = storageFor(token());
    });

    afterEach(async () => {
      await storage.clear();
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

    test("meta: the status, and what is left of a ttl", async () => {
      await storage.setItem("ttl", "x", { ttl: 1000 });
      expect(await storage.getMeta("ttl")).toMatchObject({ status: 200, ttl: expect.closeTo(996, -1) });
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
