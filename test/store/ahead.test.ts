/** Keys looked at ahead: whatever is asked for, in whichever order and whatever happens meanwhile, is as without looking. */
import { describe, expect, test } from "bun:test";
import { AHEAD_MAX, type KeysAhead, NOT_READ } from "../../src/store/ahead";
import type { HashedKey } from "../../src/store/hash";
import { W } from "../../src/store/layout";
import { createStoreMemory, Store } from "../../src/store/store";
import { Random } from "../support/random";
import { SmallStore } from "../support/small-store";

function newStore(): Store {
  return new Store(createStoreMemory({ shards: 4, shardBytes: 1 << 20, seed: [1, 2], firstVersion: 0 }), 1);
}

/** Keys of growing length behind each other: every start is another in every message. */
function message(names: string[]): { bytes: Buffer; view: DataView; starts: number[]; ends: number[] } {
  const bytes = Buffer.from(names.join(""));
  const starts: number[] = [];
  const ends: number[] = [];
  for (const name of names) {
    starts.push(ends.at(-1) ?? 0);
    ends.push(starts.at(-1)! + name.length);
  }
  return {
    bytes,
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
    starts,
    ends,
  };
}

function look(ahead: KeysAhead, from: ReturnType<typeof message>): void {
  ahead.starts.set(from.starts);
  ahead.ends.set(from.ends);
  ahead.look(from.bytes, from.view, from.starts.length);
}

function expectSame(store: Store, ahead: KeysAhead, from: ReturnType<typeof message>, i: number): void {
  const plain = store.newKey();
  plain.aim(from.bytes, from.view, from.starts[i]!, from.ends[i]!);
  const aimed: HashedKey = store.newKey();
  ahead.aim(aimed, from.bytes, from.view, from.starts[i]!, from.ends[i]!);
  expect({ i, hash: aimed.hash }).toEqual({ i, hash: plain.hash });
  expect(aimed.bytes).toBe(from.bytes);
  expect([aimed.start, aimed.end]).toEqual([from.starts[i]!, from.ends[i]!]);
}

const NAMES = Array.from({ length: AHEAD_MAX }, (_, i) => `key-${"x".repeat(i % 7)}${i}`);

test("in order, with gaps, twice the same, backwards, and beyond what was looked at", () => {
  const store = newStore();
  const ahead = store.newKeysAhead();
  const from = message([...NAMES, "one-more", "another"]);
  const shown = message(NAMES);
  ahead.starts.set(shown.starts);
  ahead.ends.set(shown.ends);
  for (const order of [
    NAMES.map((_, i) => i),
    [3, 4, 9, 9, AHEAD_MAX - 2, AHEAD_MAX - 1, AHEAD_MAX, AHEAD_MAX + 1],
    [5, 4, 3, 0, 31],
    [33, 0],
  ]) {
    ahead.look(from.bytes, from.view, AHEAD_MAX);
    for (const i of order) expectSame(store, ahead, from, i);
  }
});

test("another message between, with keys at the same places, gets its own hashes", () => {
  const store = newStore();
  const ahead = store.newKeysAhead();
  const one = message(NAMES);
  const other = message(NAMES.map((name) => name.replace("key", "yek")));
  look(ahead, one);
  expectSame(store, ahead, one, 0);
  expectSame(store, ahead, other, 1);
  expectSame(store, ahead, one, 1);
  look(ahead, other);
  expectSame(store, ahead, one, 2);
  expectSame(store, ahead, other, 2);
  ahead.look(other.bytes, other.view, 0);
  expectSame(store, ahead, other, 3);
});

const target = Buffer.alloc(4096);

/** The value on the short way, or null where it leads to none. */
function readShort(store: SmallStore, ahead: KeysAhead, row: number, bytesMax = 1000): Buffer | null {
  target.fill(0xee);
  const length = ahead.read(row, target, 3, bytesMax, store.now);
  if (length === NOT_READ) return null;
  expect(target.subarray(0, 3)).toEqual(Buffer.alloc(3, 0xee));
  expect(target[3 + length]).toBe(0xee);
  return Buffer.from(target.subarray(3, 3 + length));
}

