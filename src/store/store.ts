/**
 * The store: all shards, and which one a key belongs to. Each thread opens its own Store over the same memory.
 */
import { type ShardStats, sumStats } from "./counters";
import { KeysAhead } from "./ahead";
import { HashedKey, hashSeedOf, type HashSeed, shardOf } from "./hash";
import { layoutOf, shiftOf } from "./layout";
import { type BlockMemory, type MappedBytes, openBlock, reserveBlock } from "./memory";
import { type Freshness, NEVER_OLD } from "./freshness";
import type { Observer } from "./observer";
import { type PrefixStep, Shard } from "./shard";
import { type WalkPlace, WALK_START } from "./walk";

/** What one thread sends another so that it can open the store. */
export interface StoreMemory {
  readonly blocks: readonly BlockMemory[];
  readonly shardBytes: number;
  /** Only where a test chose it. */
  readonly pageBytes: number | undefined;
  readonly seed: HashSeed;
}

export interface StoreOptions {
  /** Power of two. */
  shards: number;
  shardBytes: number;
  pageBytes?: number;
  /** Two random words: the seed of the hash that nobody outside may know. */
  seed: readonly [number, number];
  /** A file's memory, a part for each shard; without it the store ends with the process. */
  mapped?: readonly MappedBytes[];
}

/** Where a scan over all shards goes on. */
export interface ScanPlace extends WalkPlace {
  shard: number;
}

export const SCAN_START: Readonly<ScanPlace> = { shard: 0, ...WALK_START };

/** Reserves the memory of a store, whose shards have to begin or to be attached next. Throws RangeError when it can't be had. */
export function reserveStore({ shards, shardBytes, pageBytes, seed, mapped }: StoreOptions): StoreMemory {
  const layout = layoutOf(shardBytes, pageBytes);
  const blocks = Array.from({ length: shards }, (_, number) => reserveBlock(layout, mapped?.[number]));
  return { blocks, shardBytes, pageBytes, seed: hashSeedOf(seed[0], seed[1]) };
}

/**
 * The memory of an empty store.
 * @param firstVersion versions begin above this. Larger at each start, so that an ETag of an earlier life matches nothing in this one.
 */
export function createStore(options: StoreOptions, firstVersion: number): StoreMemory {
  const memory = reserveStore(options);
  for (const shard of new Store(memory, 1).shards) shard.begin(firstVersion);
  return memory;
}

export class Store {
  readonly shards: readonly Shard[];
  private readonly shardBits: number;
  private readonly seed: HashSeed;
  private freshness: Freshness = NEVER_OLD;

  /** @param owner this thread's number, 1 to OWNER_MAX, unique among live threads */
  constructor(
    memory: StoreMemory,
    private readonly owner: number,
  ) {
    const layout = layoutOf(memory.shardBytes, memory.pageBytes);
    this.seed = memory.seed;
    this.shards = memory.blocks.map((block) => new Shard(openBlock(block, layout), memory.seed, owner));
    this.shardBits = shiftOf(this.shards.length);
  }

  /** Before the store is used: who is told of the changes of each shard. */
  observe(observers: readonly Observer[]): void {
    this.shards.forEach((shard, number) => shard.observe(observers[number]!));
  }

  /** Before the store is used: who says whether copies are still good. */
  trust(freshness: Freshness): void {
    this.freshness = freshness;
    for (const shard of this.shards) shard.trust(freshness);
  }

  /** A key cursor for this store's hash; aim it at bytes, then pass it to the verbs. */
  newKey(): HashedKey {
    return new HashedKey(this.seed);
  }

  /** Looks at up to `rowsMax` keys before they are asked for; see ahead.ts. */
  newKeysAhead(rowsMax: number): KeysAhead {
    const ahead = new KeysAhead(this.shards, this.seed, this.owner, rowsMax);
    ahead.trust(this.freshness);
    return ahead;
  }

  shardFor(key: HashedKey): Shard {
    return this.shards[this.numberFor(key)]!;
  }

  /** Number of the key's shard. */
  numberFor(key: HashedKey): number {
    return shardOf(key.hash, this.shardBits);
  }

  /** Goes through keys with a prefix, from `place` on, within one shard. Null when all shards are done. */
  scan(place: Readonly<ScanPlace>, step: PrefixStep, onKey: (key: Buffer) => boolean): ScanPlace | null {
    const shard = this.shards[place.shard];
    if (shard === undefined) return null;
    return this.following(place.shard, shard.scan(place, step, onKey));
  }

  /** Removes keys with a prefix, as scan goes through them. */
  clearPrefix(
    place: Readonly<ScanPlace>,
    step: PrefixStep,
    onRemoved: (count: number) => void,
  ): ScanPlace | null {
    const shard = this.shards[place.shard];
    if (shard === undefined) return null;
    return this.following(place.shard, shard.clearPrefix(place, step, onRemoved));
  }

  stats(): { shards: ShardStats[]; total: ShardStats } {
    const shards = this.shards.map((shard) => shard.stats());
    return { shards, total: sumStats(shards) };
  }

  private following(shard: number, next: WalkPlace | null): ScanPlace | null {
    if (next !== null) return { shard, ...next };
    return shard + 1 < this.shards.length ? { ...SCAN_START, shard: shard + 1 } : null;
  }
}
