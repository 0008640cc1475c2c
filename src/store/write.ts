/**
 * What is to be stored under a key: which bytes, until when, and on which condition. One object is filled anew for each write
 * and handed down from the code that reads the request to the code that writes the entry, so that nothing is allocated.
 */

import { NO_TYPE, type ValueType } from "./value-type";

/**
 * Where a read value goes. The store asks for the place once, under the lock, then copies `length` bytes there.
 * `expiresAt` is in ms on the store's clock, Infinity for never.
 */
export interface ValueSink {
  bytes: Uint8Array;
  /** Offset in `bytes` to copy the value to. */
  begin(length: number, version: number, expiresAt: number): number;
  /** Takes what the value is; only for those who want to know. */
  takeType?(type: ValueType): void;
  /** Before `begin`: the value is a copy that may be old, since nobody could be asked. */
  markStale?(): void;
}

/** When a put may store. */
export const Condition = { NONE: 0, IF_ABSENT: 1, IF_PRESENT: 2 } as const;
export type Condition = (typeof Condition)[keyof typeof Condition];

/** When an entry may be given another expiry: all of the bits must hold. */
export const TouchIf = {
  ALWAYS: 0,
  /** It has none. */
  NO_EXPIRY: 1,
  /** It has one. */
  EXPIRES: 2,
  /** It would live longer than now; one that never expires cannot. */
  LATER: 4,
  /** It would end earlier than now. */
  EARLIER: 8,
} as const;

/** Any version will do. */
export const ANY_VERSION = 0;
/** The write has no stamp. */
export const NO_GROUP = -1;
/** The write is no fill of a lease. */
export const NO_LEASE = 0;

const NOTHING = Buffer.alloc(0);

export class Write {
  /** value[start, end) is what is stored. */
  value: Buffer = NOTHING;
  start = 0;
  end = 0;
  /** In ms on the store's clock, Infinity for never. */
  expiresAt = Infinity;
  /** Leaves an entry that is there its expiry; expiresAt is only for a new one. */
  keepsExpiry = false;
  /** Takes the value that was there, whether it is replaced or not; begun only if there was one. */
  previous: ValueSink | null = null;
  /** What the value is. Appending and adding leave it as it was. */
  type: ValueType = NO_TYPE;
  condition: Condition = Condition.NONE;
  /** The version that the entry must have, or ANY_VERSION. */
  ifVersion = ANY_VERSION;
  /** Token of the lease that must be out, or NO_LEASE. */
  lease = NO_LEASE;
  /** The key is watched from this write on. */
  watches = false;
  /** The entry's stamp (freshness.ts), or NO_GROUP. */
  group = NO_GROUP;
  epoch = 0;
  /** Given by the shard, except to a fill. */
  version = 0;
  /** Value bytes that the entry gets room for; 0 for no more than the value takes. Decided by the shard. */
  capacity = 0;

  /** Begins another write: these bytes, of no type, for ever, on no condition. */
  set(value: Buffer, start: number, end: number): this {
    this.value = value;
    this.start = start;
    this.end = end;
    this.expiresAt = Infinity;
    this.keepsExpiry = false;
    this.previous = null;
    this.type = NO_TYPE;
    this.condition = Condition.NONE;
    this.ifVersion = ANY_VERSION;
    this.lease = NO_LEASE;
    this.watches = false;
    this.group = NO_GROUP;
    this.capacity = 0;
    return this;
  }

  get length(): number {
    return this.end - this.start;
  }

  /** Drops the references to the value's buffer and to the sink. */
  clear(): void {
    this.value = NOTHING;
    this.previous = null;
  }
}
