/** RESP3: every type, pieces cut anywhere, and bytes of no protocol. */
import { describe, expect, test } from "bun:test";
import {
  DEPTH_MAX,
  encodeCommand,
  LINE_BYTES_MAX,
  Resp3Error,
  Resp3Failure,
  Resp3Parser,
  type Resp3Value,
} from "../../src/origin/resp3";
import { Random } from "../support/random";

type Heard = { reply: unknown } | { push: unknown };

/** What a parser makes of the bytes, given in these pieces; bytes as text. */
function hear(pieces: readonly Uint8Array[], replyBytesMax?: number): Heard[] {
  const heard: Heard[] = [];
  const parser = new Resp3Parser(
    {
      reply: (value) => heard.push({ reply: plain(value) }),
      push: (items) => heard.push({ push: plain(items) }),
    },
    replyBytesMax,
  );
  for (const piece of pieces) {
    parser.take(piece);
    parser.invariants();
  }
  return heard;
}

function plain(value: Resp3Value): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("latin1");
  if (value instanceof Resp3Failure) return { failure: value.message };
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]));
  return Array.isArray(value) ? value.map(plain) : value;
}

const one = (text: string) => hear([Buffer.from(text, "latin1")]);

/** Beginnings of a cut of these bytes, at random. */
function cut(bytes: Buffer, random: Random): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + random.below(random.pick([1, 3, 40]));
    pieces.push(bytes.subarray(at, end));
    at = end;
  }
  return pieces;
}

describe("each type", () => {
  const cases: [string, unknown][] = [
    ["+OK\r\n", "OK"],
    ["-ERR no\r\n", { failure: "ERR no" }],
    [":-12\r\n", -12],
    ["$5\r\na\r\nbc\r\n", "a\r\nbc"],
    ["$0\r\n\r\n", ""],
    ["$-1\r\n", null],
    ["*-1\r\n", null],
    ["_\r\n", null],
    ["#t\r\n", true],
    ["#f\r\n", false],
    [",1.5e3\r\n", 1500],
    [",-inf\r\n", -Infinity],
    ["(12345678901234567890123\r\n", "12345678901234567890123"],
    ["!7\r\nERR two\r\n", { failure: "ERR two" }],
    ["=7\r\ntxt:abc\r\n", "abc"],
    ["*2\r\n:1\r\n*1\r\n$1\r\na\r\n", [1, ["a"]]],
    ["*0\r\n", []],
    ["~1\r\n_\r\n", [null]],
    ["%1\r\n+role\r\n$6\r\nmaster\r\n", { role: "master" }],
    ["|1\r\n+ttl\r\n:3\r\n+OK\r\n", "OK"],
    ["*2\r\n|1\r\n+ttl\r\n:3\r\n+a\r\n+b\r\n", ["a", "b"]],
  ];
  for (const [text, value] of cases)
    test(JSON.stringify(text), () => expect(one(text)).toEqual([{ reply: value }]));

  test("a push comes between replies", () => {
    const push = ">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$2\r\n\xff\x00\r\n";
    expect(one(`:1\r\n${push}:2\r\n`)).toEqual([
      { reply: 1 },
      { push: ["invalidate", ["a", "\xff\x00"]] },
      { reply: 2 },
    ]);
  });
});

test("pieces cut anywhere make the same values, which stay when more arrives", () => {
  const random = new Random(3);
  const valueAt = (depth: number): string => {
    const items = () => Array.from({ length: random.below(5) }, () => valueAt(depth + 1));
    const bytes = random.bytes(random.pick([0, 1, 10, 3000])).toString("latin1");
    const makers = [
      () => `$${bytes.length}\r\n${bytes}\r\n`,
      () => `:${random.below(1000)}\r\n`,
      () => `+text\r\n`,
      () => ((all) => `*${all.length}\r\n${all.join("")}`)(items()),
      () => ((all) => `%${all.length}\r\n${all.map((item, i) => `+k${i}\r\n${item}`).join("")}`)(items()),
    ];
    return makers[random.below(depth > 4 ? 3 : makers.length)]!();
  };
  for (let round = 0; round < 200; round++) {
    const text = Array.from({ length: 20 }, () => {
      const value = valueAt(0);
      return random.below(3) === 0 ? `>2\r\n+invalidate\r\n${value}` : value;
    }).join("");
    const bytes = Buffer.from(text, "latin1");
    const whole = hear([bytes]);
    expect(whole.length).toBe(20);
    expect(hear(cut(bytes, random))).toEqual(whole);
  }
});

describe("ends with an error:", () => {
  const cases: [string, string][] = [
    ["a type that is none", "HTTP/1.1 400 Bad Request\r\n"],
    ["a line without CR", "+OK\n"],
    ["an empty line", "\r\n"],
    ["a length below -1", "$-2\r\n"],
    ["a length that is no number", "$1e3\r\n"],
    ["a length with a sign", "*+1\r\n"],
    ["a streamed string", "$?\r\n"],
    ["a number that is none", ":1x\r\n"],
    ["a double that is none", ",one\r\n"],
    ["a boolean that is none", "#x\r\n"],
    ["bytes that go on", "$1\r\nabc"],
    ["a line that does not end", "+".padEnd(LINE_BYTES_MAX + 1, "x")],
    ["values too deep", "*1\r\n".repeat(DEPTH_MAX + 1)],
    ["a push in an array", "*1\r\n>1\r\n+a\r\n"],
    ["more items than fit", "*9999999999\r\n"],
    ["a map of more than fit", "%9999999999\r\n"],
    ["more bytes than fit", "$9999999999\r\n"],
  ];
  for (const [name, text] of cases) test(name, () => expect(() => one(text)).toThrow(Resp3Error));
});

test("a reply may have as many bytes as the limit says, and no more", () => {
  const bytes = (length: number) => Buffer.from(`*2\r\n$${length}\r\n${"x".repeat(length)}\r\n:1\r\n`);
  const longest = bytes(88);
  expect(longest.length).toBe(103);
  expect(hear([longest, longest], 103).length).toBe(2);
  expect(() => hear([bytes(89)], 103)).toThrow("longer than 103 bytes");
});

test("random bytes and spoiled replies never do anything but parse or throw Resp3Error", () => {
  const random = new Random(8);
  const good = Buffer.from(
    "*3\r\n$3\r\nabc\r\n:12\r\n%1\r\n+a\r\n_\r\n>2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
    "latin1",
  );
  let errors = 0;
  for (let round = 0; round < 5000; round++) {
    const bytes = Buffer.concat([good, good]);
    for (let spoils = 1 + random.below(3); spoils > 0; spoils--)
      bytes[random.below(bytes.length)] = random.pick([random.below(256), ...Buffer.from("$*%>:_-+\r\n019")]);
    try {
      hear(cut(bytes, random), 1000);
    } catch (error) {
      if (!(error instanceof Resp3Error)) throw error;
      errors++;
    }
  }
  expect(errors).toBeGreaterThan(1000);
});

test("a command is an array of bytes", () => {
  const bytes = encodeCommand("SET", "ключ", new Uint8Array([255, 13, 10]));
  expect(bytes.toString("latin1")).toBe(
    "*3\r\n$3\r\nSET\r\n$8\r\n\xd0\xba\xd0\xbb\xd1\x8e\xd1\x87\r\n$3\r\n\xff\r\n\r\n",
  );
});
