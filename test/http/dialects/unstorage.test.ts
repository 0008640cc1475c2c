/** unstorage's storage server: keys and bases, types, times to live, rights. The driver itself is in test/compat. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { type Call, type DialectServer, expectSafe, READ, scoped, startDialects } from "./support";

let dialects: DialectServer;
const call: DialectServer["call"] = (path, init) => dialects.call(`/unstorage${path}`, init);
const put = (path: string, body: string, headers: Record<string, string> = {}, init: Call = {}) =>
  call(path, { method: "PUT", body: Buffer.from(body), headers, ...init });
const keys = async (path: string, token?: string) =>
  ((await (await call(path, token === undefined ? {} : { token })).json()) as string[]).sort();

beforeAll(async () => {
  dialects = await startDialects();
});

beforeEach(async () => {
  expect(await (await call("/:", { method: "DELETE" })).text()).toBe("OK");
});

afterAll(async () => {
  expect(await dialects.server.stop()).toBe(0);
});

test("a key's way: set, get, has, remove", async () => {
  const stored = await put("/a/b", "value");
  expect([stored.status, await stored.text()]).toEqual([200, "OK"]);
  const got = await call("/a/b");
  expectSafe(got);
  expect([got.status, got.headers.get("content-type"), await got.text()]).toEqual([
    200,
    "text/plain;charset=UTF-8",
    "value",
  ]);
  expect((await call("/a/b", { method: "HEAD" })).status).toBe(200);
  expect(await (await dialects.call("/kv/unstorage:a:b")).text()).toBe("value");
  for (let times = 0; times < 2; times++) {
    const removed = await call("/a/b", { method: "DELETE" });
    expect([removed.status, await removed.text()]).toEqual([200, "OK"]);
  }
  expect((await call("/a/b", { method: "HEAD" })).status).toBe(404);
  const missing = await call("/a/b");
  expect([missing.status, await missing.json()]).toEqual([
    404,
    { status: 404, statusText: "KV value not found", message: "KV value not found" },
  ]);
});

test("the type: as stored, text where it is bytes or nothing, bytes where they are asked for", async () => {
  const bytes = { Accept: "application/octet-stream" };
  const typeOf = async (headers: Record<string, string> = {}) =>
    (await call("/t", { headers })).headers.get("content-type");
  for (const [stored, shown] of [
    ["application/json", "application/json"],
    ["image/x-odd", "image/x-odd"],
    ["application/octet-stream", "text/plain;charset=UTF-8"],
    ["", "text/plain;charset=UTF-8"],
  ] as const) {
    await put("/t", "x", stored === "" ? {} : { "Content-Type": stored });
    expect([stored, await typeOf(), await typeOf(bytes)]).toEqual([
      stored,
      shown,
      "application/octet-stream",
    ]);
  }
});

test("x-ttl in seconds, which HEAD and GET tell what is left of", async () => {
  const left = async (method: string) => (await call("/ttl", { method })).headers.get("x-ttl");
  await put("/ttl", "x", { "X-TTL": "1000" });
  for (const method of ["HEAD", "GET"]) expect(await left(method)).toMatch(/^(1000|99\d)$/);
  await put("/ttl", "x", { "X-TTL": "999.5" });
  expect(await left("HEAD")).toMatch(/^(1000|99\d)$/);
  for (const none of ["0", ""]) {
    await put("/ttl", "x", { "X-TTL": none });
    expect(await left("HEAD")).toBeNull();
  }
  for (const wrong of ["-1", "soon", "NaN", "Infinity", "1e300"]) {
    const refused = await put("/ttl", "y", { "X-TTL": wrong });
    expect([refused.status, await refused.json()]).toEqual([
      400,
      expect.objectContaining({ message: "x-ttl: must be a positive number of seconds" }),
    ]);
  }
  expect(await (await call("/ttl")).text()).toBe("x");
});

test("bases: all keys below one, which are listed and cleared together", async () => {
  for (const path of ["/a", "/a/b", "/a/c/d", "/ab/c", "/e%C3%A9"]) await put(path, "x");
  await dialects.call("/kv/other", { method: "PUT", body: "stays" });
  const all = ["a", "a:b", "a:c:d", "ab:c", "eé"];
  for (const path of ["/:", "/", ""]) expect([path, await keys(path)]).toEqual([path, all]);
  for (const path of ["/a/:", "/a/", "/a:"])
    expect([path, await keys(path)]).toEqual([path, ["a:b", "a:c:d"]]);
  expect(await keys("/a/c/:")).toEqual(["a:c:d"]);
  expect(await keys("/none/:")).toEqual([]);
  expect(await (await call("/a/:", { method: "DELETE" })).text()).toBe("OK");
  expect(await keys("/:")).toEqual(["a", "ab:c", "eé"]);
  expect((await call("", { method: "DELETE" })).status).toBe(200);
  expect(await keys("/:")).toEqual([]);
  expect(await (await dialects.call("/kv/other")).text()).toBe("stays");
  expect((await put("/a/", "x")).status).toBe(400);
});

test("thousands of keys are all listed, each once", async () => {
  const names = Array.from({ length: 5000 }, (_, i) => `many:${i}`).sort();
  const requests = names.map((name) => ({ op: "put", key: `unstorage:${name}`, value: "x" }));
  for (let at = 0; at < requests.length; at += 500)
    await dialects.call("/batch", { method: "POST", body: JSON.stringify(requests.slice(at, at + 500)) });
  expect(await keys("/many/:")).toEqual(names);
  await call("/many/:", { method: "DELETE" });
  expect(await keys("/many/:")).toEqual([]);
});

test("rights: a reader reads and lists; a scoped token has a storage of its own", async () => {
  await put("/r", "x");
  expect((await call("/r", { token: READ })).status).toBe(200);
  expect(await keys("/:", READ)).toEqual(["r"]);
  for (const [method, path] of [
    ["PUT", "/r"],
    ["DELETE", "/r"],
    ["DELETE", "/:"],
  ] as const) {
    const refused = await call(path, { method, token: READ });
    expect([method, refused.status, ((await refused.json()) as { status: number }).status]).toEqual([
      method,
      403,
      403,
    ]);
  }
  expect((await call("/r", { token: null })).status).toBe(401);
  const shop = scoped("unstorage:shop:", ["get", "put", "delete", "scan"]);
  await put("/cart", "full", {}, { token: shop });
  expect(await (await call("/cart", { token: shop })).text()).toBe("full");
  expect(await (await call("/shop/cart")).text()).toBe("full");
  expect(await keys("/:", shop)).toEqual(["cart"]);
  expect((await call("/:", { method: "DELETE", token: scoped("unstorage:shop:", ["delete"]) })).status).toBe(
    403,
  );
  expect((await call("/:", { method: "DELETE", token: shop })).status).toBe(200);
  expect(await keys("/:")).toEqual(["r"]);
  expect((await call("/r", { token: scoped("nx:", ["get"]) })).status).toBe(403);
  expect((await call("/:", { token: scoped("nx:", ["scan"]) })).status).toBe(403);
  expect((await call("/:", { token: scoped("unstorage:", ["get"]) })).status).toBe(403);
});

test("pages on the list may send x-ttl and read it; limits hold", async () => {
  const page = { Origin: "https://ok.example" };
  const preflight = await call("/a", {
    method: "OPTIONS",
    token: null,
    headers: { ...page, "Access-Control-Request-Method": "PUT" },
  });
  expect([
    preflight.status,
    preflight.headers.get("access-control-allow-headers")?.includes("X-TTL"),
  ]).toEqual([204, true]);
  const got = await call("/a", { headers: page });
  expect(got.headers.get("access-control-expose-headers")).toContain("X-TTL");
  expect((await call("/a", { headers: { Origin: "https://evil.example" } })).status).toBe(403);
  expect((await put("/a", "x".repeat(100 * 1024 + 1))).status).toBe(413);
  expect((await put(`/${"k".repeat(200)}`, "x")).status).toBe(413);
});
