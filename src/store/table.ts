/**
 * From a key's hash to its entry: buckets of eight slots, one cache line each, eight hashes then eight places.
 * Every entry has two possible buckets, so a look-up reads two lines at most and there are no probe chains and no
 * tombstones: removing is writing a zero. An insert into two full buckets moves one of their entries to its other
 * bucket (cuckoo hashing with buckets: Dietzfelbinger and Weidling, "Balanced allocation and dictionaries", 2007).
 *
 * The table doubles in place, a few buckets with each insert (linear hashing, Litwin 1980): buckets below SPLIT
 * already use one more bit of the hash. Splitting bucket b fills b and b + size, nothing else, so a put never waits
 * for more than a few of these. Hashes are kept whole in the slots: growing never touches an entry.
 *
 * A place is the entry's offset / 4 (29 bits) and its read count (2 bits); 0 is an empty slot.
 */
import type { Entries } from "./entry";
import type { HashedKey } from "./hash";
import { BUCKET_BYTES, entryBytesMaxFor, shiftOf, SLOTS_PER_BUCKET, SPARE_PAGES, W } from "./layout";
import type { Block } from "./memory";
import { NOTE_WORDS, type Pages, TABLE_PAGE } from "./pages";

export const NO_SLOT = -1;
const READS_MAX = 3;

const BUCKET_WORDS = BUCKET_BYTES / 4;
const PLACE_MASK = 0x1fffffff;
const READS_SHIFT = 29;
const READS_ONE = 1 << READS_SHIFT;
const BUCKETS_AT_START = 8;
/** Fuller than this, the table begins to double. */
const LOAD_MAX = 0.85;
/** Buckets split with each insert while the table doubles: it is done after a quarter of its size in inserts. */
const SPLITS_PER_INSERT = 4;
/** Pages the table leaves to the rings when it wants to grow. */
const PAGES_LEFT_FREE = 3;

/** Slot of a bucket that has this hash, or NO_SLOT. */
export function slotInBucket(words: Int32Array, bucket: number, hash: number): number {
  // All eight are compared without a branch, because the processor cannot predict which of them has the hash.
  const found =
    +(words[bucket] === hash) |
    (+(words[bucket + 1] === hash) << 1) |
    (+(words[bucket + 2] === hash) << 2) |
    (+(words[bucket + 3] === hash) << 3) |
    (+(words[bucket + 4] === hash) << 4) |
    (+(words[bucket + 5] === hash) << 5) |
    (+(words[bucket + 6] === hash) << 6) |
    (+(words[bucket + 7] === hash) << 7);
  return found === 0 ? NO_SLOT : bucket + SLOTS_PER_BUCKET + 31 - Math.clz32(found);
}

/** The word where the entry of a slot begins. */
export function entryWordOf(place: number): number {
  return place & PLACE_MASK;
}

/** Counts a read of a slot's entry; writes nothing once the count is full. */
export function countRead(words: Int32Array, slot: number): void {
  const word = words[slot]!;
  if (word >>> READS_SHIFT < READS_MAX) words[slot] = word + READS_ONE;
}

/** The other bucket's hash: every bit of it depends on all bits of the first. */
function otherHash(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x9e3779b1);
  return mixed ^ (mixed >>> 16);
}

/** Where the buckets of a table lie; the same for every shard of a store. */
export interface TableShape {
  /** First word of the page map. */
  readonly mapWord: number;
  /** First word of the page notes. */
  readonly notesWord: number;
  readonly pageWordShift: number;
  /** Buckets of a page: 2 ** bucketShift, bucketMask + 1. */
  readonly bucketShift: number;
  readonly bucketMask: number;
}

/** First word of the bucket that a hash belongs to now. */
export function bucketOf(words: Int32Array, shape: TableShape, hash: number): number {
  const mask = words[W.TABLE_MASK]!;
  let index = hash & mask;
  if (index < words[W.TABLE_SPLIT]!) index = hash & (mask * 2 + 1);
  return bucketWord(words, shape, index);
}

