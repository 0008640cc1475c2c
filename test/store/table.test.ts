/** The table against a Map: whatever is inserted, moved and removed, while it grows, is where two buckets say it may be. */
import { describe, expect, test } from "bun:test";
import { entryBytesFor } from "../../src/store/entry";
import { BUCKET_BYTES, SLOTS_PER_BUCKET } from "../../src/store/layout";
import type { ShardParts } from "../../src/store/parts";
import {
  bucketOf,
  countRead,
  isSlotOf,
  NO_SLOT,
  secondBucketOf,
  slotInBucket,
  type Table,
} from "../../src/store/table";
import { freshParts, keyOf } from "../support/parts";
import { Random } from "../support/random";

const READS_MAX = 3;
const SPLITS_PER_INSERT = 4;
const BUCKET_WORDS = BUCKET_BYTES / 4;

interface Placed {
  hash: number;
  at: number;
  reads: number;
}

/** What the table should have, by offset. */
class Model {
  readonly placed = new Map<number, Placed>();
  readonly table: Table;
  private nextAt = 4;

  constructor(
    readonly parts: ShardParts,
    private readonly random: Random,
  ) {
    this.table = parts.table;
  }

  /** Inserts a hash after letting the table grow; where there is no place for it, its victim goes first. */
  insert(hash: number): void {
    const { table } = this;
    const before = table.bucketCount;
    table.grow();
    expect(table.bucketCount - before).toBeLessThanOrEqual(SPLITS_PER_INSERT);
    const at = (this.nextAt += 4);
    while (!table.insert(hash, at)) {
      const victim = table.crowdedVictim(hash);
      this.placed.delete(table.at(victim));
      table.remove(victim);
    }
    this.placed.set(at, { hash, at, reads: 0 });
  }

  pick(): Placed | undefined {
    const all = [...this.placed.values()];
    return all.length === 0 ? undefined : this.random.pick(all);
  }

  slotOf({ hash, at }: Placed): number {
    return this.table.slotOf(hash, at);
  }

  /** Every entry is in one of its two buckets with what is known of it, and there is nothing else. */
  check(): void {
    const { table } = this;
    expect(table.entryCount).toBe(this.placed.size);
    let seen = 0;
    table.forEachSlot((slot, hash) => {
      seen++;
      const entry = this.placed.get(table.at(slot));
      if (entry === undefined) throw new Error(`slot ${slot} holds what nobody put there`);
      expect([hash, table.reads(slot)]).toEqual([entry.hash, entry.reads]);
      expect(isSlotOf(table.words, table.shape, hash, slot)).toBe(true);
      const bucket = slot - SLOTS_PER_BUCKET - ((slot - SLOTS_PER_BUCKET) % BUCKET_WORDS);
      expect([
        bucketOf(table.words, table.shape, hash),
        secondBucketOf(table.words, table.shape, hash),
      ]).toContain(bucket);
    });
    expect(seen).toBe(this.placed.size);
    for (const entry of this.placed.values()) expect(this.slotOf(entry)).not.toBe(NO_SLOT);
  }
}

const anyHash = (random: Random) => random.below(2 ** 32) | 0;

describe("against a Map", () => {
  for (const seed of [1, 2])
    test(`inserted, read, moved and removed while it grows (seed ${seed})`, () => {
      const random = new Random(seed);
      const model = new Model(freshParts(256 << 10), random);
      const { table } = model;
      for (let step = 0; step < 8000; step++) {
        const dice = random.below(10);
        const entry = dice < 6 ? undefined : model.pick();
        if (entry === undefined) model.insert(anyHash(random));
        else if (dice === 6) {
          const slot = model.slotOf(entry);
          countRead(table.words, slot);
          entry.reads = Math.min(entry.reads + 1, READS_MAX);
        } else if (dice === 7) {
          table.setReads(model.slotOf(entry), (entry.reads = random.below(READS_MAX + 1)));
        } else if (dice === 8) {
          const slot = model.slotOf(entry);
          model.placed.delete(entry.at);
          entry.at += 2 ** 20;
          table.move(slot, entry.at);
          model.placed.set(entry.at, entry);
        } else {
          table.remove(model.slotOf(entry));
          model.placed.delete(entry.at);
        }
        if (step % 400 === 0) model.check();
      }
      model.check();
      expect(table.pageCount).toBeGreaterThan(50);
    });

  test("hashes that are all the same have sixteen places, and the least read makes way", () => {
    const model = new Model(freshParts(), new Random(3));
    for (let i = 0; i < 40; i++) {
      model.insert(77);
      expect(model.table.entryCount).toBeLessThanOrEqual(2 * SLOTS_PER_BUCKET);
    }
    model.check();
    const { table } = model;
    const first = bucketOf(table.words, table.shape, 77) + SLOTS_PER_BUCKET;
    for (let slot = first; slot < first + SLOTS_PER_BUCKET; slot++) table.setReads(slot, 3);
    table.setReads(first + 5, 1);
    expect(table.crowdedVictim(77)).toBe(first + 5);
  });
});

