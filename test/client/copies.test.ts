/** The storage of the near cache: bounded by bytes, SIEVE, and whole after every step. */
import { describe, expect, test } from "bun:test";
import { Copies, COPY_BYTES } from "../../src/client/near/copies";
import { copyOf } from "../../src/client/near/rules";
import { Random } from "../support/random";
import { copiesHold } from "./invariants";

const VALUE_BYTES = 100;
/** Of a key of one character. */
const ONE = COPY_BYTES + 2 + VALUE_BYTES;

const copy = (key: string, bytes = VALUE_BYTES) => copyOf(key, new Uint8Array(bytes), 1, Infinity);
const read = (copies: Copies, key: string) => void (copies.get(key)!.isMarked = true);
const keysOf = (copies: Copies, keys: Iterable<string>) =>
  [...keys].filter((key) => copies.get(key)).join("");

function filledWith(keys: string): Copies {
  const copies = new Copies(10 * ONE);
  for (const key of keys) copies.put(copy(key));
  copiesHold(copies);
  return copies;
}

describe("SIEVE", () => {
  test("what was not read goes first, the oldest before the others", () => {
    const copies = filledWith("abcdefghij");
    for (const key of "abd") read(copies, key);
    copies.put(copy("k"));
    copiesHold(copies);
    expect(keysOf(copies, "abcdefghijk")).toBe("abdefghijk");
    // The hand goes on from where it was: what was read before it has lost its mark, and stays for now.
    copies.put(copy("l"));
    expect(keysOf(copies, "abcdefghijkl")).toBe("abdfghijkl");
    expect(copies.evictions).toBe(2);
  });

  test("when everything was read, the hand goes around once", () => {
    const copies = filledWith("abcdefghij");
    for (const key of "abcdefghij") read(copies, key);
    copies.put(copy("k"));
    copiesHold(copies);
    expect(keysOf(copies, "abcdefghijk")).toBe("bcdefghijk");
  });

  test("one of many keys that are read once does not push out those that are read again", () => {
    const copies = filledWith("abcde");
    for (let i = 0; i < 1000; i++) {
      for (const key of "abcde") read(copies, key);
      copies.put(copy(String.fromCharCode(0x4e00 + i)));
    }
    expect(keysOf(copies, "abcde")).toBe("abcde");
  });
});

describe("what is held", () => {
  test("a copy takes the place of the one before, and was wanted again", () => {
    const copies = filledWith("abc");
    const again = copy("a", 150);
    copies.put(again);
    copiesHold(copies);
    expect([copies.get("a"), copies.size, again.isMarked]).toEqual([again, 3, true]);
    copies.put(again);
    copiesHold(copies);
    expect(copies.size).toBe(3);
  });

  test("one that is too large takes the place of nothing, not even of the one before", () => {
    const copies = filledWith("abc");
    copies.put(copy("a", 2 * ONE));
    copiesHold(copies);
    expect(keysOf(copies, "abc")).toBe("bc");
  });

  test("text counts what engines need for it", () => {
    const copies = new Copies(1 << 20);
    for (const [text, bytes] of [
      ["plain", 5],
      ["grüße", 10],
      ["🍞", 4],
    ] as const) {
      const one = copyOf(text, new TextEncoder().encode(text), 1, Infinity);
      copies.put(one);
      copies.reshape(one, text);
      copiesHold(copies);
      expect(one.valueBytes).toBe(bytes);
    }
  });

  test("all under a prefix go together, and nothing is held after the end", () => {
    const copies = new Copies(1 << 20);
    for (const key of ["user:1", "user:2", "page"]) copies.put(copy(key));
    expect([copies.dropUnder("user:"), copies.size]).toEqual([2, 1]);
    copiesHold(copies);
    copies.close();
    copies.put(copy("late"));
    expect([copies.size, copies.bytes]).toEqual([0, 0]);
  });

  test("whatever is done to it, in random order", () => {
    const random = new Random(7);
    const copies = new Copies(50 * ONE);
    for (let step = 0; step < 20_000; step++) {
      const key = `k${random.below(200)}`;
      const held = copies.get(key);
      const what = random.below(10);
      if (what < 5) copies.put(copy(key, random.below(1200)));
      else if (held === undefined) continue;
      else if (what < 7) held.isMarked = true;
      else if (what < 8) copies.drop(held);
      else if (what < 9) copies.put(held);
      else copies.reshape(held, "x".repeat(held.valueBytes));
      if (step % 10 === 0) copiesHold(copies);
    }
    expect(copies.evictions).toBeGreaterThan(1000);
  });
});
