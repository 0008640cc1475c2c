/** What no server would take is refused before it is sent: nobody else on the same connection notices. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Cache, connect, type PutOptions } from "../../src/client/client";
import { startServer, type TestServer } from "../support/server";
import { errorOf } from "./error-of";

const MAX = Number.MAX_SAFE_INTEGER;
let server: TestServer;
let cache: Cache;
let closes = 0;

beforeAll(async () => {
  server = await startServer();
  cache = await connect(server.http);
  cache.on("close", () => closes++);
});

afterAll(async () => {
  await cache.close();
  expect(await server.stop()).toBe(0);
});

/** The options as a caller without types may give them. */
const untyped = (options: object) => options as PutOptions;
function transferred(): ArrayBuffer {
  const buffer = new ArrayBuffer(4);
  structuredClone(buffer, { transfer: [buffer] });
  return buffer;
}

function transferredView(): Uint8Array {
  const view = new Uint8Array(4);
  structuredClone(view, { transfer: [view.buffer] });
  return view;
}

const HALF_PAIR = "a\ud800b";

const REFUSED: [what: string, call: () => Promise<unknown>, code: string, names: string][] = [
  [
    "absent and present",
    () => cache.put("k", "v", untyped({ ifAbsent: true, ifPresent: true })),
    "invalid-argument",
    "ifAbsent",
  ],
  [
    "absent and a version",
    () => cache.put("k", "v", untyped({ ifAbsent: true, ifVersion: 7 })),
    "invalid-argument",
    "ifAbsent",
  ],
  [
    "the same of a JSON value",
    () => cache.json<number>().put("k", 1, untyped({ ifAbsent: true, ifVersion: 7 })),
    "invalid-argument",
    "ifAbsent",
  ],
  ...[0, -1, 1.5, Number.NaN, Infinity, MAX + 1, "60s"].flatMap(
    (ttlMs) =>
      [
        [`put with ttlMs ${ttlMs}`, () => cache.put("k", "v", untyped({ ttlMs }))],
        [`touch with ttlMs ${ttlMs}`, () => cache.touch("k", untyped({ ttlMs }))],
        [`add with ttlMs ${ttlMs}`, () => cache.add("n", 1, untyped({ ttlMs }))],
        [`JSON put with ttlMs ${ttlMs}`, () => cache.json<number>().put("k", 1, untyped({ ttlMs }))],
      ].map(([what, call]) => [what, call, "invalid-argument", "ttlMs"]) as typeof REFUSED,
  ),
  ...[0, -1, 0.5, MAX + 1, "1"].flatMap(
    (ifVersion) =>
      [
        [`put with ifVersion ${ifVersion}`, () => cache.put("k", "v", untyped({ ifVersion }))],
        [`delete with ifVersion ${ifVersion}`, () => cache.delete("k", untyped({ ifVersion }))],
      ].map(([what, call]) => [what, call, "invalid-argument", "ifVersion"]) as typeof REFUSED,
  ),
  ...[0, -5, Number.NaN, 2 ** 31, "1s"].map(
    (timeoutMs) =>
      [
        `get with timeoutMs ${timeoutMs}`,
        () => cache.get("k", { timeoutMs: timeoutMs as number }),
        "invalid-argument",
        "timeoutMs",
      ] as (typeof REFUSED)[number],
  ),
  [
    "a signal that is none",
    () => cache.get("k", { signal: {} as AbortSignal }),
    "invalid-argument",
    "signal",
  ],
  ["a key of 65,536 bytes", () => cache.get("k".repeat(65_536)), "bad-key", "65536 bytes"],
  ["the same in many", () => cache.many(["k", "k".repeat(65_536)]), "bad-key", "65536 bytes"],
  ["a prefix of 65,536 bytes", () => cache.clear("k".repeat(65_536)), "bad-key", "65536 bytes"],
  ["half a surrogate pair in a key", () => cache.get(HALF_PAIR), "invalid-argument", "key"],
  ["the same in many", () => cache.many(["k", HALF_PAIR]), "invalid-argument", "key"],
  ["half a surrogate pair in a value", () => cache.put("k", HALF_PAIR), "invalid-argument", "value"],
  ["the same in append", () => cache.append("k", HALF_PAIR), "invalid-argument", "value"],
  ["a key that is no text", () => cache.get(7 as unknown as string), "invalid-argument", "key"],
  ["bytes that were transferred away", () => cache.put("k", transferred()), "invalid-argument", "value"],
  ["a view of them", () => cache.put("k", transferredView()), "invalid-argument", "value"],
  ["a value of no kind", () => cache.put("k", 7 as unknown as string), "invalid-argument", "value"],
  [
    "a message beyond 16 MiB",
    () => cache.put("k", new Uint8Array(16 << 20)),
    "value-too-large",
    "messageBytesMax",
  ],
  [
    "an option that put does not know",
    () => cache.put("k", "v", untyped({ ttl: 60 })),
    "invalid-argument",
    "ttl",
  ],
  [
    "an option that get does not take",
    () => cache.get("k", untyped({ ttlMs: 60 })),
    "invalid-argument",
    "ttlMs",
  ],
  ...([null, 5, "timeoutMs"] as unknown as object[]).flatMap(
    (options) =>
      [
        [`get with options ${options}`, () => cache.get("k", options)],
        [`put with options ${options}`, () => cache.put("k", "v", options)],
        [`many with options ${options}`, () => cache.many(["k"], options)],
        [`touch with options ${options}`, () => cache.touch("k", options)],
        [`watch with options ${options}`, () => cache.watch("k", options).next()],
        [`scan with options ${options}`, () => cache.scan("k", options).next()],
        [`getOrCompute with options ${options}`, () => cache.getOrCompute("k", () => "v", options)],
      ].map(([what, call]) => [what, call, "invalid-argument", "options"]) as typeof REFUSED,
  ),
  ...["keys", null, 5, {}].flatMap(
    (list) =>
      [
        [`many of ${list}`, () => cache.many(list as string[]), "invalid-argument", "keys"],
        [`deleteMany of ${list}`, () => cache.deleteMany(list as string[]), "invalid-argument", "keys"],
        [`putMany of ${list}`, () => cache.putMany(list as []), "invalid-argument", "entries"],
      ] as typeof REFUSED,
  ),
  [
    "putMany of what are no pairs",
    () => cache.putMany(["kv"] as unknown as []),
    "invalid-argument",
    "entries",
  ],
  [
    "putMany if it has a version",
    () => cache.putMany([["k", "v"]], untyped({ ifVersion: 7 })),
    "invalid-argument",
    "ifVersion",
  ],
  ["a sum that is no whole number", () => cache.add("n", 0.5), "invalid-argument", "delta"],
  ["a sum beyond 64 bits", () => cache.add("n", 2n ** 63n), "invalid-argument", "delta"],
  ["no sum at all", () => cache.add("n", "1" as unknown as number), "invalid-argument", "delta"],
];

