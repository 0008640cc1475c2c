/** Keys looked at ahead: whatever is asked for, in whichever order and whatever happens meanwhile, is as without looking. */
import { describe, expect, test } from "bun:test";
import { type KeysAhead, NOT_READ } from "../../src/store/ahead";
import type { KeyRows } from "../../src/store/hash";
import { W } from "../../src/store/layout";
import { createStore, Store } from "../../src/store/store";
import { typeNumbered } from "../../src/store/value-type";
import { keyRows } from "../support/key-rows";
import { Random } from "../support/random";
import { SmallStore } from "../support/small-store";

const ROWS_MAX = 64;

function newStore(): Store {
  return new Store(createStore({ shards: 4, shardBytes: 1 << 20, seed: [1, 2] }, 0), 1);
}

function expectSame(store: Store, ahead: KeysAhead, rows: KeyRows, row: number): void {
  const plain = store.newKey();
  plain.aim(rows.bytes, rows.view, rows.keyStarts[row]!, rows.keyEnds[row]!);
  const aimed = store.newKey();
  ahead.aim(aimed, row);
  expect({ row, hash: aimed.hash }).toEqual({ row, hash: plain.hash });
  expect(aimed.bytes).toBe(rows.bytes);
  expect([aimed.start, aimed.end]).toEqual([plain.start, plain.end]);
}

const NAMES = Array.from({ length: ROWS_MAX }, (_, i) => `key-${"x".repeat(i % 7)}${i}`);

test("in order, with gaps, twice the same, and backwards", () => {
  const store = newStore();
  const ahead = store.newKeysAhead(ROWS_MAX);
  const rows = keyRows(NAMES);
  for (const order of [NAMES.map((_, i) => i), [3, 4, 9, 9, 62, 63], [5, 4, 3, 0, 31]]) {
    ahead.look(rows, 0);
    for (const row of order) expectSame(store, ahead, rows, row);
  }
});

test("another message with keys at the same places has its own hashes", () => {
  const store = newStore();
  const ahead = store.newKeysAhead(ROWS_MAX);
  const one = keyRows(NAMES);
  const other = keyRows(NAMES.map((name) => name.replace("key", "yek")));
  for (const rows of [one, other, one]) {
    ahead.look(rows, 0);
    for (let row = 0; row < rows.count; row++) expectSame(store, ahead, rows, row);
  }
});

test("a row that was not looked at, or is forgotten, is a fault and no key", () => {
  const store = newStore();
  const ahead = store.newKeysAhead(ROWS_MAX);
  const ask = (row: number) => [
    () => ahead.aim(store.newKey(), row),
    () => ahead.read(row, Buffer.alloc(9), 0, 9),
  ];
  for (const asking of ask(0)) expect(asking).toThrow("row 0 was not looked at");
  ahead.look(keyRows(NAMES.slice(0, 3)), 0);
  for (const asking of ask(3)) expect(asking).toThrow("row 3 was not looked at");
  ahead.forget();
  for (const asking of ask(0)) expect(asking).toThrow("row 0 was not looked at");
});

const target = Buffer.alloc(4096);

