/**
 * What a shard tells whoever has to react to changes of its keys, and what it asks them about leases. Every call comes under the
 * shard's lock, after the operation has succeeded and before the lock is released: so what is told has happened, and no reader
 * has seen it that could not have been told. Evictions and expiries are not told.
 *
 * A stamp is a number from the shard's version counter: it orders everything that happens in one shard.
 */
import type { HashedKey } from "./hash";

/** A wish to compute a value that is not there or soon will not be, and what came of it. One object is filled again and again. */
export class LeaseAsk {
  /** How long the lease may last. */
  leaseMs = 0;
  /** A value with less than this to live may be computed anew while it is still answered. */
  earlyMs = 0;
  /** The worker whose end is the lease's end, or NO_WORKER. */
  holder = NO_WORKER;
  /** The worker that is told of the end of a lease which this caller does not get, or NO_WORKER. */
  waiter = NO_WORKER;
  /** The key is watched from this read on. */
  watches = false;
  /** Of the lease that was given; 0 where none was. */
  token = 0;
  /** How long the lease still lasts, this caller's or the one that is out. */
  leftMs = 0;
}

/** A lease that no worker's end touches. */
export const NO_WORKER = -1;

export const LeaseOutcome = { LEASED: 0, PENDING: 1, FULL: 2 } as const;
export type LeaseOutcome = (typeof LeaseOutcome)[keyof typeof LeaseOutcome];

export interface Observer {
  /** While the first word is 0 nothing has to be told. A word and no call, since every write looks at it, and one for all shards. */
  readonly listening: Int32Array;
  /** The key has a value of this version. */
  stored(key: HashedKey, version: number): void;
  /** The key's expiry is another; value and version stay. */
  touched(key: HashedKey, stamp: number): void;
  /** The key was to be deleted; `existed` says whether there was something to delete. */
  deleted(key: HashedKey, stamp: number, existed: boolean): void;
  /** The key went with a prefix that is being cleared; `cleared` follows. */
  removed(key: HashedKey, stamp: number): void;
  /** Some of the shard's keys with this prefix are gone. With the empty one all are, and `removed` was not called. */
  cleared(prefix: Buffer, stamp: number): void;
  /** Leases on keys with this prefix are void. */
  voidLeases(prefix: Buffer): void;
  /** A thread died, or failed, in the middle of something: nobody knows what it has not told. */
  lost(stamp: number): void;

  /** Somebody reads the key now, and wants to hear of its next change. */
  watch(key: HashedKey, stamp: number): void;

  /** Gives a lease with this token, unless one is out or there are too many. */
  lease(key: HashedKey, ask: LeaseAsk, token: number, now: number): LeaseOutcome;
  /** Whether the lease with this token is still out. */
  isLeased(key: HashedKey, token: number, now: number): boolean;
  /** Ends the lease with this token; false where it has ended already. */
  release(key: HashedKey, token: number, now: number): boolean;
}

/** For a store that nobody watches. */
export const SILENT: Observer = {
  listening: new Int32Array(1),
  stored() {},
  touched() {},
  deleted() {},
  removed() {},
  cleared() {},
  voidLeases() {},
  lost() {},
  watch() {},
  lease: () => LeaseOutcome.FULL,
  isLeased: () => false,
  release: () => false,
};
