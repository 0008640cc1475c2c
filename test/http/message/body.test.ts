/** Bodies: of an announced length, and in chunks, wherever the bytes are cut. */
import { describe, expect, test } from "bun:test";
import { Body, bodyLength, CHUNKED, UNKNOWABLE } from "../../../src/http/message/body";
import { headWith } from "../../support/head";
import { Parsed, RequestHead, viewOf } from "../../../src/http/message/head";

const NEXT = "GET /next";

/** Takes the bytes in two pieces; returns the body and what is left of them. */
function taken(body: Body, text: string, cut: number): { body: Body; left: string } {
  const bytes = Buffer.from(text, "latin1");
  let at = body.take(bytes, 0, cut);
  if (at === cut) at = body.take(bytes, at, bytes.length);
  return { body, left: text.slice(at) };
}

function headOf11(...fields: string[]): RequestHead {
  const bytes = Buffer.from(["PUT / HTTP/1.1", "Host: a", ...fields, "", ""].join("\r\n"));
  const head = new RequestHead();
  expect(head.read(bytes, viewOf(bytes), 0, bytes.length)).toBe(Parsed.WHOLE);
  return head;
}

test("how long a body is", () => {
  for (const [fields, length] of [
    [[], 0],
    [["Content-Length: 0"], 0],
    [["Content-Length: 17"], 17],
    [["Content-Length: 017"], 17],
    [["Content-Length: +1"], UNKNOWABLE],
    [["Content-Length: -1"], UNKNOWABLE],
    [["Content-Length: 1 2"], UNKNOWABLE],
    [["Content-Length: 1, 1"], UNKNOWABLE],
    [["Content-Length: 0x1"], UNKNOWABLE],
    [["Content-Length: "], UNKNOWABLE],
    [["Content-Length: 99999999999999999"], UNKNOWABLE],
    [["Transfer-Encoding: chunked"], CHUNKED],
    [["Transfer-Encoding: Chunked"], CHUNKED],
    [["Transfer-Encoding: gzip, chunked"], UNKNOWABLE],
    [["Transfer-Encoding: identity"], UNKNOWABLE],
    [["Transfer-Encoding: chunked", "Content-Length: 1"], UNKNOWABLE],
    [["Content-Length: 0", "Transfer-Encoding: chunked"], UNKNOWABLE],
  ] as const)
    expect({ fields, length: bodyLength(headOf11(...fields)) }).toEqual({ fields: fields as never, length });
  expect(bodyLength(headWith("Transfer-Encoding: chunked"))).toBe(UNKNOWABLE);
});

describe("cut at every byte", () => {
  test("of an announced length", () => {
    const text = `hello world${NEXT}`;
    for (let cut = 0; cut <= text.length; cut++) {
      const { body, left } = taken(new Body(11, 11, true), text, cut);
      expect([body.isWhole, body.data().toString(), left, body.received]).toEqual([
        true,
        "hello world",
        NEXT,
        11,
      ]);
    }
  });

  test("in chunks, with extensions and trailers", () => {
    const text = `5\r\nhello\r\n00B;x="y"\r\n wonderful \r\n5 \t\r\nworld\r\n0\r\nA: b\r\nC: d\r\n\r\n${NEXT}`;
    for (let cut = 0; cut <= text.length; cut++) {
      const { body, left } = taken(new Body(CHUNKED, 100, true), text, cut);
      expect({ cut, all: [body.isWhole, body.data().toString(), left] }).toEqual({
        cut,
        all: [true, "hello wonderful world", NEXT],
      });
    }
  });

  test("skipped, nothing of it is kept", () => {
    const text = `5\r\nhello\r\n0\r\n\r\n${NEXT}`;
    for (let cut = 0; cut <= text.length; cut++) {
      const { body, left } = taken(new Body(CHUNKED, 100, false), text, cut);
      expect([body.isWhole, body.data().length, body.heldBytes, left]).toEqual([true, 0, 0, NEXT]);
    }
  });

  const BROKEN = [
    ["a size that is no number", "x\r\n"],
    ["no size", "\r\nhello"],
    ["a size with a sign", "+5\r\nhello"],
    ["a size with 0x", "0x5\r\nhello"],
    ["a space before the size", " 5\r\nhello"],
    ["something behind the size", "5 x\r\nhello"],
    ["a control character in an extension", "5;\x7f\r\nhello"],
    ["a control character in a trailer", "0\r\nA: \0\r\n\r\n"],
    ["a size too large to be one", "11111111111111\r\n"],
    ["a size line of LF", "5\nhello"],
    ["a CR without LF", "5\r-hello"],
    ["more data than was said", "5\r\nhello!\r\n"],
    ["data that ends in LF", "5\r\nhello\n0\r\n\r\n"],
    ["an endless size line", `5;${"x".repeat(300)}`],
    ["endless trailers", `0\r\n${"A: b\r\n".repeat(2000)}`],
    ["a trailer of LF", "0\r\nA: b\n\r\n"],
  ] as const;
  for (const [what, text] of BROKEN)
    test(`broken: ${what}`, () => {
      for (const cut of text.length > 100 ? [0, 50] : Array.from({ length: text.length }, (_, i) => i)) {
        const { body } = taken(new Body(CHUNKED, 100, true), text, cut);
        expect({ cut, is: [body.isWhole, body.isBroken] }).toEqual({ cut, is: [false, true] });
      }
    });
});

test("too long, in one chunk or in many, is noticed before it is kept", () => {
  const one = new Body(CHUNKED, 10, true);
  const oneText = Buffer.from(`b\r\n${"x".repeat(11)}`);
  one.take(oneText, 0, oneText.length);
  const many = new Body(CHUNKED, 10, true);
  const manyText = Buffer.from("4\r\nxxxx\r\n".repeat(3));
  many.take(manyText, 0, manyText.length);
  expect([one.isTooLong, many.isTooLong, one.isWhole, many.isWhole]).toEqual([true, true, false, false]);
  const fits = new Body(CHUNKED, 10, true);
  const fitsText = Buffer.from("a\r\n0123456789\r\n0\r\n\r\n");
  expect(fits.take(fitsText, 0, fitsText.length)).toBe(fitsText.length);
  expect([fits.isWhole, fits.isTooLong]).toEqual([true, false]);
});