/**
 * Whether a slot that was seen at some time, and may be anything by now, holds an entry with this hash: pages of the
 * table carry a mark, and what is in them is a slot or 0.
 */
export function isSlotOf(words: Int32Array, shape: TableShape, hash: number, slot: number): boolean {
  return (
    slot !== NO_SLOT &&
    words[slot - SLOTS_PER_BUCKET] === hash &&
    words[slot] !== 0 &&
    words[shape.notesWord + (slot >>> shape.pageWordShift) * NOTE_WORDS] === TABLE_PAGE
  );
}

/** First word of the other bucket that a hash may be in. */
export function secondBucketOf(words: Int32Array, shape: TableShape, hash: number): number {
  return bucketOf(words, shape, otherHash(hash));
}

function bucketWord(words: Int32Array, shape: TableShape, index: number): number {
  const page = words[shape.mapWord + (index >>> shape.bucketShift)]!;
  return (page << shape.pageWordShift) + (index & shape.bucketMask) * BUCKET_WORDS;
}

export class Table {
  readonly words: Int32Array;
  readonly shape: TableShape;
  /** The table leaves the rings room for the largest entry, however small the shard. */
  private readonly pagesMax: number;

  constructor(
    block: Block,
    private readonly pages: Pages,
    private readonly entries: Entries,
  ) {
    this.words = block.words;
    const { shardBytes, pageCount, metaPages } = block.layout;
    const largestEntry = Math.ceil(entryBytesMaxFor(shardBytes) / pages.bytes);
    this.pagesMax = Math.max(1, pageCount - metaPages - SPARE_PAGES - largestEntry);
    const bucketsPerPage = pages.bytes / BUCKET_BYTES;
    this.shape = {
      mapWord: block.layout.tableMapWord,
      notesWord: block.layout.notesWord,
      pageWordShift: pages.shift - 2,
      bucketShift: shiftOf(bucketsPerPage),
      bucketMask: bucketsPerPage - 1,
    };
  }

  /** Empties the table; Pages.reset must have taken its pages back. */
  reset(): void {
    this.words[W.TABLE_MASK] = BUCKETS_AT_START - 1;
    this.words[W.TABLE_SPLIT] = 0;
    this.words[W.TABLE_ENTRIES] = 0;
    this.words[W.TABLE_PAGES] = 1;
    this.words[this.shape.mapWord] = this.takePage();
  }

  /** Nothing is left in it: gives back what it had grown to. */
  restart(): void {
    for (let index = 1; index < this.pageCount; index++)
      this.pages.give(this.words[this.shape.mapWord + index]!);
    const page = this.words[this.shape.mapWord]!;
    this.pages.give(page);
    this.reset();
  }

  /** An empty table with room for so many entries, or for as many as free pages allow. They come from a pool made anew. */
  rebuild(entries: number): void {
    this.reset();
    while (this.bucketCount * SLOTS_PER_BUCKET * LOAD_MAX < entries || this.words[W.TABLE_SPLIT] !== 0) {
      if (!this.splitNext() && this.words[W.TABLE_SPLIT] !== 0) return;
    }
  }

  get entryCount(): number {
    return this.words[W.TABLE_ENTRIES]!;
  }

  get bucketCount(): number {
    return this.words[W.TABLE_MASK]! + 1 + this.words[W.TABLE_SPLIT]!;
  }

  get pageCount(): number {
    return this.words[W.TABLE_PAGES]!;
  }

  /** Slot of the key's entry, or NO_SLOT. */
  find(key: HashedKey): number {
    const { hash, slotHint } = key;
    if (isSlotOf(this.words, this.shape, hash, slotHint) && this.entries.keyEquals(this.at(slotHint), key))
      return slotHint;
    const slot = this.findInBucket(this.bucketOf(hash), key);
    if (slot !== NO_SLOT) return slot;
    return this.findInBucket(this.secondBucketOf(hash), key);
  }

  /** Slot of the entry with this hash at this place, or NO_SLOT. */
  findAt(hash: number, at: number): number {
    const slot = this.findPlaceInBucket(this.bucketOf(hash), hash, at >> 2);
    if (slot !== NO_SLOT) return slot;
    return this.findPlaceInBucket(this.secondBucketOf(hash), hash, at >> 2);
  }

