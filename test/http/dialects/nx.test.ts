/** Nx's paths: its statuses to the letter, since its client takes others for a wrong server. The client itself is in test/compat. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type DialectServer, expectSafe, READ, scoped, startDialects } from "./support";

let dialects: DialectServer;
const call: DialectServer["call"] = (path, init) => dialects.call(path, init);
const put = (hash: string, body: string | Buffer<ArrayBuffer> = "tar", token?: string | null) =>
  call(`/v1/cache/${hash}`, { method: "PUT", body, ...(token !== undefined && { token }) });

beforeAll(async () => {
  dialects = await startDialects();
});

afterAll(async () => {
  expect(await dialects.server.stop()).toBe(0);
});

test("a record is stored once, with 200, and then 409 leaves it as it is", async () => {
  expect((await call("/v1/cache/1")).status).toBe(404);
  expect((await put("1")).status).toBe(200);
  const conflict = await put("1", "poison");
  expect([conflict.status, await conflict.text()]).toEqual([409, "Cannot override an existing record"]);
  const got = await call("/v1/cache/1");
  expectSafe(got);
  expect([got.status, got.headers.get("content-type"), await got.text()]).toEqual([
    200,
    "application/octet-stream",
    "tar",
  ]);
  expect(await (await call("/kv/nx:1")).text()).toBe("tar");
});

test("of two that store the same at once, one is told so", async () => {
  const statuses = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => (await put("race", `${i}`)).status),
  );
  expect(statuses.sort()).toEqual([200, ...Array.from({ length: 19 }, () => 409)]);
});

test("errors are text/plain without parameters: its client shows no other 401", async () => {
  for (const [response, status, text] of [
    [await put("2", "", null), 401, "a token is needed: Authorization: Bearer TOKEN"],
    [await put("2", "", "wrong"), 401, "a valid token is needed: Authorization: Bearer TOKEN"],
    [await put("2", "", READ), 403, "this token may only read (GET, INFO, SCAN, STATS, WATCH)"],
    [await call("/v1/cache/2"), 404, "The record was not found"],
    [
      await put("2", Buffer.alloc(100 * 1024 + 1)),
      413,
      "body: 102401 bytes, at most 102400 are allowed (--max-value)",
    ],
    [await call("/v1/cache/a%2Fb"), 400, "hash: must be letters, digits, hyphens and underscores"],
    [await call("/v1/cache/"), 400, "hash: must be letters, digits, hyphens and underscores"],
  ] as const)
    expect([response.status, response.headers.get("content-type"), await response.text()]).toEqual([
      status,
      "text/plain",
      text,
    ]);
});

test("a token with a prefix below nx: has a cache of its own", async () => {
  const web = scoped("nx:web:", ["get", "put"]);
  expect((await put("own", "web's", web)).status).toBe(200);
  expect(await (await call("/v1/cache/own", { token: web })).text()).toBe("web's");
  expect((await call("/v1/cache/own")).status).toBe(404);
  expect(await (await call("/kv/nx:web:own")).text()).toBe("web's");
  expect((await call("/v1/cache/own", { token: scoped("nx:app:", ["get"]) })).status).toBe(404);
  expect((await call("/v1/cache/own", { token: scoped("turborepo:", ["get"]) })).status).toBe(403);
  expect((await put("own2", "x", scoped("nx:web:", ["get"]))).status).toBe(403);
});

test("another method is 405", async () => {
  expect((await call("/v1/cache/1", { method: "DELETE" })).status).toBe(405);
});
