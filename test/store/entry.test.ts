/** One entry: where each of its fields lies, what it takes, and keys and values that two pages share. */
import { describe, expect, test } from "bun:test";
import {
  ENTRY_START_BYTES,
  entryBytesFor,
  STAMP_BYTES,
  hasKey,
  Kind,
  keyEndOf,
  valueStartOf,
} from "../../src/store/entry";
import { RingId } from "../../src/store/layout";
import type { ShardParts } from "../../src/store/parts";
import { keyRows } from "../support/key-rows";
import { freshParts, keyOf, scatteredParts } from "../support/parts";
import { Random } from "../support/random";
import { NO_TYPE, type ValueType, typeNumbered } from "../../src/store/value-type";

interface Sample {
  key: string;
  value: Buffer;
  expiresAt?: number;
  capacity?: number;
  version?: number;
  type?: ValueType;
}

/** Writes an entry at the small ring's head, as the writer does; returns where it lies. */
function write(
  parts: ShardParts,
  { key, value, expiresAt, capacity, version = 7, type = NO_TYPE }: Sample,
): number {
  const { entries } = parts;
  const hasExpiry = expiresAt !== undefined;
  const hasRoom = capacity !== undefined;
  const keyBytes = Buffer.byteLength(key);
  const at = parts.rings[RingId.SMALL].append(
    entryBytesFor(keyBytes + type.text.length, capacity ?? value.length, hasExpiry, hasRoom),
  );
  entries.begin(at, keyBytes, hasExpiry, hasRoom);
  entries.setRing(at, RingId.SMALL);
  entries.setType(at, type);
  entries.setValueLength(at, value.length);
  entries.setVersion(at, version);
  if (hasExpiry) entries.setExpiresAt(at, expiresAt);
  if (hasRoom) entries.setCapacity(at, capacity);
  entries.writeKey(at, keyOf(key));
  entries.writeValue(at, value, 0, value.length);
  return at;
}

function valueAt({ entries }: ShardParts, at: number): Buffer {
  const value = Buffer.alloc(entries.valueLength(at));
  entries.readValue(at, value, 0);
  return value;
}

function keyAt({ entries }: ShardParts, at: number): string {
  const key = Buffer.alloc(entries.keyLength(at));
  entries.readKey(at, key, 0);
  return key.toString();
}

describe("sizes", () => {
  test("are a header of 16 bytes, key and value, to the next multiple of 4", () => {
    expect(entryBytesFor(13, 64, false)).toBe(96);
    expect(entryBytesFor(1, 0, false)).toBe(20);
    expect(entryBytesFor(1, 3, false)).toBe(20);
    expect(entryBytesFor(1, 4, false)).toBe(24);
  });

  test("and 8 bytes where it expires, 4 where it has room", () => {
    expect(entryBytesFor(13, 64, true)).toBe(104);
    expect(entryBytesFor(13, 64, false, true)).toBe(100);
    expect(entryBytesFor(13, 64, true, true)).toBe(108);
    expect(ENTRY_START_BYTES).toBe(16 + 8 + STAMP_BYTES + 4 + 4);
  });

  test("an entry says itself how many bytes it takes, whatever it has", () => {
    const parts = freshParts();
    for (const expiresAt of [undefined, 5])
      for (const capacity of [undefined, 3, 50])
        for (const key of ["k", "key", "a longer key"]) {
          const at = write(parts, {
            ...{ key, value: Buffer.from("val") },
            ...(expiresAt !== undefined && { expiresAt }),
            ...(capacity !== undefined && { capacity }),
          });
          const bytes = entryBytesFor(
            key.length,
            capacity ?? 3,
            expiresAt !== undefined,
            capacity !== undefined,
          );
          expect(parts.entries.bytesOf(at)).toBe(bytes);
        }
  });
});

