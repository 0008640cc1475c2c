/**
 * The keys of the next few requests, looked at together before any of them runs. A request by itself waits for main
 * memory twice, for its bucket and for its entry. Here all buckets are read one after the other, then all entries: none
 * of the reads depends on another, so the processor has many of them under way at once, and when the requests run,
 * what they need is near. (MICA, Lim et al., NSDI 2014, prefetches a batch's buckets and entries in such stages.)
 *
 * Only a hint: it reads without the locks, so what it sees may be of the past or be nonsense, and it changes nothing.
 * The hashes, which depend on nothing but the key, are kept for the requests, and the slot as a place to look first.
 */
import { HashedKey, type HashSeed, shardOf } from "./hash";
import { bucketOf, entryWordOf, NO_SLOT, slotInBucket, type Table, type TableShape } from "./table";

/** Enough to hide the waiting, and little enough that the lines stay in the first cache. */
export const AHEAD_MAX = 64;
const LINE_WORDS = 16;

export class KeysAhead {
  /** Where the keys lie in the message: filled in by who knows its format. */
  readonly starts = new Int32Array(AHEAD_MAX);
  readonly ends = new Int32Array(AHEAD_MAX);
  private bytes: Buffer | null = null;
  private count = 0;
  /** The first that was not asked for yet. */
  private at = 0;
  private readonly hashes = new Int32Array(AHEAD_MAX);
  private readonly shardHashes = new Int32Array(AHEAD_MAX);
  private readonly shards = new Int32Array(AHEAD_MAX);
  /** First the bucket's first word, then the slot with the key's hash. */
  private readonly slots = new Int32Array(AHEAD_MAX);
  private readonly entries = new Int32Array(AHEAD_MAX);
  private readonly key: HashedKey;
  /** Takes what was read, so that the reads are not optimised away. */
  private readonly seen = new Int32Array(1);

  /** The blocks of all shards, as words. */
  private readonly blocks: readonly Int32Array[];
  private readonly shape: TableShape;

  constructor(tables: readonly Table[], seed: HashSeed) {
    this.key = new HashedKey(seed);
    this.blocks = tables.map(({ words }) => words);
    this.shape = tables[0]!.shape;
  }

  /** Looks at the first `count` of `starts` and `ends` in the message; whatever was looked at before is forgotten. */
  look(bytes: Buffer, view: DataView, count: number): void {
    this.bytes = bytes;
    this.count = count;
    this.at = 0;
    if (count === 0) return;
    this.hash(bytes, view);
    this.readBuckets();
    this.readEntries();
  }

  /** Points the key at bytes[start, end); its hashes are known if this is a key that was looked at. */
  aim(key: HashedKey, bytes: Buffer, view: DataView, start: number, end: number): void {
    if (bytes === this.bytes) {
      let at = this.at;
      while (at < this.count && this.starts[at]! < start) at++;
      this.at = at + 1;
      if (at < this.count && this.starts[at] === start && this.ends[at] === end)
        return key.aimHashed(
          bytes,
          view,
          start,
          end,
          this.shardHashes[at]!,
          this.hashes[at]!,
          this.slots[at]!,
        );
    }
    key.aim(bytes, view, start, end);
  }

  private hash(bytes: Buffer, view: DataView): void {
    const { key, starts, ends, hashes, shardHashes, shards, slots, blocks, shape } = this;
    const mask = blocks.length - 1;
    const count = this.count;
    for (let i = 0; i < count; i++) {
      key.aim(bytes, view, starts[i]!, ends[i]!);
      const shard = shardOf(key.shardHash, mask);
      hashes[i] = key.hash;
      shardHashes[i] = key.shardHash;
      shards[i] = shard;
      slots[i] = bucketOf(blocks[shard]!, shape, key.hash);
    }
  }

  private readBuckets(): void {
    const { shards, slots, blocks, count } = this;
    let seen = 0;
    for (let i = 0; i < count; i++) seen ^= blocks[shards[i]!]![slots[i]!]!;
    this.seen[0] = seen;
  }

  private readEntries(): void {
    const { hashes, shards, slots, entries, blocks, count } = this;
    for (let i = 0; i < count; i++) {
      const words = blocks[shards[i]!]!;
      const slot = slotInBucket(words, slots[i]!, hashes[i]!);
      slots[i] = slot;
      entries[i] = slot === NO_SLOT ? 0 : entryWordOf(words[slot]!);
    }
    let seen = 0;
    for (let i = 0; i < count; i++) {
      const words = blocks[shards[i]!]!;
      const entry = entries[i]!;
      seen ^= words[entry]! ^ words[entry + LINE_WORDS]!;
    }
    this.seen[0] = seen;
  }
}
