/**
 * The first level: copies of the origin's values in this server's store, for all its workers.
 *
 * No copy is older than it may be, because of these things.
 * - Fill guard. A read notes the generation of its key before its GET is sent. An invalidation raises the generation, then drops
 *   the copy under the shard's lock. A fill compares the generation under that lock. So either it sees that it is too late, or the
 *   invalidation finds what it has stored. (Leases of Nishtala et al., NSDI 2013; a number for each key instead of an identity for each
 *   read does the same, since only whether it has changed is asked.)
 * - Stamp. A copy is stored with the slot of its key and the slot's epoch of before the GET; trust.ts says at each read whether that
 *   epoch is still the present one, and proven.
 * - Answers overtake each other between workers. A copy of a later version stays where an earlier one comes late, and an answer that leaves no
 *   copy raises the generation: so no client goes back in time.
 * - Own writes raise the generation and drop the copy when they are sent, and again when they are answered: what a client has written
 *   it reads, on whichever worker.
 */
import type { HashedKey } from "../store/hash";
import { ShardBusyError } from "../store/lock";
import type { Store } from "../store/store";
import { type EntryInfo, Outcome } from "../store/shard";
import { type ValueSink, Write } from "../store/write";
import { NO_TYPE } from "../store/value-type";
import { Silence } from "./silence";
import type { Sink } from "./sink";
import { slotOf } from "./slots";
import { isTrusted, type Trust } from "./trust";
import type { Found } from "./value";

/** What was known of a key before it was asked for. */
export interface Guard {
  readonly slot: number;
  readonly epoch: number;
  readonly generation: number;
}

export interface FirstLevelOptions {
  readonly store: Store;
  readonly trust: Trust;
  /** What keys begin with in the origin, colon included. */
  readonly prefix: Buffer;
  readonly valueBytesMax: number;
  /** How much older copies may be while the origin does not answer. */
  readonly staleMaxMs: number;
  /** The store's clock. */
  readonly clock: () => number;
}

export class FirstLevel {
  private readonly write = new Write();
  private readonly info: EntryInfo = { version: 0, expiresAt: 0, valueLength: 0, type: NO_TYPE };

  private readonly silence: Silence;

  constructor(private readonly options: FirstLevelOptions) {
    this.silence = new Silence(options.trust);
  }

  /** Before the key is asked for. */
  guardOf(key: HashedKey): Guard {
    const { trust } = this.options;
    const slot = this.slotOf(key);
    return { slot, epoch: trust.epochOf(slot), generation: trust.generationOf(key.hash) };
  }

  /** Whether nothing has changed since, as far as is known. False for a slot that is not trusted. */
  isCurrent(key: HashedKey, { slot, epoch, generation }: Guard): boolean {
    const { trust } = this.options;
    return isTrusted(epoch) && trust.epochOf(slot) === epoch && trust.generationOf(key.hash) === generation;
  }

  /** Whether a change was told, or made here, since. */
  hasChanged(key: HashedKey, { generation }: Guard): boolean {
    return this.options.trust.generationOf(key.hash) !== generation;
  }

  /** The same as isCurrent, and whether the next change will be told: its master is heard of. */
  isWatched(key: HashedKey, guard: Guard): boolean {
    const { trust, clock } = this.options;
    return this.isCurrent(key, guard) && trust.holds(guard.slot, guard.epoch, clock());
  }

  /** Whether a master has fallen silent since the last call, so that nobody knows any more what has changed. */
  hasBecomeDeaf(): boolean {
    return this.silence.hasBegun(this.options.clock());
  }

  /** How old a copy may be. */
  get maxAgeMs(): number {
    return this.options.trust.maxAgeMs;
  }

  /**
   * The origin has answered. What can be kept is, unless the key may have changed since it was asked for. What cannot (nothing is there, or
   * others wrote it) ends the copy: another worker may keep one of before, and who is answered now must not read that next.
   * @returns what is known of the key now
   */
  answered(key: HashedKey, found: Found | null, guard: Guard): Guard {
    if (found !== null && !found.isForeign && found.payload.length <= this.options.valueBytesMax) {
      this.fill(key, found, guard);
      return guard;
    }
    const before = this.drop(key, (now) => this.options.store.shardFor(key).discard(key, now));
    return before === guard.generation ? { ...guard, generation: before + 1 } : guard;
  }

