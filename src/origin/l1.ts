/**
 * The first level: copies of the origin's values in this server's store, for all its workers.
 *
 * No copy is older than it may be, because of three things.
 * - Fill guard. A read notes the generation of its key before its GET is sent. An invalidation raises the generation, then drops
 *   the copy under the shard's lock. A fill compares the generation under that lock. So either it sees that it is too late, or the
 *   invalidation finds what it has stored. (Leases of Nishtala et al., NSDI 2013; a number for each key instead of an identity for each
 *   read does the same, since only whether it has changed is asked.)
 * - Stamp. A copy is stored with the slot of its key and the slot's epoch of before the GET; trust.ts says at each read whether that
 *   epoch is still the present one, and proven.
 * - Own writes raise the generation and drop the copy when they are sent, and again when they are answered: what a client has written
 *   it reads, on whichever worker.
 */
import type { HashedKey } from "../store/hash";
import { ShardBusyError } from "../store/lock";
import type { Store } from "../store/store";
import { Outcome } from "../store/shard";
import { Write } from "../store/write";
import { slotOf } from "./slots";
import type { Found } from "./value";

/** What the first level asks of trust.ts. */
export interface Generations {
  /** Odd while the slot is not trusted. */
  epochOf(slot: number): number;
  generationOf(hash: number): number;
  noteChange(hash: number): void;
  noteChangeOfAll(): void;
}

/** What was known of a key before it was asked for. */
export interface Guard {
  readonly slot: number;
  readonly epoch: number;
  readonly generation: number;
}

export interface FirstLevelOptions {
  readonly store: Store;
  readonly generations: Generations;
  /** What keys begin with in the origin, colon included. */
  readonly prefix: Buffer;
  readonly valueBytesMax: number;
  /** The store's clock. */
  readonly clock: () => number;
}

export class FirstLevel {
  private readonly write = new Write();

  constructor(private readonly options: FirstLevelOptions) {}

  /** Before the key is asked for. */
  guardOf(key: HashedKey): Guard {
    const { generations } = this.options;
    const slot = this.slotOf(key);
    return { slot, epoch: generations.epochOf(slot), generation: generations.generationOf(key.hash) };
  }

  /** Whether nothing has changed since, as far as is known. False for a slot that is not trusted. */
  isCurrent(key: HashedKey, { slot, epoch, generation }: Guard): boolean {
    const { generations } = this.options;
    const isTrusted = (epoch & 1) === 0 && generations.epochOf(slot) === epoch;
    return isTrusted && generations.generationOf(key.hash) === generation;
  }

  /** Keeps a copy, unless the key may have changed since it was asked for. */
  fill(key: HashedKey, found: Found, guard: Guard): void {
    const { store, clock, valueBytesMax } = this.options;
    const { payload, isForeign, version, ttlMs, type } = found;
    if (isForeign || payload.length > valueBytesMax || !this.isCurrent(key, guard)) return;
    const now = clock();
    const write = this.write.set(payload, 0, payload.length);
    write.version = version;
    write.expiresAt = now + ttlMs;
    write.type = type;
    write.group = guard.slot;
    write.epoch = guard.epoch;
    this.unlessBusy(() => store.shardFor(key).fill(key, write, () => this.isCurrent(key, guard), now));
    write.clear();
  }

  /** Whether there is a copy that may be served; does not count as a read. */
  has(key: HashedKey): boolean {
    const { store, clock } = this.options;
    return store.shardFor(key).isFreshCopy(key, clock());
  }

  /** A write of this server is about to be sent. */
  sending(key: HashedKey): void {
    const { store, generations, clock } = this.options;
    generations.noteChange(key.hash);
    this.unlessBusy(() => store.shardFor(key).discard(key, clock()));
  }

  /** It is answered, or nobody knows what has become of it. */
  sent(key: HashedKey): void {
    const { store, generations, clock } = this.options;
    generations.noteChange(key.hash);
    this.unlessBusy(() => store.shardFor(key).written(key, clock()));
  }

  /** Somebody has changed the key in the origin. Throws ShardBusyError where the copy could not be dropped. */
  changed(key: HashedKey): void {
    const { store, generations, clock } = this.options;
    generations.noteChange(key.hash);
    store.shardFor(key).invalidate(key, clock());
  }

  /** Anything may have changed: no copy is served again, and whoever watches is told. */
  changedAll(): void {
    const { store, generations, clock } = this.options;
    generations.noteChangeOfAll();
    for (const shard of store.shards) shard.clear(clock());
  }

  private slotOf({ bytes, start, end, length }: HashedKey): number {
    const { prefix } = this.options;
    const whole = Buffer.allocUnsafe(prefix.length + length);
    prefix.copy(whole);
    bytes.copy(whole, prefix.length, start, end);
    return slotOf(whole, 0, whole.length);
  }

  /** A shard that a dead thread holds keeps its copy until its stamp or its generation ends it. */
  private unlessBusy(work: () => Outcome | void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof ShardBusyError)) throw error;
    }
  }
}
