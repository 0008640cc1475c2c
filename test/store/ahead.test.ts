/** Keys looked at ahead: whatever is asked for, and in whichever order, is found as without looking. */
import { expect, test } from "bun:test";
import { AHEAD_MAX, type KeysAhead } from "../../src/store/ahead";
import type { HashedKey } from "../../src/store/hash";
import { createStoreMemory, Store } from "../../src/store/store";

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
  expect({ i, hash: aimed.hash, shardHash: aimed.shardHash }).toEqual({
    i,
    hash: plain.hash,
    shardHash: plain.shardHash,
  });
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
