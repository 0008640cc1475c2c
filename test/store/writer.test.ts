/** Where a write puts its entry: a replaced one stays in its ring or goes on to a later one, so that walks do not miss it. */
import { describe, expect, test } from "bun:test";
import { RingId } from "../../src/store/layout";
import { partsOf } from "../../src/store/parts";
import type { ScanPlace } from "../../src/store/store";
import { SmallStore } from "../support/small-store";
import { keyOf } from "../support/parts";

function newStore(): SmallStore {
  return new SmallStore({ shardBytes: 64 << 10, pageBytes: 512 });
}

function ringOf(store: SmallStore, key: string): RingId {
  const { table, entries } = partsOf(store.store.shards[0]!.block);
  return entries.ring(table.at(table.find(keyOf(key))));
}

/** Puts and reads others until the key's entry has come to the main ring. */
function promote(store: SmallStore, key: string): void {
  for (let i = 0; ringOf(store, key) !== RingId.MAIN; i++) {
    store.get(key);
    store.put(`filler ${i}`, Buffer.alloc(100));
  }
}

/** Bytes of a value that is as big as the small ring. */
const BIG = 8000;

describe("the ring of an entry that is replaced by a longer one", () => {
  test("of the small ring, it stays there", () => {
    const store = newStore();
    store.put("key", Buffer.alloc(10));
    expect(ringOf(store, "key")).toBe(RingId.SMALL);
    store.put("key", Buffer.alloc(200));
    expect(ringOf(store, "key")).toBe(RingId.SMALL);
  });

  test("of the main ring, it stays there, and an append does not change that", () => {
    const store = newStore();
    store.put("key", Buffer.alloc(10));
    promote(store, "key");
    store.put("key", Buffer.alloc(200));
    expect(ringOf(store, "key")).toBe(RingId.MAIN);
    store.append("key", Buffer.alloc(100));
    expect(ringOf(store, "key")).toBe(RingId.MAIN);
    store.validate();
  });

  test("that has become big, it goes to the main ring, and from there never back", () => {
    const store = newStore();
    store.put("key", Buffer.alloc(10));
    for (const bytes of [BIG, 10, BIG, 300]) {
      store.put("key", Buffer.alloc(bytes));
      expect(ringOf(store, "key")).toBe(RingId.MAIN);
    }
  });

  test("that was big and is not any more, it goes on to the main ring once it has to move", () => {
    const store = newStore();
    store.put("key", Buffer.alloc(BIG));
    expect(ringOf(store, "key")).toBe(RingId.GUEST);
    store.put("key", Buffer.alloc(BIG + 400));
    expect(ringOf(store, "key")).toBe(RingId.GUEST);
    store.put("key", Buffer.alloc(10), { expiresAt: store.now + 1000 });
    expect(ringOf(store, "key")).toBe(RingId.MAIN);
  });
});

test("a scan that has come to the main ring still finds an entry of it that is replaced by a longer one", () => {
  const store = newStore();
  store.put("key", Buffer.alloc(10));
  promote(store, "key");
  const found: string[] = [];
  let place: ScanPlace | null = { shard: 0, ring: RingId.MAIN, sequence: 0, offset: 0 };
  let replaced = false;
  while (place !== null) {
    // Before its page is reached, and after the small ring is done.
    if (!replaced) store.put("key", Buffer.alloc(300));
    replaced = true;
    const step = { prefix: Buffer.alloc(0), now: store.now, pagesMax: 1 };
    place = store.store.scan(place, step, (key) => found.push(String(key)) > 0);
  }
  expect(found).toContain("key");
});
