/** The form of a value in the engine, byte by byte. */
import { expect, test } from "bun:test";
import { decode, encode, EXPIRY_AT, headerBytes, VERSION_AT } from "../../src/origin/value";
import { NO_TYPE, TYPE_TEXT_BYTES_MAX, typeNumbered } from "../../src/store/value-type";
import { Random } from "../support/random";

const TEXT_TYPE = { number: 0, text: "text/html" };
const LONGEST = { number: 0, text: "t".repeat(TYPE_TEXT_BYTES_MAX) };
const TYPES = [NO_TYPE, typeNumbered(1), typeNumbered(255), TEXT_TYPE, LONGEST];

function stamped(payload: Buffer, type = NO_TYPE, version = 7, expiresAt = 0): Buffer {
  const bytes = encode(payload, type);
  bytes.writeBigUInt64LE(BigInt(version), VERSION_AT);
  bytes.writeBigUInt64LE(BigInt(expiresAt), EXPIRY_AT);
  return bytes;
}

test("a plain value has exactly the form of the contract", () => {
  expect(stamped(Buffer.from("hi"), NO_TYPE, 0x0102, 0x0304).toString("hex")).toBe(
    "ff424201" + "0201000000000000" + "0403000000000000" + "6869",
  );
});

test("a typed value has its type behind the expiry", () => {
  expect(stamped(Buffer.from("hi"), typeNumbered(9)).toString("hex")).toBe(
    "ff424202" + "0700000000000000" + "0000000000000000" + "0900" + "6869",
  );
  expect(stamped(Buffer.from("hi"), { number: 0, text: "a/b" }).toString("hex")).toBe(
    "ff424202" + "0700000000000000" + "0000000000000000" + "0003612f62" + "6869",
  );
});

test("what is encoded is decoded", () => {
  for (const type of TYPES)
    for (const payload of [Buffer.alloc(0), Buffer.from("x"), Buffer.from([255, 66, 66, 1])]) {
      const bytes = stamped(payload, type, Number.MAX_SAFE_INTEGER, 12);
      expect(bytes.length).toBe(headerBytes(type) + payload.length);
      const stored = decode(bytes);
      expect(stored).toEqual({
        payload,
        type,
        version: Number.MAX_SAFE_INTEGER,
        expiresAt: 12,
        isForeign: false,
      });
    }
  expect(decode(stamped(Buffer.alloc(0))).expiresAt).toBe(Infinity);
});

test("everything else is foreign, and payload from its first byte", () => {
  const tooNew = stamped(Buffer.from("x"), NO_TYPE, Number.MAX_SAFE_INTEGER);
  tooNew.writeBigUInt64LE(2n ** 53n, VERSION_AT);
  const tooLate = stamped(Buffer.from("x"));
  tooLate.writeBigUInt64LE(2n ** 64n - 1n, EXPIRY_AT);
  const cut = stamped(Buffer.alloc(0), TEXT_TYPE);
  const texts = ["", "42", "-42", "hello", "ÿBB\u0001", "{}"].map((text) => Buffer.from(text));
  const bytes = [
    stamped(Buffer.alloc(0)).subarray(0, 19),
    stamped(Buffer.alloc(0), typeNumbered(1)).subarray(0, 21),
  ];
  for (const foreign of [...texts, ...bytes, tooNew, tooLate, cut.subarray(0, cut.length - 1)])
    expect(decode(foreign)).toEqual({
      payload: foreign,
      type: NO_TYPE,
      version: 0,
      expiresAt: Infinity,
      isForeign: true,
    });
});

test("any bytes at all are decoded, and what is ours only if it has the magic", () => {
  const random = new Random(3);
  for (let i = 0; i < 5000; i++) {
    const bytes = random.bytes(random.below(300));
    if (random.below(2) === 0)
      stamped(Buffer.alloc(0), random.pick(TYPES)).copy(bytes, 0, 0, random.below(40));
    const stored = decode(bytes);
    if (stored.isForeign) expect(stored.payload).toEqual(bytes);
    else expect(bytes.toString("latin1", 0, 3)).toBe("\xffBB");
  }
});
