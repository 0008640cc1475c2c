/** The verbs on the store of record: a Valkey or Redis Cluster, or a single server. */
import type { Log } from "../system/log";
import type { Outcome } from "../store/shard";
import { NO_TYPE, type ValueType } from "../store/value-type";
import { ANY_VERSION, Condition, TouchIf } from "../store/write";
import type { Address } from "./address";
import type { Found } from "./value";

export type { Found };

export interface EngineOptions {
  readonly address: Address;
  /** What all keys begin with in the engine, without the colon (--origin-namespace). */
  readonly namespace: string;
  /** Deadline of each call (--origin-timeout). */
  readonly timeoutMs: number;
  readonly log: Log;
  /** A node has said that it does not own this slot, or not all of it any more (MOVED, ASK). */
  readonly onRedirect?: (slot: number) => void;
}

/** What is to be stored, and when. What is left out is as in store/write.ts: Write.set. */
export interface PutAsk {
  readonly payload: Buffer;
  /** Default Infinity: never. 0 and less: the entry is gone at once. */
  readonly ttlMs?: number;
  readonly type?: ValueType;
  readonly condition?: Condition;
  readonly ifVersion?: number;
  /** Leaves an entry that is there its expiry. */
  readonly keepsExpiry?: boolean;
  /** Wants the value that was there, whether it is replaced or not. */
  readonly returnsPrevious?: boolean;
}

export interface PutResult {
  readonly outcome: typeof Outcome.DONE | typeof Outcome.REFUSED;
  /** 0 unless DONE. */
  readonly version: number;
  /** Null where there was none, or nobody asked. */
  readonly previous: Found | null;
}

export interface AddResult {
  readonly outcome: typeof Outcome.DONE | typeof Outcome.NOT_A_NUMBER | typeof Outcome.OVERFLOW;
  readonly number: bigint;
  readonly version: number;
}

export interface AppendResult {
  readonly outcome: typeof Outcome.DONE | typeof Outcome.MISS | typeof Outcome.REFUSED;
  readonly version: number;
  /** Of the whole payload. */
  readonly length: number;
}

export interface ScanResult {
  /** 0 when the scan is done; below 2^63. */
  readonly cursor: bigint;
  readonly keys: Buffer[];
}

/** Keys at this interface are without the namespace. Every verb rejects with RequestError: BUSY, MALFORMED (WRONGTYPE), INTERNAL. */
export interface EngineVerbs {
  get(key: Buffer): Promise<Found | null>;
  put(key: Buffer, ask: PutAsk): Promise<PutResult>;
  /** DONE, MISS or REFUSED */
  delete(key: Buffer, ifVersion?: number): Promise<Outcome>;
  /** ttlMs Infinity removes the expiry, 0 and less the entry. DONE, MISS or REFUSED */
  touch(key: Buffer, ttlMs: number, touchIf?: number): Promise<Outcome>;
  /** ttlMs is for an entry that is created. */
  add(key: Buffer, delta: bigint, ttlMs?: number): Promise<AddResult>;
  append(key: Buffer, more: Buffer, valueBytesMax: number): Promise<AppendResult>;
  getAndDelete(key: Buffer): Promise<Found | null>;
  /** The value with the expiry that it had. */
  getAndTouch(key: Buffer, ttlMs: number): Promise<Found | null>;
  scan(prefix: Buffer, cursor: bigint, count: number): Promise<ScanResult>;
  clear(prefix: Buffer): EngineClearing;
}

/** A clear, a step at a time. */
export interface EngineClearing {
  readonly removed: number;
  /** Goes on; true when it is done. */
  step(): Promise<boolean>;
}

export const DEFAULTS = {
  ttlMs: Infinity,
  type: NO_TYPE,
  condition: Condition.NONE,
  ifVersion: ANY_VERSION,
  touchIf: TouchIf.ALWAYS,
};
