/**
 * What one worker's operations on one shard mean to those who watch: the shard's Observer. Everything here runs under the shard's
 * lock: find out who wants to hear, write it into the journal, ring their bells.
 */
import type { HashedKey } from "../store/hash";
import type { LeaseAsk, LeaseOutcome, Observer } from "../store/observer";
import { type Bells, LEASES_USED } from "./bells";
import type { Interest } from "./interest";
import { Change, JournalWriter, Kind } from "./journal";
import { Leases } from "./leases";
import { bitOf, type StreamPlan, WORKER_BITS } from "./memory";
import type { Prefixes } from "./prefixes";

const EMPTY = Buffer.alloc(0);
const EVERYBODY = -1;

/** What all shards of a worker share. */
export interface ChangesContext {
  readonly worker: number;
  readonly bells: Bells;
  readonly prefixes: Prefixes;
  readonly interest: Interest;
  /** Number of the connection whose requests are being executed, 0 for none that could be told apart. */
  connection: number;
}

export class Changes implements Observer {
  /** Of the last `watch`: the word of the key, and how the watch began. */
  watchedSlot = 0;
  readonly watchStart = { stamp: 0, isFresh: false };
  private readonly journal: JournalWriter;
  readonly leases: Leases;
  readonly listening: Int32Array;
  /** Its prefixWatchers are 0 between two calls. */
  private readonly change = new Change();
  private readonly bit: number;
  /** No other worker has the same. */
  private readonly hasOwnBit: boolean;

  constructor(
    private readonly context: ChangesContext,
    plan: StreamPlan,
    private readonly shard: number,
  ) {
    this.journal = new JournalWriter(plan, shard);
    this.leases = new Leases(plan, shard, context.bells, (hash, waiters) => this.tellWaiters(hash, waiters));
    this.listening = context.bells.listening;
    this.bit = bitOf(context.worker);
    this.hasOwnBit = plan.memory.sizes.workers <= WORKER_BITS;
  }

  stored(key: HashedKey, version: number): void {
    this.changed(Kind.CHANGED, key, version);
    this.endLease(key);
  }

  touched(key: HashedKey, stamp: number): void {
    this.changed(Kind.TOUCHED, key, stamp);
  }

  deleted(key: HashedKey, stamp: number, existed: boolean): void {
    if (existed) this.changed(Kind.CHANGED, key, stamp);
    this.endLease(key);
  }

  removed(key: HashedKey, stamp: number): void {
    const watchers = this.context.interest.take(this.slotOf(key));
    if (watchers !== 0) this.tellOfKey(Kind.CHANGED, key, stamp, watchers);
  }

  cleared(prefix: Buffer, stamp: number): void {
    const isAll = prefix.length === 0;
    if (isAll) this.context.interest.takeAll(this.shard);
    this.change.keyWatchers = isAll ? this.context.bells.listeners() : 0;
    this.change.prefixWatchers = this.context.prefixes.watchersAround(prefix);
    this.tellOf(Kind.CLEARED, stamp, prefix);
  }

  voidLeases(prefix: Buffer): void {
    if (this.leases.count > 0) this.leases.endAll(prefix);
  }

  lost(stamp: number): void {
    this.leases.endAll(EMPTY);
    this.context.interest.takeAll(this.shard);
    this.change.keyWatchers = EVERYBODY;
    this.change.prefixWatchers = EVERYBODY;
    this.tellOf(Kind.LOST, stamp, EMPTY);
  }

  watch(key: HashedKey, stamp: number): void {
    const { interest } = this.context;
    const slot = this.slotOf(key);
    this.watchedSlot = slot;
    this.watchStart.stamp = stamp;
    this.watchStart.isFresh = !this.hasOwnBit || !interest.has(slot, this.bit);
    interest.add(slot, this.bit);
  }

  lease(key: HashedKey, ask: LeaseAsk, token: number, now: number): LeaseOutcome {
    return this.leases.ask(key, ask, token, now);
  }

  isLeased(key: HashedKey, token: number, now: number): boolean {
    return this.leases.isHeld(key, token, now);
  }

  release(key: HashedKey, token: number, now: number): boolean {
    if (!this.leases.isHeld(key, token, now)) return false;
    this.leases.end(key);
    return true;
  }

  /** Where nobody has ever asked for a lease, the table is not even looked at. */
  private endLease(key: HashedKey): void {
    if ((this.listening[0]! & LEASES_USED) !== 0 && this.leases.count > 0) this.leases.end(key);
  }

  private changed(kind: Kind, key: HashedKey, stamp: number): void {
    const { interest, prefixes } = this.context;
    const watchers = interest.take(this.slotOf(key));
    const prefixWatchers = prefixes.watchersOf(key);
    if ((watchers | prefixWatchers) === 0) return;
    this.change.prefixWatchers = prefixWatchers;
    this.tellOfKey(kind, key, stamp, watchers);
    this.change.prefixWatchers = 0;
  }

  private tellOfKey(kind: Kind, key: HashedKey, stamp: number, watchers: number): void {
    const { change } = this;
    change.keyWatchers = watchers;
    change.slot = this.slotOf(key);
    change.bytes = key.bytes;
    change.view = key.view;
    change.start = key.start;
    change.end = key.end;
    this.tell(kind, stamp);
    change.forgetKey();
  }

  private slotOf({ hash }: HashedKey): number {
    return this.context.interest.slotOf(this.shard, hash);
  }

  private tellOf(kind: Kind, stamp: number, prefix: Buffer): void {
    const { change } = this;
    change.slot = 0;
    change.bytes = prefix;
    change.view = new DataView(prefix.buffer, prefix.byteOffset, prefix.length);
    change.start = 0;
    change.end = prefix.length;
    this.tell(kind, stamp);
    change.prefixWatchers = 0;
    change.forgetKey();
  }

  private tellWaiters(hash: number, waiters: number): void {
    const { change } = this;
    change.keyWatchers = waiters;
    change.slot = hash;
    change.start = 0;
    change.end = 0;
    this.tell(Kind.LEASE_ENDED, 0);
  }

  /** Into the journal first, then the bells: who hears one finds the entry. */
  private tell(kind: Kind, stamp: number): void {
    const { change, context } = this;
    change.kind = kind;
    change.stamp = stamp;
    change.worker = context.worker;
    change.connection = context.connection;
    this.journal.append(change);
    context.bells.ring(change.keyWatchers | change.prefixWatchers);
  }
}
