/**
 * OpenDAL, the library that sccache speaks WebDAV with, against the server: what sccache does with it when it starts and when it
 * caches (cache/webdav.rs and cache.rs of sccache: a check that reads and writes a file, then a path of three levels for each object).
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type DialectServer, READ, scoped, startDialects } from "../http/dialects/support";
import { client, installClients } from "./clients";

let dialects: DialectServer;
let Operator: any;
const operatorOf = (options: object) =>
  new Operator("webdav", { endpoint: `${dialects.server.http}/kv/sccache`, ...options });

beforeAll(async () => {
  await installClients();
  dialects = await startDialects();
  ({ Operator } = await client("opendal"));
});

afterAll(async () => {
  expect(await dialects.server.stop()).toBe(0);
});

const OBJECT = "0/1/2/0123456789abcdef";

for (const [name, credentials] of [
  ["a token", () => ({ token: scoped("sccache/", ["get", "put", "delete"]) })],
  ["a password", () => ({ username: "anybody", password: scoped("sccache/", ["get", "put", "delete"]) })],
] as const)
  test(`sccache's way with ${name}: the check, then writes and reads`, async () => {
    const operator = operatorOf(credentials());
    await operator.check();
    await expect(operator.read("none")).rejects.toThrow("NotFound");
    await operator.write(".sccache_check", Buffer.from("Hello, World!"));
    expect(String(await operator.read(".sccache_check"))).toBe("Hello, World!");
    const value = Buffer.alloc(50_000, 7);
    for (let times = 0; times < 2; times++) await operator.write(OBJECT, value);
    expect(value.equals(await operator.read(OBJECT))).toBe(true);
    const found = await operator.stat(OBJECT);
    expect([found.isFile(), Number(found.contentLength)]).toEqual([true, value.length]);
    expect((await operator.stat("0/1/")).isDirectory()).toBe(true);
    await operator.delete(OBJECT);
    await expect(operator.stat(OBJECT)).rejects.toThrow("NotFound");
  });

test("a token that may only read: sccache takes the cache for one that it may not write to", async () => {
  const operator = operatorOf({ token: READ });
  await operator.check();
  await expect(operator.write(".sccache_check", Buffer.from("x"))).rejects.toThrow("PermissionDenied");
});
