/** Messages for the fuzzers, all from one seed: right ones, and right ones with something done to them. */
import { request } from "../support/frames";
import type { Random } from "../support/random";

const FLAGS_OF: Record<number, number[]> = {
  1: [0, 8, 16, 24],
  2: [0, 8, 16, 32, 40, 48, 64, 96],
  0x10: [0, 8],
  0x11: [0, 8],
  0x12: [0, 8, 16, 32, 56],
};
/** There are none between these. */
const OPS_MAX = 11;
const LATER_OPS = [0x10, 0x11, 0x12, 0x13, 0x14, 0x15];
const KEYS = 400;
const EDGES = [0, 1, 2, 3, 4, 5, 8, 0x1f, 0x20, 0x7f, 0x80, 0xfe, 0xff];
const WIDE_EDGES = [0, 1, 7, 8, 9, 0xff, 0x100, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff];

/** A well-formed request of any op, of small keys and values. CLEAR has a prefix, so that something stays. */
export function anyRequest(random: Random): Buffer {
  const op = random.below(5) === 0 ? random.pick(LATER_OPS) : 1 + random.below(OPS_MAX);
  const key = `k${random.below(KEYS)}`;
  const flags = random.pick(FLAGS_OF[op] ?? [0]);
  const ttl = random.below(4) === 0 ? { ttlMs: BigInt(random.below(2000)) } : {};
  const value = random.bytes(random.below(random.below(20) === 0 ? 3000 : 40));
  switch (op) {
    case 2: {
      const version =
        (flags & 8) === 0 && random.below(8) === 0 ? { version: BigInt(random.below(1000)) } : {};
      const fill = version.version !== undefined && random.below(2) === 0 ? 0x80 : 0;
      return request({ op, flags: flags | fill, key, value, ...ttl, ...version });
    }
    case 1:
      return request({
        op,
        flags,
        key,
        ...(random.below(8) === 0 && { version: BigInt(random.below(1000)) }),
      });
    case 0x10:
    case 0x11:
      return request({ op, flags, key: key.slice(0, 2) });
    case 0x12:
      return request({ op, flags, key, ...ttl, ...(random.below(3) === 0 && { value: random.bytes(8) }) });
    case 0x13:
      return request({ op, key, version: BigInt(random.below(1000)) });
    case 4:
    case 0x15:
      return request({ op, key, ...ttl });
    case 5:
      return request({ op, key: `n${random.below(20)}`, value: random.bytes(8), ...ttl });
    case 6:
      return request({ op, key, value });
    case 8:
      return request({ op, key: key.slice(0, 2), value: random.bytes(random.below(2) * 8) });
    case 9:
      return request({ op, key });
    case 10:
      return request({ op, value });
    case 11:
      return random.below(20) === 0 ? request({ op }) : request({ op: 1, key });
    default:
      return request({ op, flags, key });
  }
}

export function anyBatch(random: Random, requestsMax: number): Buffer {
  return Buffer.concat(Array.from({ length: 1 + random.below(requestsMax) }, () => anyRequest(random)));
}

/** Something done to a message, once or a few times. */
export function mutated(random: Random, message: Buffer): Buffer {
  let bytes: Buffer = Buffer.from(message);
  for (let times = 1 + random.below(3); times > 0; times--) bytes = mutatedOnce(random, bytes);
  return bytes;
}

function mutatedOnce(random: Random, bytes: Buffer): Buffer {
  const at = random.below(bytes.length + 1);
  const within = Math.max(0, Math.min(at, bytes.length - 1));
  switch (bytes.length === 0 ? 5 : random.below(8)) {
    case 0:
      bytes[within]! ^= 1 << random.below(8);
      return bytes;
    case 1:
      bytes[within] = random.pick(EDGES);
      return bytes;
    case 2:
      if (within + 4 <= bytes.length) bytes.writeUInt32LE(random.pick(WIDE_EDGES), within);
      return bytes;
    case 3:
      return bytes.subarray(0, at);
    case 4:
      return Buffer.concat([
        bytes.subarray(0, at),
        bytes.subarray(Math.min(bytes.length, at + 1 + random.below(8))),
      ]);
    case 5:
      return Buffer.concat([bytes.subarray(0, at), random.bytes(1 + random.below(12)), bytes.subarray(at)]);
    case 6:
      return Buffer.concat([bytes, bytes.subarray(at)]);
    default:
      return Buffer.concat([bytes.subarray(at), bytes.subarray(0, at)]);
  }
}

const WORDS = [
  "key",
  "value",
  "ttl",
  "if",
  "ifVersion",
  "id",
  "op",
  "delta",
  "prefix",
  "cursor",
  "encoding",
  "watch",
  "wait",
  "keys",
  "lease",
  "token",
];
const OPS = [
  "get",
  "put",
  "delete",
  "touch",
  "add",
  "append",
  "info",
  "scan",
  "clear",
  "ping",
  "stats",
  "watch",
  "unwatch",
  "lease",
  "release",
  "getdelete",
  "gettouch",
  "no",
];
const STRANGE = [
  null,
  true,
  -1,
  0,
  1.5,
  1e308,
  2 ** 53,
  "",
  "absent",
  "base64",
  "\ud800",
  "AA==",
  [],
  {},
  "9".repeat(30),
];

/** A JSON request, its fields sometimes strange. */
export function anyJson(random: Random): unknown {
  const one: Record<string, unknown> = { op: random.pick(OPS), key: `k${random.below(KEYS)}` };
  if (one.op === "put" || one.op === "append") one.value = "v".repeat(random.below(30));
  if (one.op === "clear" || one.op === "scan") one.key = `k${random.below(KEYS)}`;
  if (random.below(3) === 0) one[random.pick(WORDS)] = random.pick(STRANGE);
  return one;
}

/** JSON text, sometimes an array, sometimes broken. */
export function anyText(random: Random): string {
  const count = random.below(4);
  const text = JSON.stringify(
    count === 0 ? anyJson(random) : Array.from({ length: count }, () => anyJson(random)),
  );
  if (random.below(3) > 0) return text;
  if (random.below(20) === 0) return text.replace("{", `{"id":${"[".repeat(random.below(9000))},`);
  const at = random.below(text.length);
  const end = Math.min(text.length, at + random.below(6));
  return (
    text.slice(0, at) + random.pick(["", "{", "]", ",", '"', "\\", "\u0000", "1e", "🍞"]) + text.slice(end)
  );
}

/** The bytes of an HTTP request, whole or mutated. */
export function anyHttp(random: Random): Buffer {
  const key = `k${random.below(KEYS)}`;
  const body = JSON.stringify(random.below(2) === 0 ? anyJson(random) : [anyJson(random)]);
  const [line, content] = random.pick([
    [`GET /get?key=${key}`, ""],
    [`GET /kv/${key}`, ""],
    [`PUT /kv/${key}?ttl=${random.below(5000)}`, "raw"],
    [`DELETE /kv/${key}`, ""],
    ["POST /put", `{"key":"${key}","value":"v"}`],
    ["POST /batch", body],
    ["GET /stats", ""],
    [`PATCH /kv/%${random.below(100)}`, "x"],
  ] as const);
  const length = content === "" ? "" : `Content-Length: ${content.length}\r\n`;
  const whole = Buffer.from(
    `${line} HTTP/1.1\r\nHost: localhost\r\n${length}Connection: close\r\n\r\n${content}`,
  );
  return random.below(4) === 0 ? whole : mutated(random, whole);
}