  /** The same for an entry that must have one. If it has none, that is a fault of this code, and nothing in the shard can be trusted. */
  slotOf(hash: number, at: number): number {
    const slot = this.findAt(hash, at);
    if (slot === NO_SLOT) throw new Error(`the live entry at ${at} has no slot in the table`);
    return slot;
  }

  /** Offset of the slot's entry. */
  at(slot: number): number {
    return (this.words[slot]! & PLACE_MASK) << 2;
  }

  /** The slot's entry moved; its read count stays. */
  move(slot: number, at: number): void {
    this.words[slot] = (this.words[slot]! & ~PLACE_MASK) | (at >> 2);
  }

  /** Reads since the entry came to its ring, 0 to READS_MAX. */
  reads(slot: number): number {
    return this.words[slot]! >>> READS_SHIFT;
  }

  setReads(slot: number, reads: number): void {
    this.words[slot] = (this.words[slot]! & PLACE_MASK) | (reads << READS_SHIFT);
  }

  remove(slot: number): void {
    if (slot === NO_SLOT) throw new RangeError("no slot to remove");
    this.words[slot] = 0;
    this.words[W.TABLE_ENTRIES]! -= 1;
  }

  /**
   * Adds an entry that is not in the table yet. False when neither bucket has a slot and none can be freed by
   * moving others: the caller removes `crowdedVictim` and tries again.
   */
  insert(hash: number, at: number): boolean {
    const first = this.bucketOf(hash);
    const second = this.secondBucketOf(hash);
    let slot = this.freeSlot(first);
    if (slot === NO_SLOT) slot = this.freeSlot(second);
    if (slot === NO_SLOT) slot = this.freeByMoving(first, 2);
    if (slot === NO_SLOT) slot = this.freeByMoving(second, 2);
    if (slot === NO_SLOT) return false;
    this.words[slot - SLOTS_PER_BUCKET] = hash;
    this.words[slot] = at >> 2;
    this.words[W.TABLE_ENTRIES]! += 1;
    return true;
  }

  /** The least read slot of the first bucket of a hash. */
  crowdedVictim(hash: number): number {
    const bucket = this.bucketOf(hash) + SLOTS_PER_BUCKET;
    let victim = bucket;
    for (let slot = bucket; slot < bucket + SLOTS_PER_BUCKET; slot++) {
      if (this.reads(slot) < this.reads(victim)) victim = slot;
    }
    return victim;
  }

  /** Called before an insert: goes on with doubling, or begins it when the table is full enough. */
  grow(): void {
    if (this.words[W.TABLE_SPLIT] === 0) {
      const slots = (this.words[W.TABLE_MASK]! + 1) * SLOTS_PER_BUCKET;
      if (this.words[W.TABLE_ENTRIES]! < slots * LOAD_MAX) return;
    }
    for (let splits = 0; splits < SPLITS_PER_INSERT; splits++) {
      if (!this.splitNext()) return;
    }
  }

  /** Calls `visit` with every used slot. */
  forEachSlot(visit: (slot: number, hash: number) => void): void {
    for (let index = 0; index < this.bucketCount; index++) {
      const bucket = this.bucketWord(index);
      for (let slot = bucket + SLOTS_PER_BUCKET; slot < bucket + BUCKET_WORDS; slot++) {
        if (this.words[slot] !== 0) visit(slot, this.words[slot - SLOTS_PER_BUCKET]!);
      }
    }
  }