test("reads are counted to three and no further, and the entry's place stays as it is", () => {
  const { table } = freshParts();
  table.insert(5, 4000);
  const slot = table.slotOf(5, 4000);
  const counted = Array.from({ length: 9 }, () => {
    countRead(table.words, slot);
    return table.reads(slot);
  });
  expect(counted).toEqual([1, 2, 3, 3, 3, 3, 3, 3, 3]);
  table.setReads(slot, 1);
  table.move(slot, 8000);
  expect([table.at(slot), table.reads(slot)]).toEqual([8000, 1]);
});

describe("two choices", () => {
  test("let nearly every slot be used before an insert finds no place", () => {
    let fullest = 0;
    for (let seed = 0; seed < 20; seed++) {
      const random = new Random(seed);
      const { table } = freshParts();
      let inserted = 0;
      while (table.insert(anyHash(random), 4 + inserted * 4)) inserted++;
      expect(inserted / (table.bucketCount * SLOTS_PER_BUCKET)).toBeGreaterThan(0.85);
      fullest = Math.max(fullest, inserted);
    }
    expect(fullest).toBeGreaterThan(60);
  });

  test("the second bucket is found from the first and back: an entry that is moved there stays found", () => {
    const { table } = freshParts();
    const random = new Random(5);
    // Eight of one bucket, then more of it: they go to their second buckets.
    const hashes: number[] = [];
    while (hashes.length < 14) {
      const hash = anyHash(random);
      if ((hash & 7) === 3) hashes.push(hash);
    }
    hashes.forEach((hash, i) => expect(table.insert(hash, 4 + 4 * i)).toBe(true));
    const first = bucketOf(table.words, table.shape, hashes[0]!);
    const inFirst = hashes.filter((hash) => slotInBucket(table.words, first, hash) !== NO_SLOT).length;
    expect(inFirst).toBe(SLOTS_PER_BUCKET);
    hashes.forEach((hash, i) => expect(table.at(table.slotOf(hash, 4 + 4 * i))).toBe(4 + 4 * i));
  });
});

