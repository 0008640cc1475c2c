/** The Content-Type of a value: kept with it, given back, and run by no browser. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { NO_TYPE, typeNumbered } from "../../src/commands/commands";
import { BYTES_TYPE, contentTypeOf, foundInit, typeFor } from "../../src/http/content-type";
import { TYPE_NUMBER_MAX, TYPE_TEXT_BYTES_MAX } from "../../src/store/value-type";
import { startServer, type TestServer } from "../support/server";

let server: TestServer;

beforeAll(async () => {
  server = await startServer();
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

const call = (path: string, init?: RequestInit) => fetch(server.http + path, init);
const put = (key: string, type: string | null, body: string | Uint8Array<ArrayBuffer> = "value") =>
  call(`/kv/${key}`, {
    method: "PUT",
    body: typeof body === "string" ? Buffer.from(body) : body,
    headers: type === null ? {} : { "Content-Type": type },
  });
const typeAt = async (key: string) => (await call(`/kv/${key}`)).headers.get("content-type");

const LONGEST = `text/x; p="${"y".repeat(TYPE_TEXT_BYTES_MAX - 12)}"`;
const TYPES = [
  "application/json",
  "text/plain;charset=UTF-8",
  "image/png",
  "text/html",
  "APPLICATION/JSON",
  "not a type at all",
  'multipart/form-data; boundary="; a=b"',
  LONGEST,
];

test("what was stored comes back as it came, for GET and HEAD, with short values and long ones", async () => {
  for (const type of TYPES)
    for (const body of ["plain", 'with "quotes"', "x".repeat(70_000)]) {
      expect((await put("typed", type, body)).status).toBe(204);
      const got = await call("/kv/typed");
      expect({ type: got.headers.get("content-type"), body: await got.text() }).toEqual({ type, body });
      const head = await call("/kv/typed", { method: "HEAD" });
      expect([head.headers.get("content-type"), head.headers.get("content-length")]).toEqual([
        type,
        String(body.length),
      ]);
    }
});

test("none given, or stored over another protocol: bytes", async () => {
  await put("bare", null);
  expect(await typeAt("bare")).toBe(BYTES_TYPE);
  await call("/put", { method: "POST", body: '{"key":"json","value":"1"}' });
  expect(await typeAt("json")).toBe(BYTES_TYPE);
  await call("/batch", { method: "POST", body: '[{"op":"put","key":"batch","value":"1"}]' });
  expect(await typeAt("batch")).toBe(BYTES_TYPE);
});

test("every write decides anew, but what changes a value or its expiry leaves the type", async () => {
  await put("n", "text/x-number", "5");
  const batch = (request: object) =>
    call("/batch", { method: "POST", body: JSON.stringify([{ key: "n", ...request }]) });
  for (const request of [
    { op: "add", delta: 1 },
    { op: "append", value: "0" },
    { op: "append", value: "0".repeat(40) },
    { op: "touch", ttl: 100_000 },
    { op: "touch" },
  ]) {
    await batch(request);
    expect({ request, type: await typeAt("n") }).toEqual({ request, type: "text/x-number" });
  }
  await batch({ op: "put", value: "6" });
  expect(await typeAt("n")).toBe(BYTES_TYPE);
  await put("n", "text/plain");
  expect(await typeAt("n")).toBe("text/plain");
  await put("n", null);
  expect(await typeAt("n")).toBe(BYTES_TYPE);
});

test("GET /get, and JSON, do not show it", async () => {
  await put("shown", "text/html", "<p>");
  const got = await call("/get?key=shown");
  expect(got.headers.get("content-type")).toBe("application/json");
  expect(await got.json()).toEqual({ status: "OK", key: "shown", value: "<p>" });
});

test("one that is too long, or could not be given back, is refused before the body is read, and changes nothing", async () => {
  await put("kept", "text/plain", "old");
  for (const type of [`${LONGEST}y`, "text/plain; a=\xe9"]) {
    const refused = await put("kept", type, "new");
    expect([refused.status, ((await refused.json()) as { message: string }).message]).toEqual([
      400,
      "Content-Type: must be at most 255 characters of printable ASCII",
    ]);
  }
  expect(await (await call("/kv/kept")).text()).toBe("old");
});

test("a value does not run on the server's origin, whatever type it is given", async () => {
  for (const type of ["text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript"]) {
    await put("page", type, "<script>alert(1)</script>");
    const { headers } = await call("/kv/page");
    expect({
      type: headers.get("content-type"),
      sniff: headers.get("x-content-type-options"),
      policy: headers.get("content-security-policy"),
    }).toEqual({ type, sniff: "nosniff", policy: "sandbox; default-src 'none'" });
  }
});

test("the usual types cost no byte, others their text and no more", async () => {
  const live = async () =>
    ((await (await call("/stats")).json()) as { shards: { bytesLive: number }[] }).shards.reduce(
      (sum, shard) => sum + shard.bytesLive,
      0,
    );
  const costOf = async (key: string, type: string | null) => {
    const before = await live();
    await put(key, type);
    return (await live()) - before;
  };
  const bare = await costOf("cost-1", null);
  expect(await costOf("cost-2", "application/json")).toBe(bare);
  expect(await costOf("cost-3", "text/x12")).toBe(bare + 8);
});

test("numbers stand for the types that they stood for before: kept caches hold them", () => {
  const named = [1, 2, 6, 10, 58, 60, 81].map((number) => contentTypeOf(typeNumbered(number)));
  expect(named).toEqual([
    "application/octet-stream",
    "application/json",
    "text/plain",
    "text/html",
    "application/vnd.gradle.build-cache-artifact.v1",
    "image/png",
    "application/vnd.apple.mpegurl",
  ]);
  const all = Array.from({ length: TYPE_NUMBER_MAX + 1 }, (_, number) => contentTypeOf(typeNumbered(number)));
  const texts = all.filter((text) => text !== null);
  expect(new Set(texts).size).toBe(texts.length);
  for (const text of texts) expect(contentTypeOf(typeFor(text))).toBe(text);
});

test("numbers without a type are bytes", () => {
  expect(contentTypeOf(NO_TYPE)).toBeNull();
  expect(contentTypeOf(typeNumbered(TYPE_NUMBER_MAX))).toBeNull();
  for (const type of [NO_TYPE, typeNumbered(TYPE_NUMBER_MAX)])
    expect(new Response("", foundInit(type)).headers.get("content-type")).toBe(BYTES_TYPE);
});