describe("fields", () => {
  test("lie where the drawing in entry.ts says", () => {
    const parts = freshParts();
    const at = write(parts, {
      ...{ key: "key1", value: Buffer.from("value"), expiresAt: 1.5, capacity: 9, version: 2 ** 33 + 5 },
    });
    const { words, view, bytes } = parts.block;
    const word = at >> 2;
    expect(words[word]! >>> 0).toBe((Kind.LIVE << 30) | (RingId.SMALL << 18) | (1 << 17) | (1 << 16) | 4);
    expect(words[word + 1]).toBe(5);
    expect([words[word + 2], words[word + 3]]).toEqual([5, 2]);
    expect(view.getFloat64(at + 16, true)).toBe(1.5);
    expect(words[word + 6]).toBe(9);
    expect(bytes.toString("latin1", at + 28, at + 37)).toBe("key1value");
    const bare = write(parts, { key: "key2", value: Buffer.from("value") });
    expect(bytes.toString("latin1", bare + 16, bare + 25)).toBe("key2value");
  });

  test("of the type: a number stands in the first word, a text behind the key", () => {
    const parts = freshParts();
    const { entries, block } = parts;
    const numbered = write(parts, { key: "key1", value: Buffer.from("value"), type: typeNumbered(255) });
    expect(block.words[numbered >> 2]! >>> 0).toBe(
      (Kind.LIVE << 30) | (255 << 20) | (RingId.SMALL << 18) | 4,
    );
    expect(block.bytes.toString("latin1", numbered + 16, numbered + 25)).toBe("key1value");
    const text = write(parts, {
      key: "key2",
      value: Buffer.from("value"),
      type: { number: 0, text: "a type" },
    });
    expect(block.words[text >> 2]! >>> 0).toBe(
      (Kind.LIVE << 30) | (1 << 28) | (6 << 20) | (RingId.SMALL << 18) | 4,
    );
    expect(block.bytes.toString("latin1", text + 16, text + 31)).toBe("key2a typevalue");
    expect(entries.bytesOf(text)).toBe(16 + 4 + 6 + 5 + 1);
    expect(valueStartOf(block.words, text >> 2)).toBe(text + 26);
    expect([entries.type(numbered), entries.type(text)]).toEqual([
      typeNumbered(255),
      { number: 0, text: "a type" },
    ]);
    entries.setType(text, NO_TYPE);
    expect([entries.type(text), entries.keyLength(text), entries.kind(text)]).toEqual([
      NO_TYPE,
      4,
      Kind.LIVE,
    ]);
  });

  test("of the type may lie over the end of a page, as key and value may", () => {
    for (let fill = 0; fill < 300; fill += 3) {
      const parts = freshParts();
      write(parts, { key: "fill", value: Buffer.alloc(fill) });
      const type = { number: 0, text: "x".repeat(255) };
      const value = Buffer.from("the value behind it");
      const at = write(parts, { key: "k".repeat(200), value, type });
      expect(parts.entries.type(at)).toEqual(type);
      expect(valueAt(parts, at)).toEqual(value);
    }
  });

  test("change one by one and leave the others as they are", () => {
    const parts = freshParts();
    const { entries } = parts;
    const sample = { key: "a key", value: Buffer.from("a value"), expiresAt: 77, capacity: 20 };
    const at = write(parts, sample);
    for (const ring of [RingId.GUEST, RingId.MAIN, RingId.SMALL]) {
      entries.setRing(at, ring);
      expect(entries.ring(at)).toBe(ring);
    }
    for (const version of [1, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) {
      entries.setVersion(at, version);
      expect(entries.version(at)).toBe(version);
    }
    entries.setExpiresAt(at, 1234.5);
    entries.setCapacity(at, 30);
    entries.setValueLength(at, 6);
    expect({
      kind: entries.kind(at),
      key: keyAt(parts, at),
      value: valueAt(parts, at).toString(),
      expiresAt: entries.expiresAt(at),
      capacity: entries.capacity(at),
    }).toEqual({ kind: Kind.LIVE, key: "a key", value: "a valu", expiresAt: 1234.5, capacity: 30 });
    const bytes = entries.bytesOf(at);
    entries.markDead(at);
    expect([entries.kind(at), entries.bytesOf(at), entries.ring(at)]).toEqual([
      Kind.DEAD,
      bytes,
      RingId.SMALL,
    ]);
  });

  test("one that has none never expires, and its capacity is its value", () => {
    const parts = freshParts();
    const at = write(parts, { key: "k", value: Buffer.alloc(10) });
    expect(parts.entries.expiresAt(at)).toBe(Infinity);
    expect([parts.entries.hasExpiryField(at), parts.entries.hasRoom(at)]).toEqual([false, false]);
    expect(parts.entries.capacity(at)).toBe(10);
  });

  test("of a pad: its kind and its length, up to the largest", () => {
    const { entries, block } = freshParts();
    const at = block.layout.metaPages * block.layout.pageBytes;
    for (const bytes of [4, 8, 512, 2 ** 30]) {
      entries.writePad(at, bytes);
      expect([entries.kind(at), entries.bytesOf(at)]).toEqual([Kind.PAD, bytes]);
    }
  });
});

describe("keys and values over pages", () => {
  test("come back whole, from wherever they begin, and are appended to in place", () => {
    const random = new Random(1);
    const parts = scatteredParts(256 << 10);
    for (let i = 0; i < 150; i++) {
      const key = "k".repeat(1 + random.below(i % 10 === 0 ? 700 : 60)) + i;
      const value = random.bytes(random.below(900));
      const more = random.bytes(random.below(700));
      const at = write(parts, { key, value, capacity: value.length + more.length });
      expect(keyAt(parts, at)).toBe(key);
      expect(valueAt(parts, at)).toEqual(value);
      const half = more.length >> 1;
      parts.entries.appendValue(at, more, 0, half);
      parts.entries.appendValue(at, more, half, more.length);
      expect(valueAt(parts, at)).toEqual(Buffer.concat([value, more]));
      expect(keyAt(parts, at)).toBe(key);
    }
  });

  test("a key equals itself and nothing that differs in a byte or a length", () => {
    const parts = scatteredParts(256 << 10);
    const { entries, block } = parts;
    const own = keyOf("");
    let split = 0;
    for (let length = 1; length < 130; length++) {
      const key = Array.from({ length }, (_, i) => String.fromCharCode(97 + ((i * 7 + length) % 26))).join(
        "",
      );
      const at = write(parts, { key, value: Buffer.alloc(length % 11) });
      const others = Array.from({ length }, (_, i) => `${key.slice(0, i)}~${key.slice(i + 1)}`);
      others.push(`${key}x`, key.slice(1));
      const rows = keyRows([key, ...others]);
      const isWhole = keyEndOf(block.words, at >> 2) <= parts.pages.endOf(at);
      if (!isWhole) split++;
      expect(entries.keyEquals(at, keyOf(key))).toBe(true);
      for (const other of others) expect(entries.keyEquals(at, keyOf(other))).toBe(false);
      if (isWhole)
        for (let row = 0; row < rows.count; row++)
          expect(hasKey(block.words, at >> 2, rows, row)).toBe(row === 0 && length >= 4);
      entries.aimAtKey(at, own);
      expect(own.hash).toBe(keyOf(key).hash);
      for (const prefix of ["", key.slice(0, length >> 1), key])
        expect(entries.keyStartsWith(at, Buffer.from(prefix))).toBe(true);
      for (const other of others.filter((text) => text !== key.slice(1)))
        expect(entries.keyStartsWith(at, Buffer.from(other))).toBe(false);
    }
    expect(split).toBeGreaterThan(5);
  });
});
