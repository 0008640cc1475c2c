/**
 * The table of cases: what the server does, said without any protocol. Every transport that can express a step runs it.
 * Versions are named, not numbered: "now" is the one the entry has, "stale" one that it had or never had.
 */

export interface Step {
  verb:
    | "get"
    | "put"
    | "delete"
    | "touch"
    | "getdelete"
    | "gettouch"
    | "add"
    | "append"
    | "info"
    | "scan"
    | "clear"
    | "ping"
    | "lease"
    | "fill"
    | "release";
  /** Key, or prefix of scan and clear. */
  key?: string;
  value?: string | Buffer;
  ttl?: number;
  when?: "absent" | "present";
  /** Of get: the version that is held. */
  version?: "now" | "stale";
  /** Of fill and release: the token of the case's last lease, or one that never was. */
  token?: "last" | "stale";
  delta?: bigint;
  expect: Expected;
}

export interface Expected {
  status: "OK" | "MISS" | "REFUSED" | "CURRENT" | "LEASED" | "PENDING" | "HIT_LEASED" | "ERROR";
  /** Of a lease; not compared. */
  token?: number;
  /** Of get, getdelete, gettouch, lease, and ping. */
  value?: string | Buffer;
  /** Of add and clear. */
  number?: bigint;
  /** Of scan: all keys, over all pages. */
  keys?: string[];
  /** Of info. */
  length?: number;
  hasTtl?: boolean;
  /** The error's kind; over HTTP its code. */
  kind?: "MALFORMED" | "BAD_KEY" | "VALUE_TOO_LARGE" | "NOT_A_NUMBER";
}

export interface Case {
  name: string;
  steps: Step[];
}

/** The limits that the contract's server is started with. */
export const KEY_BYTES_MAX = 100;
export const VALUE_BYTES_MAX = 5000;
export const LIMIT_FLAGS = ["--max-key", String(KEY_BYTES_MAX), "--max-value", String(VALUE_BYTES_MAX)];

const OK: Expected = { status: "OK" };
const MISS: Expected = { status: "MISS" };
const REFUSED: Expected = { status: "REFUSED" };
const found = (value: string | Buffer): Expected => ({ status: "OK", value });
const failed = (kind: Expected["kind"]): Expected => ({ status: "ERROR", kind: kind! });
const number = (n: bigint): Expected => ({ status: "OK", number: n });

const get = (key: string, expect: Expected): Step => ({ verb: "get", key, expect });
const put = (key: string, value: string | Buffer, more: Partial<Step> = {}): Step => ({
  verb: "put",
  key,
  value,
  expect: OK,
  ...more,
});

const lease = (key: string, expect: Expected): Step => ({ verb: "lease", key, expect });

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
const I64_MAX = 2n ** 63n - 1n;

