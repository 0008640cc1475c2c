/** What an earlier process has left is taken over whole, or found to be damaged: single words of a shard that are wrong. */
import { expect, test } from "bun:test";
import { C, R, RING_WORDS, RingId, W } from "../../src/store/layout";
import { NO_ENTRY } from "../../src/store/pages";
import { SmallStore } from "../support/small-store";

function filled(): SmallStore {
  const store = new SmallStore({ shardBytes: 64 << 10, pageBytes: 512 });
  for (let i = 0; i < 300; i++)
    store.put(`key ${i}`, Buffer.alloc(i % 90), i % 3 === 0 ? { expiresAt: store.now + i } : {});
  for (let i = 0; i < 300; i += 7) store.delete(`key ${i}`);
  return store;
}

const attach = (store: SmallStore) => store.store.shards[0]!.attach(0);

test("whole: everything is there, counters of the past are gone, versions go on", () => {
  const store = filled();
  const { entries } = store.stats();
  expect(attach(store)).toEqual({ entries, repaired: false, lost: 0, problem: null });
  expect(store.stats()).toMatchObject({ entries, entriesKept: entries, puts: 0, deletes: 0, shardsLost: 0 });
  store.validate();
});

test("where a page's first record starts: off by anything, it is noticed", () => {
  for (const wrong of [0x8000_0000 | 0, 4, NO_ENTRY]) {
    const { pages, rings } = filled().partsOf(0);
    const ring = rings[RingId.SMALL];
    const used: number[] = [];
    for (let page = pages.next(ring.tailPage); page !== 0; page = pages.next(page))
      if (pages.first(page) !== wrong && pages.first(page) !== NO_ENTRY) used.push(page);
    expect(used.length).toBeGreaterThan(5);
    for (const page of used) {
      const store = filled();
      store.partsOf(0).pages.setFirst(page, wrong);
      expect(attach(store).problem).toContain(`page ${page} misses its first record`);
      expect(store.stats()).toMatchObject({ entries: 0, shardsLost: 1 });
    }
  }
});

test("words that hold the structure together: one more or less, and it is noticed", () => {
  const words = [W.TABLE_ENTRIES, W.TABLE_PAGES, W.TABLE_MASK, W.PAGE_FREE_COUNT, W.PAGE_COUNT, W.LAYOUT];
  const ring = W.RINGS + RingId.SMALL * RING_WORDS;
  for (const word of [...words, ring + R.HEAD, ring + R.TAIL, ring + R.BYTES, ring + R.LIVE, ring + R.PAGES])
    for (const by of [-1, 1]) {
      const store = filled();
      store.partsOf(0).block.words[word]! += by;
      expect({ word, problem: attach(store).problem }).not.toEqual({ word, problem: null });
      store.put("it", Buffer.from("goes on"));
      store.validate();
    }
});

test("a type that is a text: without a character, or with one that no header can have, it is noticed", () => {
  const damages = [
    (text: Buffer) => text.fill(0x0a, 3, 4),
    (text: Buffer) => text.fill(0x80, 0, 1),
    (text: Buffer) => text.fill(0x00, text.length - 1),
  ];
  for (const damage of damages) {
    const store = filled();
    const name = "text/x-something; of=its-own";
    store.put("typed", Buffer.from("value"), { type: { number: 0, text: name } });
    const { bytes } = store.partsOf(0).block;
    const at = bytes.indexOf(name);
    damage(bytes.subarray(at, at + name.length));
    expect(attach(store).problem).toMatch(
      /^the shard is not consistent: the type at \d+ is a text that no type can have$/,
    );
    expect(store.stats()).toMatchObject({ entries: 0, shardsLost: 1 });
  }
  const store = filled();
  store.put("typed", Buffer.from("value"), { type: { number: 0, text: "t" } });
  expect(attach(store).problem).toBeNull();
  expect(store.getWithMeta("typed")!.type).toEqual({ number: 0, text: "t" });
  const { bytes, words } = store.partsOf(0).block;
  const entry = (bytes.indexOf("typedtvalue") >> 2) - 4;
  // The length of the text, which stands in the first word of the entry. The value gets the byte, so that the record stays as long.
  words[entry]! &= ~(0xff << 20);
  words[entry + 1]! += 1;
  expect(attach(store).problem).toContain("is a text that no type can have");
});

test("words that nothing depends on are set right", () => {
  const store = filled();
  const { words, doubles } = store.partsOf(0).block;
  words[W.PAGE_UNTOUCHED] = 3;
  words[W.CREDIT] = 0x7fff_ffff;
  doubles[C.HITS] = Number.NaN;
  expect(attach(store).problem).toBeNull();
  // The table grows into pages that have been used before.
  for (let i = 0; i < 3000; i++) store.put(`more ${i}`, Buffer.alloc(1));
  store.validate();
  expect(store.stats().hits).toBe(0);
});