  /**
   * What came too late to be kept is stored all the same, under an epoch that is never served: a still older answer, which another worker may
   * have asked for later, does not take its place.
   */
  private fill(key: HashedKey, { payload, version, ttlMs, type }: Found, guard: Guard): void {
    const { store, clock } = this.options;
    if (!isTrusted(guard.epoch)) return;
    const now = clock();
    const write = this.write.set(payload, 0, payload.length);
    write.version = version;
    write.expiresAt = now + ttlMs;
    write.type = type;
    write.group = guard.slot;
    write.epoch = guard.epoch;
    try {
      const shard = store.shardFor(key);
      const outcome = shard.fill(key, write, () => this.isCurrent(key, guard), now);
      write.epoch = ~guard.epoch;
      if (outcome === Outcome.REFUSED) shard.fill(key, write, always, now);
    } catch (error) {
      if (!(error instanceof ShardBusyError)) throw error;
    }
    write.clear();
  }

  /** Whether there is a copy that may be served; does not count as a read. */
  has(key: HashedKey): boolean {
    const { store, clock } = this.options;
    return store.shardFor(key).info(key, this.info, clock());
  }

  /**
   * When the origin cannot be asked: reads a copy that was proven not too long ago, and says so.
   * @returns false where there is none, or none is wanted
   */
  readStale(key: HashedKey, sink: ValueSink): boolean {
    const { store, trust, clock, staleMaxMs } = this.options;
    if (staleMaxMs === 0) return false;
    const now = clock();
    const mayServe = (slot: number, epoch: number) =>
      trust.staleFor(slot, epoch, now) <= trust.maxAgeMs + staleMaxMs;
    return store.shardFor(key).getStale(key, sink, mayServe, now);
  }

  /** A write of this server is about to be sent. */
  sending(key: HashedKey): void {
    this.drop(key, (now) => this.options.store.shardFor(key).discard(key, now));
  }

  /** It is answered, or nobody knows what has become of it. */
  sent(key: HashedKey): void {
    this.drop(key, (now) => this.options.store.shardFor(key).written(key, now));
  }

  /** What is under way now is not kept. */
  forgetUnderWay(): void {
    this.options.trust.noteChangeOfAll();
  }

  /** For the tracker: what others have changed. */
  get sink(): Sink {
    const { store, trust, prefix, clock } = this.options;
    return {
      changed: (name) => {
        const key = store.newKey();
        const bytes = Buffer.from(name.buffer, name.byteOffset, name.length);
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
        key.aim(bytes, view, prefix.length, bytes.length);
        trust.noteChange(key.hash);
        store.shardFor(key).invalidate(key, clock());
      },
      changedAll: () => {
        trust.noteChangeOfAll();
        for (const shard of store.shards) {
          shard.clear(clock());
          shard.lose();
        }
      },
      missed: () => {
        for (const shard of store.shards) shard.lose();
      },
    };
  }

  /** In a shard that a dead thread holds the copy stays, so its slot is distrusted. @returns the generation before */
  private drop(key: HashedKey, work: (now: number) => void): number {
    const { trust, clock } = this.options;
    const before = trust.noteChange(key.hash);
    try {
      work(clock());
    } catch (error) {
      if (!(error instanceof ShardBusyError)) throw error;
      trust.distrust(this.slotOf(key));
    }
    return before;
  }

  private slotOf({ bytes, start, end, length }: HashedKey): number {
    const { prefix } = this.options;
    const whole = Buffer.allocUnsafe(prefix.length + length);
    prefix.copy(whole);
    bytes.copy(whole, prefix.length, start, end);
    return slotOf(whole, 0, whole.length);
  }
}

function always(): boolean {
  return true;
}