  /** Splits one bucket; false when the doubling is done or no page is free for it now. */
  private splitNext(): boolean {
    const mask = this.words[W.TABLE_MASK]!;
    const split = this.words[W.TABLE_SPLIT]!;
    const target = split + mask + 1;
    if (!this.ensurePage(target >>> this.shape.bucketShift)) return false;
    const low = this.bucketWord(split);
    const high = this.bucketWord(target);
    for (let from = low; from < low + SLOTS_PER_BUCKET; from++) {
      const place = this.words[from + SLOTS_PER_BUCKET]!;
      if (place === 0) continue;
      const hash = this.words[from]!;
      const home = (hash & mask) === split ? hash : otherHash(hash);
      if ((home & (mask + 1)) === 0) continue;
      const to = high + (from - low);
      this.words[to] = hash;
      this.words[to + SLOTS_PER_BUCKET] = place;
      this.words[from + SLOTS_PER_BUCKET] = 0;
    }
    const done = split === mask;
    this.words[W.TABLE_SPLIT] = done ? 0 : split + 1;
    if (done) this.words[W.TABLE_MASK] = mask * 2 + 1;
    return !done;
  }

  private ensurePage(index: number): boolean {
    if (index < this.words[W.TABLE_PAGES]!) return true;
    if (this.pages.free <= PAGES_LEFT_FREE || index >= this.pagesMax) return false;
    this.words[this.shape.mapWord + index] = this.takePage();
    this.words[W.TABLE_PAGES]! += 1;
    return true;
  }

  /** A page of empty slots. */
  private takePage(): number {
    const page = this.pages.takeZeroed();
    this.pages.setNext(page, TABLE_PAGE);
    return page;
  }

  private bucketOf(hash: number): number {
    return bucketOf(this.words, this.shape, hash);
  }

  private secondBucketOf(hash: number): number {
    return secondBucketOf(this.words, this.shape, hash);
  }

  private bucketWord(index: number): number {
    return bucketWord(this.words, this.shape, index);
  }

  private findInBucket(bucket: number, key: HashedKey): number {
    const { words } = this;
    const { hash } = key;
    for (let word = bucket; word < bucket + SLOTS_PER_BUCKET; word++) {
      if (words[word] !== hash) continue;
      const place = words[word + SLOTS_PER_BUCKET]!;
      if (place !== 0 && this.entries.keyEquals((place & PLACE_MASK) << 2, key))
        return word + SLOTS_PER_BUCKET;
    }
    return NO_SLOT;
  }

  private findPlaceInBucket(bucket: number, hash: number, place: number): number {
    const words = this.words;
    for (let word = bucket; word < bucket + SLOTS_PER_BUCKET; word++) {
      if (words[word] === hash && (words[word + SLOTS_PER_BUCKET]! & PLACE_MASK) === place)
        return word + SLOTS_PER_BUCKET;
    }
    return NO_SLOT;
  }

  private freeSlot(bucket: number): number {
    for (let slot = bucket + SLOTS_PER_BUCKET; slot < bucket + BUCKET_WORDS; slot++) {
      if (this.words[slot] === 0) return slot;
    }
    return NO_SLOT;
  }

  /** Frees a slot of a full bucket by moving an entry to its other bucket, itself freed up to `depth` - 1 moves away. */
  private freeByMoving(bucket: number, depth: number): number {
    for (let slot = bucket + SLOTS_PER_BUCKET; slot < bucket + BUCKET_WORDS; slot++) {
      const target = this.freeSlot(this.otherBucketOf(slot, bucket));
      if (target !== NO_SLOT) return this.moveSlot(slot, target);
    }
    if (depth === 1) return NO_SLOT;
    for (let slot = bucket + SLOTS_PER_BUCKET; slot < bucket + BUCKET_WORDS; slot++) {
      const other = this.otherBucketOf(slot, bucket);
      if (other === bucket) continue;
      const target = this.freeByMoving(other, depth - 1);
      if (target !== NO_SLOT) return this.moveSlot(slot, target);
    }
    return NO_SLOT;
  }

  private moveSlot(from: number, to: number): number {
    this.words[to - SLOTS_PER_BUCKET] = this.words[from - SLOTS_PER_BUCKET]!;
    this.words[to] = this.words[from]!;
    this.words[from] = 0;
    return from;
  }

  private otherBucketOf(slot: number, bucket: number): number {
    const hash = this.words[slot - SLOTS_PER_BUCKET]!;
    const first = this.bucketOf(hash);
    return first === bucket ? this.secondBucketOf(hash) : first;
  }
}
