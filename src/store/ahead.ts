/**
 * The keys of the next few requests, looked at together before any of them runs. A request by itself waits for main
 * memory twice, for its bucket and for its entry. Here all buckets are read one after the other, then all entries: none
 * of the reads depends on another, so the processor has many of them under way at once, and when the requests run,
 * what they need is near. (MICA, Lim et al., NSDI 2014, prefetches a batch's buckets and entries in such stages.)
 *
 * Only a hint: it reads without the locks, so what it sees may be of the past or be nonsense, and it changes nothing.
 * The hashes, which depend on nothing but the key, are kept for the requests.
 */
import { HashedKey, type HashSeed, shardOf } from "./hash";
import type { Table } from "./table";

/** Enough to hide the waiting, and little enough that the lines stay in the first cache. */
export const AHEAD_MAX = 32;
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
  private readonly words = new Int32Array(AHEAD_MAX);
  private readonly key: HashedKey;
  /** Takes what was read, so that the reads are not optimised away. */
  private readonly seen = new Int32Array(1);

  constructor(
    private readonly tables: readonly Table[],
    seed: HashSeed,
  ) {
    this.key = new HashedKey(seed);
  }

  /** Looks at the first `count` of `starts` and `ends` in the message. */
  look(bytes: Buffer, view: DataView, count: number): void {
    this.bytes = bytes;
    this.count = count;
    this.at = 0;
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
        return key.aimHashed(bytes, view, start, end, this.shardHashes[at]!, this.hashes[at]!);
    }
    key.aim(bytes, view, start, end);
  }

  /** The message is done with. */
  forget(): void {
    this.bytes = null;
    this.count = 0;
  }

  private hash(bytes: Buffer, view: DataView): void {
    const { key, starts, ends, hashes, shardHashes, shards, words, tables } = this;
    const mask = tables.length - 1;
    for (let i = 0; i < this.count; i++) {
      key.aim(bytes, view, starts[i]!, ends[i]!);
      const shard = shardOf(key.shardHash, mask);
      hashes[i] = key.hash;
      shardHashes[i] = key.shardHash;
      shards[i] = shard;
      words[i] = tables[shard]!.bucketOf(key.hash);
    }
  }

  private readBuckets(): void {
    const { shards, words, tables } = this;
    let seen = 0;
    for (let i = 0; i < this.count; i++) seen ^= tables[shards[i]!]!.words[words[i]!]!;
    this.seen[0] = seen;
  }

  private readEntries(): void {
    const { hashes, shards, words, tables } = this;
    for (let i = 0; i < this.count; i++) words[i] = tables[shards[i]!]!.entryWordNear(words[i]!, hashes[i]!);
    let seen = 0;
    for (let i = 0; i < this.count; i++) {
      const all = tables[shards[i]!]!.words;
      const word = words[i]!;
      seen ^= all[word]! ^ all[word + LINE_WORDS]!;
    }
    this.seen[0] = seen;
  }
}
