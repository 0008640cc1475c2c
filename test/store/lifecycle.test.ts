/** An entry without a slot in the table is a fault of ours: whoever comes upon it throws, and the shard is emptied, not bent. */
import { describe, expect, test } from "bun:test";
import { W } from "../../src/store/layout";
import { partsOf } from "../../src/store/parts";
import { NO_SLOT } from "../../src/store/table";
import { SmallStore } from "../support/small-store";

const ENTRIES = 100;

/** A store whose oldest entry has lost its slot. */
function broken(): SmallStore {
  const store = new SmallStore({ shardBytes: 64 << 10, pageBytes: 512 });
  for (let i = 0; i < ENTRIES; i++) store.put(`key ${i}`, Buffer.alloc(20), { expiresAt: store.now + 1000 });
  const { table } = store.store.shards[0]!;
  table.forEachSlot((slot) => {
    if (table.at(slot) === oldest(store)) table.words[slot] = 0;
  });
  expect(store.get("key 0")).toBeNull();
  return store;
}

function oldest(store: SmallStore): number {
  const [, small] = partsOf(store.store.shards[0]!.block).rings;
  return small.tail();
}

describe("an entry that has no slot is a loud fault, and the shard is emptied", () => {
  for (const [what, run] of [
    [
      "evicted",
      (store) => {
        for (let i = 0; i < 10_000; i++) store.put(`more ${i}`, Buffer.alloc(50));
      },
    ],
    [
      "swept",
      (store) => {
        store.now += 1000;
        store.sweep();
      },
    ],
    ["cleared by its prefix", (store) => void store.clear("key")],
  ] as [string, (store: SmallStore) => void][])
    test(`when it is ${what}`, () => {
      const store = broken();
      expect(() => run(store)).toThrow("has no slot in the table");
      expect(store.stats()).toMatchObject({ entries: 0, bytesPayload: 0 });
      expect(store.stats().entriesLost).toBeGreaterThanOrEqual(ENTRIES - 1);
      store.validate();
      // It goes on as an empty shard, with versions that were never given out.
      store.put("again", Buffer.from("x"));
      expect(store.getWithMeta("again")!.version).toBeGreaterThan(2 ** 20);
      store.validate();
    });

  test("no slot is ever removed twice or by the number that says there is none", () => {
    const store = broken();
    const { table, block } = store.store.shards[0]!;
    const before = block.words[W.TABLE_ENTRIES];
    expect(() => table.remove(NO_SLOT)).toThrow("no slot to remove");
    expect(block.words[W.TABLE_ENTRIES]).toBe(before);
  });
});
