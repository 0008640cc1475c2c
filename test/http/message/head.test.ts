/** Heads of requests: what is read from them, and what is refused, wherever the bytes are cut. */
import { describe, expect, test } from "bun:test";
import { HEAD_BYTES_MAX, Method, Parsed, RequestHead, viewOf } from "../../../src/http/message/head";
import { Header, HEADER_NAMES } from "../../../src/http/message/header-names";
import { Random } from "../../support/random";

function read(text: string, head = new RequestHead()): { parsed: Parsed; head: RequestHead } {
  const bytes = Buffer.from(text, "latin1");
  return { parsed: head.read(bytes, viewOf(bytes), 0, bytes.length), head };
}

const lines = (...all: string[]) => [...all, "", ""].join("\r\n");

test("method, target, path, version, fields, and where the body begins", () => {
  const text = lines(
    "PUT /kv/a%20b?ttl=5 HTTP/1.1",
    "host: localhost:7171",
    "X-Other:whatever",
    'IF-MATCH: \t "1" \t',
    'if-match: "2"',
    "Content-Length:3",
  );
  const { parsed, head } = read(`${text}abc`);
  expect(parsed).toBe(Parsed.WHOLE);
  expect([head.method, head.target, head.path, head.minorVersion]).toEqual([
    Method.PUT,
    "/kv/a%20b?ttl=5",
    "/kv/a%20b",
    1,
  ]);
  expect(head.text(Header.HOST)).toBe("localhost:7171");
  expect(head.text(Header.IF_MATCH)).toBe('"1", "2"');
  expect(head.text(Header.CONTENT_LENGTH)).toBe("3");
  expect([head.text(Header.ORIGIN), head.has(Header.ORIGIN)]).toEqual([null, false]);
  expect(head.is(Header.HOST, Buffer.from("localhost:7171"))).toBe(true);
  expect(head.is(Header.HOST, Buffer.from("localhost:7170"))).toBe(false);
  expect(head.end).toBe(text.length);
});

test("every field that is understood is found by its name in any case, and no other is taken for it", () => {
  for (const [header, name] of HEADER_NAMES.entries()) {
    for (const spelling of [name, name.toUpperCase(), name.replace(/^./, (first) => first.toUpperCase())]) {
      const { head } = read(lines("GET / HTTP/1.0", `${spelling}: value`));
      expect({ name, value: head.text(header as Header) }).toEqual({ name, value: "value" });
    }
    for (const other of [
      `${name}x`,
      `x${name}`,
      name.slice(1),
      name.replace("-", "_"),
      `${name.slice(0, -1)}~`,
    ].filter((other) => other !== name)) {
      const { head } = read(lines("GET / HTTP/1.0", `${other}: value`));
      expect({ other, value: head.text(header as Header) }).toEqual({ other, value: null });
    }
  }
});

test("a field of the request before is not one of the next", () => {
  const head = new RequestHead();
  read(lines("GET / HTTP/1.1", "Host: a", "Origin: http://a", "If-Match: 1", "If-Match: 2"), head);
  read(lines("GET / HTTP/1.1", "Host: b"), head);
  expect([head.text(Header.HOST), head.text(Header.ORIGIN), head.text(Header.IF_MATCH)]).toEqual([
    "b",
    null,
    null,
  ]);
});

test("a head that is not whole asks for more, wherever it ends", () => {
  const text = lines("DELETE /kv/some-key?x HTTP/1.1", "Host: localhost", 'If-Match: "12"', "X-Y:  z ");
  for (let end = 0; end < text.length; end++)
    expect({ end, parsed: read(text.slice(0, end)).parsed }).toEqual({ end, parsed: Parsed.MORE });
  expect(read(text).parsed).toBe(Parsed.WHOLE);
});

test("half an empty line before it asks for more", () => {
  expect(read("\r").parsed).toBe(Parsed.MORE);
  expect(read("\rG").parsed).toBe(Parsed.BAD);
});

test("a target as sent to a proxy is understood, and its host is the one that counts", () => {
  for (const [target, path, host] of [
    ["http://localhost:7171/get?key=a", "/get", "localhost:7171"],
    ["HTTPS://x/kv/b", "/kv/b", "x"],
    ["http://localhost", "", "localhost"],
    ["http://localhost?a=/b", "", "localhost"],
    ["*", "*", "a"],
    ["ftp://x/y", "ftp://x/y", "a"],
  ] as const) {
    const { head } = read(lines(`GET ${target} HTTP/1.1`, "Host: a"));
    expect({ target, path: head.path, host: head.host() }).toEqual({ target, path, host });
  }
});