describe("refused before it is sent, by a code and the argument's name", () => {
  for (const [what, call, code, names] of REFUSED)
    test(what, async () => {
      const closesBefore = closes;
      const others = Promise.all([cache.put("other", "1"), cache.put("other", "2")]);
      const error = await errorOf(call());
      expect(error).toMatchObject({ code, mayHaveHappened: false });
      expect(error.message).toContain(names);
      expect((await others).every((version) => version! > 0)).toBe(true);
      expect(closes).toBe(closesBefore);
    });
});

test("what the server takes is not refused", async () => {
  const version = await cache.put("fine", "v", { ifAbsent: false, ttlMs: MAX });
  expect(await cache.put("fine", "w", { ifPresent: true, ifVersion: version! })).toBeGreaterThan(version!);
  expect(await cache.put("fine", "x", { ifVersion: MAX })).toBeNull();
  expect(await cache.put("fine 🍞", "🍞", { ttlMs: 60_000, timeoutMs: 2 ** 31 - 1 })).toBeGreaterThan(0);
  expect(await cache.add("exact", -(2n ** 63n))).toBe(-(2n ** 63n));
  expect((await errorOf(cache.get("k".repeat(65_535)))).code).toBe("bad-key");
  expect(closes).toBe(0);
});

test("the types tell the contradiction too", async () => {
  // @ts-expect-error ifAbsent contradicts ifPresent
  expect((await errorOf(cache.put("k", "v", { ifAbsent: true, ifPresent: true }))).code).toBe(
    "invalid-argument",
  );
  // @ts-expect-error ifAbsent contradicts ifVersion
  expect((await errorOf(cache.put("k", "v", { ifAbsent: true, ifVersion: 7 }))).code).toBe(
    "invalid-argument",
  );
});

test("text begins with the mark that it was stored with", async () => {
  await cache.put("\ufeffmarked", "\ufefftext");
  expect(await cache.get("\ufeffmarked")).toBe("\ufefftext");
  expect((await cache.getWithMeta("\ufeffmarked"))!.text).toBe("\ufefftext");
  const keys = [];
  for await (const key of cache.scan("\ufeff")) keys.push(key);
  expect(keys).toEqual(["\ufeffmarked"]);
});

describe("options of connect", () => {
  for (const [name, value] of [
    ["timeoutMs", 0],
    ["timeoutMs", "5s"],
    ["connectTimeoutMs", 2 ** 31],
    ["reconnectMinMs", -1],
    ["reconnectMaxMs", Number.NaN],
    ["inFlightRequestsMax", 0],
    ["inFlightBytesMax", 0.5],
    ["waitingMax", -1],
    ["messageBytesMax", 2 ** 32],
    ["timeout", 5000],
    ["near", 32 << 20],
    ["near", null],
    ["near.maxBytes", { maxBytes: 1023 }],
    ["near.maxAgeMs", { maxAgeMs: 0 }],
    ["maxAge", { maxAge: 1000 }],
    ["token", 5],
    ["WebSocket", "ws"],
    ["failFast", "yes"],
    ["ttlMs", 0],
    ["ttlMs", "60s"],
  ] as const)
    test(`${name}: ${JSON.stringify(value)}`, async () => {
      const option = typeof value === "object" ? "near" : name;
      const error = await errorOf(connect(server.http, { [option]: value }));
      expect(error.code).toBe("invalid-argument");
      expect(error.message).toStartWith(`${name}: `);
    });

  test("a URL that is none, or of something else", async () => {
    for (const url of [
      5n as never,
      null as never,
      "",
      "localhost:7171",
      "ftp://localhost",
      "http://",
      "ws://localhost/ws#part",
    ]) {
      const error = await errorOf(connect(url));
      expect({ url, code: error.code }).toEqual({ url, code: "invalid-argument" });
      expect(error.message).toStartWith("url: ");
    }
  });
});
