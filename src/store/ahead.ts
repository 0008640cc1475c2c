/**
 * Looks up the keys of the next few requests together, before any of them is executed. A request by itself waits for main
 * memory twice, for its bucket and for its entry. Here all buckets are read one after the other, then all entries. None
 * of the reads depends on another, so the processor has many of them in flight at once, and when the requests are executed,
 * what they need is in the cache. (MICA, Lim et al., NSDI 2014, prefetches a batch's buckets and entries in such stages.)
 *
 * What `look` finds is only a hint: it reads without the locks, so it may be outdated or meaningless, and it changes nothing.
 * Two things are kept for the requests: the hashes, which depend on nothing but the key, and the slot as a place to look first.
 *
 * `read` is a get, under the lock, that starts from that slot. It uses numbers and a few arrays for all shards, where Shard.get uses
 * several objects of one shard: with many shards those objects push each other out of the first cache.
 */
import { expires, expiryOf, hasKey, hasStamp, stampWordOf, valueLengthOf, valueStartOf } from "./entry";
import { type Freshness, NEVER_OLD } from "./freshness";
import { type HashedKey, hashKeys, type HashSeed, type KeyRows, shardOf } from "./hash";
import { C, shiftOf } from "./layout";
import { release, tryAcquire, wake } from "./lock";
import {
  bucketOf,
  countRead,
  entryWordOf,
  isSlotOf,
  NO_SLOT,
  secondBucketOf,
  slotInBucket,
  type TableShape,
} from "./table";
import type { Shard } from "./shard";

/** The short way could not answer. */
export const NOT_READ = -1;
const LINE_WORDS = 16;

export class KeysAhead {
  private rows: KeyRows | null = null;
  private count = 0;
  /** When the requests run: all of them at one moment. */
  private now = 0;
  private readonly hashes: Int32Array;
  private readonly shardNumbers: Int32Array;
  /** First the bucket's first word, then the slot with the key's hash. */
  private readonly slots: Int32Array;
  private readonly entries: Int32Array;
  /** Takes what was read, so that the reads are not optimised away. */
  private readonly seen = new Int32Array(1);

  private freshness: Freshness = NEVER_OLD;

  /** The blocks of all shards, as words, bytes, counters and view. */
  private readonly blocks: readonly Int32Array[];
  private readonly bytesOf: readonly Buffer[];
  private readonly counters: readonly Float64Array[];
  private readonly views: readonly DataView[];
  private readonly bells: readonly Int32Array[];
  private readonly shape: TableShape;
  private readonly shardBits: number;
  private readonly pageMask: number;

  /** @param rowsMax how many keys are looked at together, at most */
  constructor(
    shards: readonly Shard[],
    private readonly seed: HashSeed,
    private readonly owner: number,
    rowsMax: number,
  ) {
    this.hashes = new Int32Array(rowsMax);
    this.shardNumbers = new Int32Array(rowsMax);
    this.slots = new Int32Array(rowsMax);
    this.entries = new Int32Array(rowsMax);
    this.blocks = shards.map(({ block }) => block.words);
    this.bytesOf = shards.map(({ block }) => block.bytes);
    this.counters = shards.map(({ block }) => block.doubles);
    this.views = shards.map(({ block }) => block.view);
    this.bells = shards.map(({ block }) => block.bell);
    this.shape = shards[0]!.table.shape;
    this.shardBits = shiftOf(shards.length);
    this.pageMask = shards[0]!.layout.pageBytes - 1;
  }

  /**
   * Looks these keys up; earlier ones are forgotten. Rows and their bytes must stay as they are
   * until `forget`.
   */
  look(rows: KeyRows, now: number): void {
    this.rows = rows;
    this.count = rows.count;
    this.now = now;
    this.locate(rows);
    this.readBuckets();
    this.findSlots();
    this.readEntries();
  }

  /** Nothing has been looked at. */
  forget(): void {
    this.rows = null;
    this.count = 0;
  }