test("a later HTTP/1 is read as 1.1", () => {
  expect(read(lines("GET / HTTP/1.7", "Host: a")).head.minorVersion).toBe(1);
});

describe("refused", () => {
  const HOST = "Host: a";
  const CASES: [what: string, text: string, status: number][] = [
    ["no request at all", "\x16\x03\x01\x02\x00", 400],
    ["a method of no token", lines("G@T / HTTP/1.1", HOST), 400],
    ["two spaces", lines("GET  / HTTP/1.1", HOST), 400],
    ["no target", lines("GET HTTP/1.1", HOST), 400],
    ["a space in the target", lines("GET /a b HTTP/1.1", HOST), 505],
    ["a control character in the target", lines("GET /a\x01 HTTP/1.1", HOST), 400],
    ["HTTP/0.9", "GET /\r\n", 400],
    ["HTTP/2", lines("PRI * HTTP/2.0"), 505],
    ["HTTP/1.x", lines("GET / HTTP/1.x", HOST), 400],
    ["a line end of LF", "GET / HTTP/1.1\nHost: a\n\n", 400],
    ["a field's line end of LF", "GET / HTTP/1.1\r\nHost: a\n\r\n", 400],
    ["a stray CR", "GET / HTTP/1.1\r\nHost: a\r\n\rX", 400],
    ["a CR in a value", lines("GET / HTTP/1.1", HOST, "X: a\rb"), 400],
    ["a NUL in a value", lines("GET / HTTP/1.1", HOST, "X: a\0b"), 400],
    ["a space before the colon", lines("GET / HTTP/1.1", "Host : a"), 400],
    ["a folded line", lines("GET / HTTP/1.1", HOST, " folded"), 400],
    ["a field without a name", lines("GET / HTTP/1.1", HOST, ": x"), 400],
    ["a field without a colon", lines("GET / HTTP/1.1", HOST, "X"), 400],
    ["no Host", lines("GET / HTTP/1.1"), 400],
    ["two Hosts", lines("GET / HTTP/1.1", HOST, HOST), 400],
    [
      "two lengths, be they the same",
      lines("GET / HTTP/1.1", HOST, "Content-Length: 1", "content-length: 1"),
      400,
    ],
    ["two codings", lines("GET / HTTP/1.1", HOST, "Transfer-Encoding: chunked", "Transfer-Encoding: x"), 400],
    ["two tokens", lines("GET / HTTP/1.1", HOST, "Authorization: Bearer a", "Authorization: Bearer b"), 400],
    ["too long, whole", lines("GET / HTTP/1.1", HOST, `X: ${"x".repeat(HEAD_BYTES_MAX)}`), 431],
    ["too long, and not yet whole", `GET / HTTP/1.1\r\nX: ${"x".repeat(HEAD_BYTES_MAX)}`, 431],
    ["a target too long, and not yet whole", `GET /${"x".repeat(HEAD_BYTES_MAX)}`, 431],
  ];
  for (const [what, text, status] of CASES)
    test(what, () => {
      const { parsed, head } = read(text);
      expect({ parsed, status: head.status }).toEqual({ parsed: Parsed.BAD, status });
      expect(head.problem).not.toBe("");
    });
});

test("the longest head that is allowed", () => {
  const frame = lines("GET / HTTP/1.1", "Host: a", "X: ").length;
  const text = lines("GET / HTTP/1.1", "Host: a", `X: ${"x".repeat(HEAD_BYTES_MAX - frame)}`);
  expect(text.length).toBe(HEAD_BYTES_MAX);
  expect(read(text).parsed).toBe(Parsed.WHOLE);
  expect(read(`${text.slice(0, -4)}x\r\n\r\n`).parsed).toBe(Parsed.BAD);
});

test("whatever the bytes are, nothing is thrown, and what was refused stays so with more bytes", () => {
  const random = new Random(31);
  const pieces = [
    "GET",
    " ",
    "/",
    "HTTP/1.1",
    "\r\n",
    "\n",
    "Host: a",
    ":",
    "\r\n\r\n",
    "x",
    "\0",
    "?",
    "Content-Length: 1",
  ];
  for (let round = 0; round < 20_000; round++) {
    const text = Array.from({ length: 1 + random.below(12) }, () => random.pick(pieces)).join("");
    const whole = read(text).parsed;
    const half = read(text.slice(0, random.below(text.length))).parsed;
    if (half === Parsed.BAD) expect({ text, whole }).toEqual({ text, whole: Parsed.BAD });
    if (half === Parsed.WHOLE) expect({ text, whole }).toEqual({ text, whole: Parsed.WHOLE });
  }
});