/** The value on the short way, or null where it leads to none. */
function readShort(ahead: KeysAhead, row: number, bytesMax = 1000): Buffer | null {
  target.fill(0xee);
  const length = ahead.read(row, target, 3, bytesMax);
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
    const ahead = store.store.newKeysAhead(ROWS_MAX);
    ahead.look(keyRows(names), store.now);
    return { store, ahead };
  }

  test("keys of every length up to 70, with and without expiry: the value, and one hit each", () => {
    const names = Array.from({ length: ROWS_MAX }, (_, i) => "k".repeat(i + 4));
    const { store, ahead } = lookedAt(names, (filled) => {
      for (const [i, name] of names.entries())
        filled.put(name, Buffer.from(`value of ${i}`), i % 2 ? { expiresAt: filled.now + 1 } : {});
    });
    const answers = names.map((_, row) => readShort(ahead, row)?.toString() ?? null);
    const read = answers.filter((answer) => answer !== null).length;
    expect(read).toBeGreaterThan(ROWS_MAX / 2);
    for (const [i, answer] of answers.entries()) if (answer !== null) expect(answer).toBe(`value of ${i}`);
    expect(store.stats().hits).toBe(read);
    expect(store.stats().misses).toBe(0);
  });

  test("a value with a type is read alone, whether the type is a number or a text before it", () => {
    const types = [typeNumbered(3), { number: 0, text: "text/x" }, { number: 0, text: "t".repeat(255) }];
    const names = types.map((_, i) => `typed-${i}`);
    const { ahead } = lookedAt(names, (filled) =>
      types.forEach((type, i) => filled.put(names[i]!, Buffer.from(`value of ${i}`), { type })),
    );
    expect(names.map((_, row) => readShort(ahead, row)?.toString())).toEqual(
      names.map((_, i) => `value of ${i}`),
    );
  });

  test("a read is counted for the eviction, as by a get", () => {
    const { store, ahead } = lookedAt(["looked-at"], (filled) => filled.put("looked-at", value));
    const { table } = store.store.shards[0]!;
    const reads: number[] = [];
    for (let i = 0; i < 4; i++) {
      readShort(ahead, 0);
      table.forEachSlot((slot) => reads.push(table.reads(slot)));
    }
    expect(reads).toEqual([1, 2, 3, 3]);
  });

  test("keys below a word, absent ones, and values beyond the limit are left to the long way", () => {
    const { ahead } = lookedAt(["abc", "absent", "present"], (filled) => {
      filled.put("abc", value);
      filled.put("present", value);
    });
    expect([0, 1].map((row) => readShort(ahead, row))).toEqual([null, null]);
    expect(readShort(ahead, 2, value.length - 1)).toBeNull();
    expect(readShort(ahead, 2, value.length)).toEqual(value);
  });

  test("another key with the same hash, length and slot is not the one asked for", () => {
    const { store, ahead } = lookedAt(["looked-at"], (filled) => filled.put("looked-at", value));
    const entry = store.store.shards[0]!.block.bytes.indexOf("looked-at");
    for (let i = 0; i < "looked-at".length; i++) {
      store.store.shards[0]!.block.bytes[entry + i]! ^= 1;
      expect(readShort(ahead, 0)).toBeNull();
      store.store.shards[0]!.block.bytes[entry + i]! ^= 1;
    }
    expect(readShort(ahead, 0)).toEqual(value);
  });

  for (const [what, change] of [
    ["deleted", (store) => store.delete("looked-at")],
    ["cleared away", (store) => store.clear("")],
    ["locked by another thread", (store) => (store.store.shards[0]!.block.words[W.LOCK] = 5)],
  ] as [string, (store: SmallStore) => void][]) {
    test(`${what} since it was seen: not read`, () => {
      const { store, ahead } = lookedAt(["looked-at"], (filled) =>
        filled.put("looked-at", value, { expiresAt: filled.now + 1000 }),
      );
      change(store);
      expect(readShort(ahead, 0)).toBeNull();
    });
  }

  test("expired at the moment when the requests run: not read", () => {
    const { store, ahead } = lookedAt(["looked-at"], (filled) =>
      filled.put("looked-at", value, { expiresAt: filled.now + 1000 }),
    );
    for (const [ms, expected] of [
      [999, value],
      [1, null],
    ] as const) {
      store.now += ms;
      ahead.look(keyRows(["looked-at"]), store.now);
      expect(readShort(ahead, 0)).toEqual(expected);
    }
  });

  test("overwritten in place or elsewhere since it was seen: the new value", () => {
    const { store, ahead } = lookedAt(["looked-at"], (filled) => filled.put("looked-at", value));
    for (const text of ["short", "a much longer value than it was before", ""]) {
      store.put("looked-at", Buffer.from(text));
      expect(readShort(ahead, 0)?.toString()).toBe(text);
    }
  });

  test("whatever happens between looking and reading, in a shard that grows, evicts and is cleared", () => {
    const random = new Random(11);
    const store = new SmallStore({ shardBytes: 128 << 10, pageBytes: 512 });
    const ahead = store.store.newKeysAhead(ROWS_MAX);
    const name = () => `key-${random.below(900)}`;
    const step = () => {
      const dice = random.below(1000);
      if (dice < 700)
        store.put(name(), random.bytes(random.below(200)), dice < 200 ? { expiresAt: store.now + dice } : {});
      else if (dice < 900) store.delete(name());
      else if (dice > 997) store.clear("");
    };
    let read = 0;
    for (let round = 0; round < 4000; round++) {
      const names = Array.from({ length: 8 }, name);
      store.now += random.below(3);
      ahead.look(keyRows(names), store.now);
      for (let steps = random.below(20); steps > 0; steps--) step();
      for (const [row, asked] of names.entries()) {
        const answer = readShort(ahead, row);
        if (answer === null) continue;
        expect(answer).toEqual(store.get(asked)!);
        read++;
      }
    }
    expect(read).toBeGreaterThan(5000);
    store.validate();
  });
});
