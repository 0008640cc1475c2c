/**
 * The keys of the next few requests, looked at together before any of them runs. A request by itself waits for main
 * memory twice, for its bucket and for its entry. Here all buckets are read one after the other, then all entries: none
 * of the reads depends on another, so the processor has many of them under way at once, and when the requests run,
 * what they need is near. (MICA, Lim et al., NSDI 2014, prefetches a batch's buckets and entries in such stages.)
 *
 * What `look` sees is only a hint: it reads without the locks, so it may be of the past or be nonsense, and it changes nothing.
 * The hashes, which depend on nothing but the key, are kept for the requests, and the slot as a place to look first.
 *
 * `read` is a get, under the lock, that starts from there. It goes by numbers and by a few arrays for all shards, where Shard.get goes
 * through the objects of one: with many shards those objects push each other out of the first cache.
 */
import { expires, expiryOf, hasWholeKey, keyEndOf, valueLengthOf } from "./entry";
import { type HashedKey, hashKeys, type HashSeed, shardOf } from "./hash";
import { C, shiftOf } from "./layout";
import { release, tryAcquire } from "./lock";
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

/** The short way did not lead to a value. */
export const NOT_READ = -1;
/** Enough to hide the waiting, and little enough that the lines stay in the first cache. */
export const AHEAD_MAX = 64;
const LINE_WORDS = 16;

export class KeysAhead {
  /** Where the keys lie in the message: filled in by who knows its format. */
  readonly starts = new Int32Array(AHEAD_MAX);
  readonly ends = new Int32Array(AHEAD_MAX);
  /** 1 where nothing but the value is asked for. */
  readonly plain = new Uint8Array(AHEAD_MAX);
  private count = 0;
  private bytes: Buffer | null = null;
  private view: DataView | null = null;
  /** The first that was not asked for yet. */
  private at = 0;
  private readonly hashes = new Int32Array(AHEAD_MAX);
  private readonly shardNumbers = new Int32Array(AHEAD_MAX);
  /** First the bucket's first word, then the slot with the key's hash. */
  private readonly slots = new Int32Array(AHEAD_MAX);
  private readonly entries = new Int32Array(AHEAD_MAX);
  /** Takes what was read, so that the reads are not optimised away. */
  private readonly seen = new Int32Array(1);

  /** The blocks of all shards, as words, bytes, counters and view. */
  private readonly blocks: readonly Int32Array[];
  private readonly bytesOf: readonly Buffer[];
  private readonly counters: readonly Float64Array[];
  private readonly views: readonly DataView[];
  private readonly shape: TableShape;
  private readonly shardBits: number;
  private readonly pageMask: number;

  constructor(
    shards: readonly Shard[],
    private readonly seed: HashSeed,
    private readonly owner: number,
  ) {
    this.blocks = shards.map(({ block }) => block.words);
    this.bytesOf = shards.map(({ block }) => block.bytes);
    this.counters = shards.map(({ block }) => block.doubles);
    this.views = shards.map(({ block }) => block.view);
    this.shape = shards[0]!.table.shape;
    this.shardBits = shiftOf(shards.length);
    this.pageMask = shards[0]!.layout.pageBytes - 1;
  }

  /** Looks at the first `count` of `starts` and `ends` in the message; whatever was looked at before is forgotten. */
  look(bytes: Buffer, view: DataView, count: number): void {
    this.bytes = bytes;
    this.view = view;
    this.count = count;
    this.at = 0;
    if (count === 0) return;
    this.locate(view);
    this.readBuckets();
    this.findSlots();
    this.readEntries();
  }

  /** Lets go of the message. */
  forget(): void {
    this.bytes = null;
    this.view = null;
    this.count = 0;
  }

  /** Whether only the value is asked for at `row` of this message, and the key there was looked at. */
  isPlain(bytes: Buffer, row: number): boolean {
    return bytes === this.bytes && row < this.count && this.plain[row] === 1;
  }

  /**
   * The short way of a get: copies the value of the key at `row` to target[at…], where all is as it mostly is: the shard's
   * lock free, the entry where it was seen, in one page, not expired, its value no longer than `bytesMax`.
   * Why an old slot does no harm: it is looked at again under the lock. In a page of the table, a slot that is not 0
   * names a live entry, and that entry's key is compared; a key has one entry, so this is its value now.
   * @returns the value's length, or NOT_READ: then nothing was changed or counted, and Shard.get has to answer
   */
  read(row: number, target: Buffer, at: number, bytesMax: number, now: number): number {
    const shard = this.shardNumbers[row]!;
    const words = this.blocks[shard]!;
    if (!tryAcquire(words, this.owner)) return NOT_READ;
    try {
      const slot = this.slots[row]!;
      if (!isSlotOf(words, this.shape, this.hashes[row]!, slot)) return NOT_READ;
      const entry = entryWordOf(words[slot]!);
      const pageEnd = ((entry << 2) | this.pageMask) + 1;
      if (!hasWholeKey(words, entry, pageEnd, this.view!, this.starts[row]!, this.ends[row]!))
        return NOT_READ;
      if (expires(words, entry) && expiryOf(this.views[shard]!, entry) <= now) return NOT_READ;
      const length = valueLengthOf(words, entry);
      const from = keyEndOf(words, entry);
      if (length > bytesMax || from + length > pageEnd) return NOT_READ;
      this.bytesOf[shard]!.copy(target, at, from, from + length);
      this.counters[shard]![C.HITS]! += 1;
      countRead(words, slot);
      return length;
    } finally {
      release(words);
    }
  }

  /** Points the key at bytes[start, end); its hash is known if this is a key that was looked at. */
  aim(key: HashedKey, bytes: Buffer, view: DataView, start: number, end: number): void {
    if (bytes === this.bytes) {
      let at = this.at;
      while (at < this.count && this.starts[at]! < start) at++;
      this.at = at + 1;
      if (at < this.count && this.starts[at] === start && this.ends[at] === end)
        return key.aimHashed(bytes, view, start, end, this.hashes[at]!, this.slots[at]!);
    }
    key.aim(bytes, view, start, end);
  }

  /** Hash, shard and bucket of each. */
  private locate(view: DataView): void {
    const { seed, starts, ends, hashes, shardBits, shardNumbers, slots, blocks, shape, count } = this;
    hashKeys(seed, view, starts, ends, count, hashes);
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