describe("the short way", () => {
  const value = Buffer.from("a value");

  function lookedAt(names: string[], fill: (store: SmallStore) => void, pageBytes = 4096) {
    const store = new SmallStore({ shardBytes: 1 << 20, pageBytes });
    fill(store);
    const ahead = store.store.newKeysAhead();
    look(ahead, message(names));
    return { store, ahead };
  }

  test("keys of every length up to 70, with and without expiry: the value, and one hit each", () => {
    const names = Array.from({ length: AHEAD_MAX }, (_, i) => "k".repeat(i + 4));
    const { store, ahead } = lookedAt(names, (filled) => {
      for (const [i, name] of names.entries())
        filled.put(name, Buffer.from(`value of ${i}`), i % 2 ? { expiresAt: filled.now + 1 } : {});
    });
    const answers = names.map((_, row) => readShort(store, ahead, row)?.toString() ?? null);
    const read = answers.filter((answer) => answer !== null).length;
    expect(read).toBeGreaterThan(AHEAD_MAX / 2);
    for (const [i, answer] of answers.entries()) if (answer !== null) expect(answer).toBe(`value of ${i}`);
    expect(store.stats().hits).toBe(read);
    expect(store.stats().misses).toBe(0);
  });

  test("a read is counted for the eviction, as by a get", () => {
    const { store, ahead } = lookedAt(["looked-at"], (filled) => filled.put("looked-at", value));
    const { table } = store.store.shards[0]!;
    const reads: number[] = [];
    for (let i = 0; i < 4; i++) {
      readShort(store, ahead, 0);
      table.forEachSlot((slot) => reads.push(table.reads(slot)));
    }
    expect(reads).toEqual([1, 2, 3, 3]);
  });

  test("keys below a word, absent ones, and values beyond the limit are left to the long way", () => {
    const { store, ahead } = lookedAt(["abc", "absent", "present"], (filled) => {
      filled.put("abc", value);
      filled.put("present", value);
    });
    expect([0, 1].map((row) => readShort(store, ahead, row))).toEqual([null, null]);
    expect(readShort(store, ahead, 2, value.length - 1)).toBeNull();
    expect(readShort(store, ahead, 2, value.length)).toEqual(value);
  });

  test("another key with the same hash, length and slot is not the one asked for", () => {
    const { store, ahead } = lookedAt(["looked-at"], (filled) => filled.put("looked-at", value));
    const entry = store.store.shards[0]!.block.bytes.indexOf("looked-at");
    for (let i = 0; i < "looked-at".length; i++) {
      store.store.shards[0]!.block.bytes[entry + i]! ^= 1;
      expect(readShort(store, ahead, 0)).toBeNull();
      store.store.shards[0]!.block.bytes[entry + i]! ^= 1;
    }
    expect(readShort(store, ahead, 0)).toEqual(value);
  });

  for (const [what, change] of [
    ["deleted", (store) => store.delete("looked-at")],
    ["cleared away", (store) => store.clear("")],
    ["expired", (store) => (store.now += 1000)],
    ["locked by another thread", (store) => (store.store.shards[0]!.block.words[W.LOCK] = 5)],
  ] as [string, (store: SmallStore) => void][]) {
    test(`${what} since it was seen: not read`, () => {
      const { store, ahead } = lookedAt(["looked-at"], (filled) =>
        filled.put("looked-at", value, { expiresAt: filled.now + 1000 }),
      );
      change(store);
      expect(readShort(store, ahead, 0)).toBeNull();
    });
  }

  test("overwritten in place or elsewhere since it was seen: the new value", () => {
    const { store, ahead } = lookedAt(["looked-at"], (filled) => filled.put("looked-at", value));
    for (const text of ["short", "a much longer value than it was before", ""]) {
      store.put("looked-at", Buffer.from(text));
      expect(readShort(store, ahead, 0)?.toString()).toBe(text);
    }
  });

  test("whatever happens between looking and reading, in a shard that grows, evicts and is cleared", () => {
    const random = new Random(11);
    const store = new SmallStore({ shardBytes: 128 << 10, pageBytes: 512 });
    const ahead = store.store.newKeysAhead();
    const name = () => `key-${random.below(900)}`;
    const step = () => {
      const dice = random.below(1000);
      if (dice < 700)
        store.put(name(), random.bytes(random.below(200)), dice < 200 ? { expiresAt: store.now + dice } : {});
      else if (dice < 900) store.delete(name());
      else if (dice < 998) store.now += 1;
      else store.clear("");
    };
    let read = 0;
    for (let round = 0; round < 4000; round++) {
      const names = Array.from({ length: 8 }, name);
      look(ahead, message(names));
      for (let steps = random.below(20); steps > 0; steps--) step();
      for (const [row, asked] of names.entries()) {
        const answer = readShort(store, ahead, row);
        if (answer === null) continue;
        expect(answer).toEqual(store.get(asked)!);
        read++;
      }
    }
    expect(read).toBeGreaterThan(5000);
    store.validate();
  });
});