describe("growing", () => {
  test("doubles a few buckets at a time, and is no fuller than it should be once it is done", () => {
    const random = new Random(6);
    const model = new Model(freshParts(1 << 20), random);
    const { table } = model;
    let sizes = 0;
    for (let i = 0; i < 20_000; i++) {
      const before = table.bucketCount;
      model.insert(anyHash(random));
      if (Math.log2(table.bucketCount) % 1 === 0 && table.bucketCount > before) sizes++;
      expect(table.entryCount).toBeLessThanOrEqual(table.bucketCount * SLOTS_PER_BUCKET * 0.95);
    }
    expect(sizes).toBeGreaterThan(7);
    expect(model.placed.size).toBe(20_000);
    model.check();
  });

  test("leaves the rings their pages: with none to spare it stays as large as it is, and goes on", () => {
    const random = new Random(7);
    const model = new Model(freshParts(), random);
    const { pages } = model.parts;
    while (pages.free > 3) pages.take();
    for (let i = 0; i < 200; i++) model.insert(anyHash(random));
    expect([pages.free, model.table.pageCount]).toEqual([3, 1]);
    model.check();
    for (let i = 0; i < 20; i++) pages.give(model.parts.block.layout.pageCount - 1 - i);
    for (let i = 0; i < 200; i++) model.insert(anyHash(random));
    expect(model.table.pageCount).toBeGreaterThan(1);
    model.check();
  });

  test("ends where the largest entry would no longer fit, however many pages are free", () => {
    const random = new Random(8);
    const model = new Model(freshParts(), random);
    for (let i = 0; i < 20_000; i++) model.insert(anyHash(random));
    const { layout } = model.parts.block;
    const largest = entryBytesFor(16_384, layout.shardBytes / 4, true, true);
    expect(model.parts.pages.free * layout.pageBytes).toBeGreaterThan(largest);
    model.check();
  });

  test("when nothing is left in it, it gives back what it had grown to", () => {
    const parts = freshParts();
    const { free } = parts.pages;
    const model = new Model(parts, new Random(9));
    for (let i = 0; i < 500; i++) model.insert(anyHash(new Random(i)));
    expect(parts.pages.free).toBeLessThan(free);
    for (const entry of model.placed.values()) parts.table.remove(model.slotOf(entry));
    parts.table.restart();
    expect([parts.pages.free, parts.table.pageCount, parts.table.entryCount]).toEqual([free, 1, 0]);
  });
});

describe("looking up", () => {
  /** An entry in the ring and the table. */
  function store(parts: ShardParts, text: string): number {
    const key = keyOf(text);
    const at = parts.rings[1].append(entryBytesFor(key.length, 0, false));
    parts.entries.begin(at, key.length, false, false);
    parts.entries.setValueLength(at, 0);
    parts.entries.writeKey(at, key);
    parts.table.grow();
    expect(parts.table.insert(key.hash, at)).toBe(true);
    return at;
  }

  test("finds the key and no other, wherever its hint points", () => {
    const parts = freshParts();
    const random = new Random(10);
    const places = new Map(Array.from({ length: 300 }, (_, i) => [`key ${i}`, store(parts, `key ${i}`)]));
    for (const [text, at] of places) {
      const key = keyOf(text);
      const slot = parts.table.find(key);
      expect(parts.table.at(slot)).toBe(at);
      // Of the past, of another entry, and of no slot at all.
      for (const hint of [slot, slot + 1, random.below(parts.table.words.length), NO_SLOT]) {
        key.slotHint = hint;
        expect(parts.table.find(key)).toBe(slot);
      }
    }
    for (let i = 300; i < 600; i++) expect(parts.table.find(keyOf(`key ${i}`))).toBe(NO_SLOT);
  });

  test("two keys with one hash are told apart by their bytes", () => {
    const parts = freshParts();
    const [one, other] = [keyOf("one"), keyOf("other")];
    other.hash = one.hash;
    for (const key of [one, other]) {
      const at = parts.rings[1].append(entryBytesFor(key.length, 0, false));
      parts.entries.begin(at, key.length, false, false);
      parts.entries.writeKey(at, key);
      parts.table.insert(key.hash, at);
    }
    const slots = [one, other].map((key) => parts.table.find(key));
    expect(new Set(slots).size).toBe(2);
    expect(slots).not.toContain(NO_SLOT);
    parts.table.remove(slots[0]!);
    expect([one, other].map((key) => parts.table.find(key))).toEqual([NO_SLOT, slots[1]!]);
  });

  test("a place that was a slot once is none when its page is not the table's any more", () => {
    const parts = freshParts();
    const { table, pages } = parts;
    const hash = keyOf("key").hash;
    for (let i = 0; i < 100; i++) {
      table.grow();
      table.insert(i, 4 + 4 * i);
    }
    table.insert(hash, 4000);
    const slot = table.slotOf(hash, 4000);
    expect(isSlotOf(table.words, table.shape, hash, slot)).toBe(true);
    table.restart();
    // The bytes are as they were, in a page that is free, then a ring's.
    for (const word of [slot, slot - SLOTS_PER_BUCKET]) if (table.words[word] === 0) table.words[word] = hash;
    const page = pages.pageOf(slot * 4);
    pages.setNext(page, 0);
    expect(isSlotOf(table.words, table.shape, hash, slot)).toBe(false);
  });
});