export const CASES: Case[] = [
  { name: "a key that was never put is a miss", steps: [get("nothing", MISS)] },
  { name: "what was put is got", steps: [put("name", "KeyValueCache"), get("name", found("KeyValueCache"))] },
  {
    name: "the last put wins",
    steps: [put("k", "one"), put("k", "two, and longer"), put("k", "3"), get("k", found("3"))],
  },
  { name: "an empty value is a value", steps: [put("empty", ""), get("empty", found(""))] },
  { name: "every byte", steps: [put("bytes", everyByte), get("bytes", found(everyByte))] },
  {
    name: "text that JSON escapes",
    steps: [
      put("esc", 'a "quote" \\ and\n\u0001\u2028'),
      get("esc", found('a "quote" \\ and\n\u0001\u2028')),
    ],
  },
  {
    name: "any script",
    steps: [put("schlüssel/🔑 a+b&c=d%", "wert: 值 🍞"), get("schlüssel/🔑 a+b&c=d%", found("wert: 值 🍞"))],
  },
  {
    name: "keys that differ in their last byte",
    steps: [put("aaaa1", "1"), put("aaaa2", "2"), get("aaaa1", found("1")), get("aaaa2", found("2"))],
  },
  {
    name: "a key that is the start of another",
    steps: [put("ab", "2"), put("abc", "3"), get("ab", found("2")), get("a", MISS)],
  },

  {
    name: "put if absent",
    steps: [
      put("x", "1", { when: "absent" }),
      put("x", "2", { when: "absent", expect: REFUSED }),
      get("x", found("1")),
    ],
  },
  {
    name: "put if present",
    steps: [
      put("x", "1", { when: "present", expect: REFUSED }),
      get("x", MISS),
      put("x", "2"),
      put("x", "3", { when: "present" }),
      get("x", found("3")),
    ],
  },
  {
    name: "put if it has the version",
    steps: [
      put("x", "1"),
      put("x", "2", { version: "now" }),
      put("x", "3", { version: "stale", expect: REFUSED }),
      get("x", found("2")),
    ],
  },
  {
    name: "put of a version on nothing",
    steps: [put("x", "1", { version: "stale", expect: REFUSED }), get("x", MISS)],
  },

  {
    name: "delete",
    steps: [
      put("x", "1"),
      { verb: "delete", key: "x", expect: OK },
      get("x", MISS),
      { verb: "delete", key: "x", expect: MISS },
    ],
  },
  {
    name: "delete if it has the version",
    steps: [
      put("x", "1"),
      { verb: "delete", key: "x", version: "stale", expect: REFUSED },
      { verb: "delete", key: "x", version: "now", expect: OK },
      get("x", MISS),
    ],
  },

  {
    name: "a long ttl keeps the entry",
    steps: [
      put("x", "1", { ttl: 600_000 }),
      get("x", found("1")),
      { verb: "info", key: "x", expect: { status: "OK", length: 1, hasTtl: true } },
    ],
  },
  {
    name: "a put without ttl takes the old one away",
    steps: [
      put("x", "1", { ttl: 600_000 }),
      put("x", "2"),
      { verb: "info", key: "x", expect: { status: "OK", length: 1, hasTtl: false } },
    ],
  },
  {
    name: "touch gives a ttl and takes it away",
    steps: [
      put("x", "12345"),
      { verb: "touch", key: "x", ttl: 600_000, expect: OK },
      { verb: "info", key: "x", expect: { status: "OK", length: 5, hasTtl: true } },
      { verb: "touch", key: "x", expect: OK },
      { verb: "info", key: "x", expect: { status: "OK", length: 5, hasTtl: false } },
      get("x", found("12345")),
    ],
  },
  {
    name: "get and delete",
    steps: [
      put("x", everyByte, { ttl: 600_000 }),
      { verb: "getdelete", key: "x", expect: found(everyByte) },
      { verb: "getdelete", key: "x", expect: MISS },
      get("x", MISS),
      { verb: "getdelete", key: "", expect: failed("BAD_KEY") },
    ],
  },
  {
    name: "get and touch gives a ttl and takes it away",
    steps: [
      { verb: "gettouch", key: "x", ttl: 600_000, expect: MISS },
      put("x", "12345"),
      { verb: "gettouch", key: "x", ttl: 600_000, expect: found("12345") },
      { verb: "info", key: "x", expect: { status: "OK", length: 5, hasTtl: true } },
      { verb: "gettouch", key: "x", expect: found("12345") },
      { verb: "info", key: "x", expect: { status: "OK", length: 5, hasTtl: false } },
      { verb: "gettouch", key: "k".repeat(KEY_BYTES_MAX + 1), expect: failed("BAD_KEY") },
    ],
  },
  { name: "touch of nothing", steps: [{ verb: "touch", key: "x", ttl: 5, expect: MISS }] },
  { name: "info of nothing", steps: [{ verb: "info", key: "x", expect: MISS }] },

  {
    name: "add counts from nothing",
    steps: [
      { verb: "add", key: "n", delta: 7n, expect: number(7n) },
      { verb: "add", key: "n", delta: -10n, expect: number(-3n) },
      get("n", found("-3")),
    ],
  },
  {
    name: "add to text that is a number",
    steps: [put("n", "41"), { verb: "add", key: "n", delta: 1n, expect: number(42n) }, get("n", found("42"))],
  },
  {
    name: "add to what is no number",
    steps: [
      put("n", "4x"),
      { verb: "add", key: "n", delta: 1n, expect: failed("NOT_A_NUMBER") },
      get("n", found("4x")),
    ],
  },
  {
    name: "add beyond i64",
    steps: [
      { verb: "add", key: "n", delta: I64_MAX, expect: number(I64_MAX) },
      { verb: "add", key: "n", delta: 1n, expect: failed("NOT_A_NUMBER") },
      get("n", found(String(I64_MAX))),
    ],
  },
  {
    name: "add keeps the ttl that is there",
    steps: [
      put("n", "1", { ttl: 600_000 }),
      { verb: "add", key: "n", delta: 1n, expect: number(2n) },
      { verb: "info", key: "n", expect: { status: "OK", length: 1, hasTtl: true } },
    ],
  },

  {
    name: "append",
    steps: [
      { verb: "append", key: "x", value: "no", expect: MISS },
      put("x", "ab"),
      { verb: "append", key: "x", value: "cd", expect: OK },
      get("x", found("abcd")),
    ],
  },
  {
    name: "append beyond the limit",
    steps: [
      put("x", Buffer.alloc(VALUE_BYTES_MAX, 1)),
      { verb: "append", key: "x", value: "y", expect: failed("VALUE_TOO_LARGE") },
      get("x", found(Buffer.alloc(VALUE_BYTES_MAX, 1))),
    ],
  },

  {
    name: "scan by prefix",
    steps: [
      put("u:1", "a"),
      put("u:2", "b"),
      put("v:1", "c"),
      { verb: "scan", key: "u:", expect: { status: "OK", keys: ["u:1", "u:2"] } },
      { verb: "scan", key: "", expect: { status: "OK", keys: ["u:1", "u:2", "v:1"] } },
    ],
  },
  {
    name: "clear by prefix",
    steps: [
      put("u:1", "a"),
      put("u:2", "b"),
      put("v:1", "c"),
      { verb: "clear", key: "u:", expect: number(2n) },
      get("u:1", MISS),
      get("v:1", found("c")),
      { verb: "clear", key: "", expect: number(1n) },
      get("v:1", MISS),
    ],
  },
  {
    name: "a get of a version that is held is answered without the value, as long as it is the entry's",
    steps: [
      put("x", "1"),
      { verb: "get", key: "x", version: "now", expect: { status: "CURRENT" } },
      { verb: "get", key: "x", version: "stale", expect: found("1") },
      put("x", "2"),
      { verb: "get", key: "x", version: "now", expect: { status: "CURRENT" } },
      { verb: "delete", key: "x", expect: OK },
      { verb: "get", key: "x", version: "stale", expect: MISS },
    ],
  },
  {
    name: "a lease is given once, and what is stored with it is for all",
    steps: [
      lease("x", { status: "LEASED" }),
      lease("x", { status: "PENDING" }),
      lease("y", { status: "LEASED" }),
      lease("x", { status: "PENDING" }),
      { verb: "fill", key: "y", value: "computed", token: "last", expect: OK },
      lease("y", found("computed")),
      { verb: "fill", key: "y", value: "again", token: "last", expect: REFUSED },
      get("y", found("computed")),
      get("x", MISS),
    ],
  },
  ...(
    [
      put("x", "theirs"),
      { verb: "delete", key: "x", expect: MISS },
      { verb: "clear", key: "x", expect: number(0n) },
      { verb: "getdelete", key: "x", expect: MISS },
    ] as Step[]
  ).map((ending): Case => ({
    name: `a lease is void after a ${ending.verb}`,
    steps: [
      lease("x", { status: "LEASED" }),
      ending,
      { verb: "fill", key: "x", value: "stale", token: "last", expect: REFUSED },
      get("x", ending.verb === "put" ? found("theirs") : MISS),
    ],
  })),
  {
    name: "a lease that is given back is free, and its token means nothing",
    steps: [
      lease("x", { status: "LEASED" }),
      { verb: "release", key: "x", token: "stale", expect: MISS },
      { verb: "release", key: "x", token: "last", expect: OK },
      { verb: "release", key: "x", token: "last", expect: MISS },
      { verb: "fill", key: "x", value: "1", token: "last", expect: REFUSED },
      lease("x", { status: "LEASED" }),
      { verb: "fill", key: "x", value: "1", token: "stale", expect: REFUSED },
      { verb: "fill", key: "x", value: "1", token: "last", expect: OK },
    ],
  },
  { name: "a lease on no key", steps: [lease("", failed("BAD_KEY"))] },
  { name: "ping", steps: [{ verb: "ping", value: "hello", expect: found("hello") }] },

  {
    name: "the longest key",
    steps: [put("k".repeat(KEY_BYTES_MAX), "x"), get("k".repeat(KEY_BYTES_MAX), found("x"))],
  },
  {
    name: "a key one byte too long",
    steps: [
      put("k".repeat(KEY_BYTES_MAX + 1), "x", { expect: failed("BAD_KEY") }),
      get("k".repeat(KEY_BYTES_MAX + 1), failed("BAD_KEY")),
    ],
  },
  { name: "an empty key", steps: [put("", "x", { expect: failed("BAD_KEY") }), get("", failed("BAD_KEY"))] },
  {
    name: "the largest value",
    steps: [put("x", Buffer.alloc(VALUE_BYTES_MAX, 7)), get("x", found(Buffer.alloc(VALUE_BYTES_MAX, 7)))],
  },
  ...[KEY_BYTES_MAX - 1, 1].map((length): Case => ({
    name: `a key of ${length} bytes`,
    steps: [put("k".repeat(length), "x"), get("k".repeat(length), found("x"))],
  })),
  {
    name: "a key is measured in bytes, not in characters",
    steps: [
      put("ü".repeat(KEY_BYTES_MAX / 2), "x"),
      get("ü".repeat(KEY_BYTES_MAX / 2), found("x")),
      put(`${"ü".repeat(KEY_BYTES_MAX / 2)}x`, "x", { expect: failed("BAD_KEY") }),
    ],
  },
  ...[VALUE_BYTES_MAX - 1, 1].map((length): Case => ({
    name: `a value of ${length} bytes`,
    steps: [put("x", Buffer.alloc(length, 7)), get("x", found(Buffer.alloc(length, 7)))],
  })),
  {
    name: "append to one below the limit, to the limit, and beyond",
    steps: [
      put("x", Buffer.alloc(VALUE_BYTES_MAX - 2, 1)),
      { verb: "append", key: "x", value: "\x01", expect: OK },
      { verb: "append", key: "x", value: "\x01", expect: OK },
      { verb: "append", key: "x", value: "\x01", expect: failed("VALUE_TOO_LARGE") },
      get("x", found(Buffer.alloc(VALUE_BYTES_MAX, 1))),
    ],
  },
  {
    name: "the longest ttl",
    steps: [
      put("x", "1", { ttl: Number.MAX_SAFE_INTEGER }),
      get("x", found("1")),
      { verb: "info", key: "x", expect: { status: "OK", length: 1, hasTtl: true } },
      { verb: "touch", key: "x", ttl: Number.MAX_SAFE_INTEGER, expect: OK },
      get("x", found("1")),
    ],
  },
  {
    name: "a value one byte too large changes nothing",
    steps: [
      put("x", "old"),
      put("x", Buffer.alloc(VALUE_BYTES_MAX + 1, 7), { expect: failed("VALUE_TOO_LARGE") }),
      get("x", found("old")),
    ],
  },
];