  /**
   * The short way of a get: copies the value of the key at `row` to target[at…]. It answers only the usual case: the lock is free,
   * the entry is where it was seen, lies in one page and has not expired, and its value is no longer than `bytesMax`.
   * An outdated slot does no harm, because it is read again under the lock. In a page of the table, a slot that is not 0
   * names a live entry, and that entry's key is compared; a key has only one entry, so this is its present value.
   * @returns the value's length, or NOT_READ: then nothing was changed or counted, and Shard.get has to answer
   */
  read(row: number, target: Buffer, at: number, bytesMax: number): number {
    const rows = this.lookedAt(row);
    const shard = this.shardNumbers[row]!;
    const words = this.blocks[shard]!;
    if (!tryAcquire(words, this.owner)) return NOT_READ;
    try {
      const slot = this.slots[row]!;
      if (!isSlotOf(words, this.shape, this.hashes[row]!, slot)) return NOT_READ;
      const entry = entryWordOf(words[slot]!);
      const pageEnd = ((entry << 2) | this.pageMask) + 1;
      const from = valueStartOf(words, entry);
      if (from > pageEnd || !hasKey(words, entry, rows, row)) return NOT_READ;
      if (expires(words, entry) && expiryOf(this.views[shard]!, entry) <= this.now) return NOT_READ;
      if (hasStamp(words, entry)) {
        const stamp = stampWordOf(words, entry);
        if (!this.freshness.holds(words[stamp]!, words[stamp + 1]!, this.now)) return NOT_READ;
      }
      const length = valueLengthOf(words, entry);
      if (length > bytesMax || from + length > pageEnd) return NOT_READ;
      this.bytesOf[shard]!.copy(target, at, from, from + length);
      this.counters[shard]![C.HITS]! += 1;
      countRead(words, slot);
      return length;
    } finally {
      if (release(words)) wake(this.bells[shard]!);
    }
  }

  /** Who says whether copies are still good. */
  trust(freshness: Freshness): void {
    this.freshness = freshness;
  }

  /** Points the key at the one in `row`. */
  aim(key: HashedKey, row: number): void {
    key.aimAtRow(this.lookedAt(row), row, this.hashes[row]!, this.slots[row]!);
  }

  private lookedAt(row: number): KeyRows {
    if (row >= this.count) throw new RangeError(`the key of row ${row} was not looked at`);
    return this.rows!;
  }

  /** Hash, shard and bucket of each. */
  private locate(rows: KeyRows): void {
    const { seed, hashes, shardBits, shardNumbers, slots, blocks, shape, count } = this;
    hashKeys(seed, rows, hashes);
    for (let i = 0; i < count; i++) {
      const shard = shardOf(hashes[i]!, shardBits);
      shardNumbers[i] = shard;
      slots[i] = bucketOf(blocks[shard]!, shape, hashes[i]!);
    }
  }

  private readBuckets(): void {
    const { shardNumbers, slots, blocks, count } = this;
    let seen = 0;
    for (let i = 0; i < count; i++) seen ^= blocks[shardNumbers[i]!]![slots[i]!]!;
    this.seen[0] = seen;
  }

  private findSlots(): void {
    const { hashes, shardNumbers, slots, entries, blocks, shape, count } = this;
    for (let i = 0; i < count; i++) {
      const words = blocks[shardNumbers[i]!]!;
      const hash = hashes[i]!;
      let slot = slotInBucket(words, slots[i]!, hash);
      if (slot === NO_SLOT) slot = slotInBucket(words, secondBucketOf(words, shape, hash), hash);
      slots[i] = slot;
      entries[i] = slot === NO_SLOT ? 0 : entryWordOf(words[slot]!);
    }
  }

  private readEntries(): void {
    const { shardNumbers, entries, blocks, count } = this;
    let seen = 0;
    for (let i = 0; i < count; i++) {
      const words = blocks[shardNumbers[i]!]!;
      const entry = entries[i]!;
      seen ^= words[entry]! ^ words[entry + LINE_WORDS]!;
    }
    this.seen[0] = seen;
  }
}
