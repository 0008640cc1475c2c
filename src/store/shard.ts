/**
 * One shard: everything that can be done with the entries of one block, each operation whole under the block's lock.
 * What an operation reads it copies out before it releases the lock, so that no caller ever sees half a value.
 */
import { BUCKET_BYTES, C, HEADER_BYTES, PAGE_OVERHEAD_BYTES, type ShardLayout } from "./layout";
import type { ShardStats } from "./counters";
import { type Entries, stampWordOf } from "./entry";
import { Eviction } from "./eviction";
import { Format } from "./format";
import { type Freshness, NEVER_OLD } from "./freshness";
import type { Ghost } from "./ghost";
import { HashedKey, type HashSeed } from "./hash";
import { Change, type Intent } from "./intent";
import { type Lifecycle, Reason } from "./lifecycle";
import { forgetOwner, Lock, ownerOf } from "./lock";
import type { Block } from "./memory";
import { type LeaseAsk, LeaseOutcome, NO_WORKER, type Observer, SILENT } from "./observer";
import type { Pages } from "./pages";
import { partsOf } from "./parts";
import { Recovery, type Recovered } from "./recovery";
import type { Rings } from "./ring";
import { Sweep } from "./sweep";
import { countRead, NO_SLOT, type Table } from "./table";
import { NO_TYPE, type ValueType } from "./value-type";
import { Walk, WALK_START, type WalkPlace } from "./walk";
import { ANY_VERSION, Condition, NO_LEASE, TouchIf, type ValueSink, Write } from "./write";
import { Writer } from "./writer";

/** The result of an operation. */
export const Outcome = {
  DONE: 0,
  MISS: 1,
  REFUSED: 2,
  NOT_A_NUMBER: 3,
  /** The entry has the version that the reader holds. */
  CURRENT: 4,
  /** Of a lease: it is the caller's; somebody else's; the caller's, and there is a value. */
  LEASED: 5,
  PENDING: 6,
  HIT_LEASED: 7,
  /** The sum would be no i64. */
  OVERFLOW: 8,
} as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

/** How a value is read, beside its plain way. */
export interface ReadWish {
  /** A version that the reader has already, or 0. */
  held: number;
  /** The key is watched from this read on. */
  watches: boolean;
}

/** What one step of a walk over keys with a prefix looks for, and at how much of the store. */
export interface PrefixStep {
  readonly prefix: Buffer;
  readonly now: number;
  readonly pagesMax: number;
}

/** Facts about an entry, filled in by info. */
export interface EntryInfo {
  version: number;
  expiresAt: number;
  valueLength: number;
  type: ValueType;
}

const I64_MAX = 2n ** 63n - 1n;
const I64_MIN = -(2n ** 63n);
/** "-9223372036854775808": the longest text of an i64. */
const NUMBER_BYTES_MAX = 20;
/** The prefix that every key has. */
const EVERY_KEY = Buffer.alloc(0);
/** A value that is appended to gets room for a quarter more, at least for so much. So each byte is copied a few times, and not with every append. */
const ROOM_SHIFT = 2;
const ROOM_BYTES_MIN = 32;

export class Shard {
  /** Version the last successful write gave its entry. */
  lastVersion = 0;
  /** Result of the last successful add. */
  lastNumber = 0n;
  /** How long the value is that the last successful append made. */
  lastLength = 0;

  readonly layout: ShardLayout;
  private readonly lock: Lock;
  private readonly intent: Intent;
  private readonly pages: Pages;
  private readonly entries: Entries;
  private readonly rings: Rings;
  readonly table: Table;
  private readonly ghost: Ghost;
  private readonly lifecycle: Lifecycle;
  private readonly eviction: Eviction;
  private readonly writer: Writer;
  private readonly walk: Walk;
  private readonly sweep: Sweep;
  private readonly format: Format;
  private readonly recovery: Recovery;
  private readonly words: Int32Array;
  private readonly counters: Float64Array;
  /** Aimed at keys of stored entries; requests bring their own. */
  private readonly ownKey: HashedKey;
  /** For writes that the shard makes itself: sums, and values with what is appended. */
  private readonly own = new Write();
  private readonly numberText = Buffer.alloc(NUMBER_BYTES_MAX);

  private observer: Observer = SILENT;
  private listening = SILENT.listening;
  private freshness: Freshness = NEVER_OLD;

  /** @param owner this thread's number for the lock, 1 to OWNER_MAX, unique among live threads */
  constructor(
    readonly block: Block,
    seed: HashSeed,
    owner: number,
  ) {
    this.layout = block.layout;
    const parts = partsOf(block);
    this.words = block.words;
    this.counters = block.doubles;
    this.lock = new Lock(this.words, block.bell, owner);
    this.intent = parts.intent;
    this.pages = parts.pages;
    this.entries = parts.entries;
    this.rings = parts.rings;
    this.table = parts.table;
    this.ghost = parts.ghost;
    this.lifecycle = parts.lifecycle;
    this.ownKey = new HashedKey(seed);
    this.eviction = new Eviction(parts, this.ownKey);
    this.writer = new Writer(parts, this.eviction);
    this.walk = new Walk(this.pages, this.entries, this.rings);
    this.sweep = new Sweep(parts, this.walk, this.eviction, this.ownKey);
    this.eviction.sweepStep = (now) => this.sweep.step(now);
    this.format = new Format(parts, this.eviction);
    this.recovery = new Recovery(parts, this.format, this.eviction, this.ownKey);
  }

  /** Who is told of changes; see observer.ts. Once, before the shard is used. */
  observe(observer: Observer): void {
    this.observer = observer;
    this.listening = observer.listening;
  }

  /** Who says whether copies are still good. Once, before the shard is used. */
  trust(freshness: Freshness): void {
    this.freshness = freshness;
  }

  /** Makes memory of zeros an empty shard whose versions begin above `firstVersion`. Once, before anybody uses it. */
  begin(firstVersion: number): void {
    this.format.fresh(firstVersion);
  }

  /**
   * Takes over what an earlier process left in this memory; its threads are gone. Once, before anybody uses it.
   * @param versionFloor versions go on above this
   */
  attach(versionFloor: number): Recovered {
    forgetOwner(this.words);
    return this.recovery.attach(versionFloor);
  }

  /** Reads a value into `sink`; false on a miss. */
  get(key: HashedKey, sink: ValueSink, now: number): boolean {
    this.enter();
    try {
      return this.readAt(this.findFresh(key, now), sink);
    } finally {
      this.leave();
    }
  }

  /** Reads a copy whose stamp does not hold any more, where `mayServe` says of the stamp that it may be served all the same. */
  getStale(
    key: HashedKey,
    sink: ValueSink,
    mayServe: (group: number, epoch: number) => boolean,
    now: number,
  ): boolean {
    this.enter();
    try {
      const slot = this.findLive(key, now);
      if (slot === NO_SLOT || !this.entries.hasStamp(this.table.at(slot))) return false;
      const stamp = stampWordOf(this.words, this.table.at(slot) >> 2);
      if (!mayServe(this.words[stamp]!, this.words[stamp + 1]!)) return false;
      sink.markStale?.();
      return this.readAt(slot, sink);
    } finally {
      this.leave();
    }
  }

  /** Reads a value and removes its entry; false on a miss. */
  getAndDelete(key: HashedKey, sink: ValueSink, now: number): boolean {
    this.enter();
    try {
      const slot = this.findLive(key, now);
      if (!this.readAt(slot, sink)) {
        this.tellAbsent(key);
        return false;
      }
      this.remove(slot, key, now);
      return true;
    } finally {
      this.leave();
    }
  }

  /** Reads a value and gives its entry a new expiry, as touch does; false on a miss. */
  getAndTouch(key: HashedKey, sink: ValueSink, expiresAt: number, now: number): boolean {
    this.enter();
    try {
      const slot = this.findLive(key, now);
      if (!this.readAt(slot, sink)) return false;
      this.setExpiry(slot, key, expiresAt, now);
      return true;
    } finally {
      this.leave();
    }
  }

  /**
   * The same for a reader that holds a version already, or watches the key.
   * @returns DONE, CURRENT (the value stays here; `info` has its expiry) or MISS
   */
  read(key: HashedKey, wish: ReadWish, sink: ValueSink, info: EntryInfo, now: number): Outcome {
    this.enter();
    try {
      if (wish.watches) this.observer.watch(key, this.counters[C.VERSION]!);
      const slot = this.findFresh(key, now);
      if (slot !== NO_SLOT && wish.held === this.entries.version(this.table.at(slot))) {
        this.countHit(slot);
        this.fillInfo(this.table.at(slot), info);
        return Outcome.CURRENT;
      }
      return this.readAt(slot, sink) ? Outcome.DONE : Outcome.MISS;
    } finally {
      this.leave();
    }
  }

  /**
   * Reads a value, or gives the lease on computing it (`ask` has its token).
   * @returns DONE; HIT_LEASED for a value that will soon expire; LEASED or PENDING where there is none, and MISS
   * where there are too many leases
   */
  lease(key: HashedKey, ask: LeaseAsk, sink: ValueSink, now: number): Outcome {
    this.enter();
    try {
      const { observer } = this;
      ask.token = 0;
      const slot = this.findFresh(key, now);
      const isEarly = slot !== NO_SLOT && this.entries.expiresAt(this.table.at(slot)) - now < ask.earlyMs;
      let outcome: LeaseOutcome = LeaseOutcome.FULL;
      if (slot === NO_SLOT || isEarly) {
        const { waiter } = ask;
        // Who has a value does not wait for the next.
        if (slot !== NO_SLOT) ask.waiter = NO_WORKER;
        outcome = observer.lease(key, ask, this.lifecycle.nextVersion(), now);
        ask.waiter = waiter;
      }
      // Who waits watches from the read that ends the waiting.
      if (ask.watches && (slot !== NO_SLOT || outcome !== LeaseOutcome.PENDING))
        observer.watch(key, this.counters[C.VERSION]!);
      if (this.readAt(slot, sink)) return outcome === LeaseOutcome.LEASED ? Outcome.HIT_LEASED : Outcome.DONE;
      if (outcome === LeaseOutcome.LEASED) return Outcome.LEASED;
      return outcome === LeaseOutcome.PENDING ? Outcome.PENDING : Outcome.MISS;
    } finally {
      this.leave();
    }
  }

  /** Ends the lease with this token. @returns DONE or MISS */
  release(key: HashedKey, token: number, now: number): Outcome {
    this.enter();
    try {
      return this.observer.release(key, token, now) ? Outcome.DONE : Outcome.MISS;
    } finally {
      this.leave();
    }
  }

  /** Does something that must not happen beside an operation of this shard, by any thread. */
  exclusively<Result>(work: () => Result): Result {
    this.enter();
    try {
      return work();
    } finally {
      this.leave();
    }
  }

  /** Facts about an entry, without counting as a read; false on a miss. */
  info(key: HashedKey, into: EntryInfo, now: number): boolean {
    this.enter();
    try {
      const slot = this.findFresh(key, now);
      if (slot === NO_SLOT) return false;
      this.fillInfo(this.table.at(slot), into);
      return true;
    } finally {
      this.leave();
    }
  }

  /**
   * Stores a value under the key, which must be within valueBytesMaxFor(shardBytes).
   * @returns DONE (then lastVersion is set) or REFUSED: a condition does not hold, or the lease is void
   */
  put(key: HashedKey, write: Write, now: number): Outcome {
    this.enter();
    try {
      const slot = this.findLive(key, now);
      if (write.previous !== null) this.readAt(slot, write.previous);
      if (!this.mayStore(slot, write)) return Outcome.REFUSED;
      if (write.lease !== NO_LEASE && !this.observer.isLeased(key, write.lease, now)) return Outcome.REFUSED;
      if (write.keepsExpiry && slot !== NO_SLOT)
        write.expiresAt = this.entries.expiresAt(this.table.at(slot));
      this.count(write);
      this.writer.write(slot, key, write, now);
      this.tellStored(key);
      if (write.watches) this.observer.watch(key, this.lastVersion);
      return Outcome.DONE;
    } finally {
      this.leave();
    }
  }

  /**
   * Stores a copy of what another store has, with the version that it has there, unless it is old already. Nobody is told:
   * nothing has changed.
   * @param isCurrent asked under the lock, so that a change is either seen by it or drops the copy afterwards
   * @returns DONE or REFUSED
   */
  fill(key: HashedKey, write: Write, isCurrent: () => boolean, now: number): Outcome {
    this.enter();
    try {
      const slot = this.findLive(key, now);
      if (!isCurrent() || this.isLaterCopy(slot, write)) return Outcome.REFUSED;
      this.writer.write(slot, key, write, now);
      return Outcome.DONE;
    } finally {
      this.leave();
    }
  }

  /** Ends a copy, if there is one. Nobody is told. */
  discard(key: HashedKey, now: number): void {
    this.enter();
    try {
      this.discardAt(this.findLive(key, now), now);
    } finally {
      this.leave();
    }
  }

  /** The key was written in the other store by a request of this one: ends the copy and the key's lease. Who watches hears of it from there. */
  written(key: HashedKey, now: number): void {
    this.enter();
    try {
      this.discardAt(this.findLive(key, now), now);
      this.tellAbsent(key);
    } finally {
      this.leave();
    }
  }

  /** The key is watched from now on; for a reader that got its value elsewhere. */
  watch(key: HashedKey): void {
    this.enter();
    try {
      this.observer.watch(key, this.counters[C.VERSION]!);
    } finally {
      this.leave();
    }
  }

  /** What is kept of the key elsewhere has changed: ends the copy and the key's lease, and tells, without a version, who watches. */
  invalidate(key: HashedKey, now: number): void {
    this.enter();
    try {
      this.discardAt(this.findLive(key, now), now);
      if (!this.isHeard) return;
      const stamp = this.lifecycle.nextVersion();
      this.observer.touched(key, stamp);
      this.observer.deleted(key, stamp, false);
    } finally {
      this.leave();
    }
  }

  /** Everything may have changed elsewhere, or nothing is known of that: tells all who watch. Copies stay for the stamps to judge. */
  lose(): void {
    this.enter();
    try {
      this.observer.lost(this.lifecycle.nextVersion());
    } finally {
      this.leave();
    }
  }

  /** The deletion has a version of its own. @returns DONE, MISS, or REFUSED when the entry has another version */
  delete(key: HashedKey, ifVersion: number, now: number): Outcome {
    this.enter();
    try {
      const slot = this.findLive(key, now);
      if (slot === NO_SLOT) {
        this.tellAbsent(key);
        return Outcome.MISS;
      }
      const at = this.table.at(slot);
      if (ifVersion !== ANY_VERSION && this.entries.version(at) !== ifVersion) return Outcome.REFUSED;
      this.remove(slot, key, now);
      return Outcome.DONE;
    } finally {
      this.leave();
    }
  }

  /**
   * Gives the entry a new expiry (Infinity: none; in the past: it is gone); value and version stay.
   * @param touchIf bits of TouchIf
   * @returns DONE, MISS, or REFUSED when the condition does not hold
   */
  touch(key: HashedKey, expiresAt: number, now: number, touchIf: number = TouchIf.ALWAYS): Outcome {
    this.enter();
    try {
      const slot = this.findLive(key, now);
      if (slot === NO_SLOT) return Outcome.MISS;
      if (!mayTouch(this.entries.expiresAt(this.table.at(slot)), expiresAt, touchIf)) return Outcome.REFUSED;
      this.setExpiry(slot, key, expiresAt, now);
      return Outcome.DONE;
    } finally {
      this.leave();
    }
  }

  /**
   * Adds to the decimal number that the entry holds as text; an absent one counts as 0 and is created.
   * @param expiresAt only for an entry that is created
   * @returns DONE (then lastNumber and lastVersion are set), NOT_A_NUMBER, or OVERFLOW when the sum leaves i64
   */
  add(key: HashedKey, delta: bigint, expiresAt: number, now: number): Outcome {
    this.enter();
    try {
      const slot = this.findLive(key, now);
      let sum = delta;
      let keptExpiry = expiresAt;
      let type = NO_TYPE;
      if (slot !== NO_SLOT) {
        const at = this.table.at(slot);
        const number = this.numberAt(at);
        if (number === null) return Outcome.NOT_A_NUMBER;
        sum += number;
        keptExpiry = this.entries.expiresAt(at);
        type = this.entries.type(at);
      }
      if (sum > I64_MAX || sum < I64_MIN) return Outcome.OVERFLOW;
      const { numberText } = this;
      const write = this.own.set(numberText, 0, numberText.write(sum.toString(), "latin1"));
      write.expiresAt = keptExpiry;
      write.type = type;
      this.lastNumber = sum;
      this.count(write);
      this.writer.write(slot, key, write, now);
      this.tellStored(key);
      return Outcome.DONE;
    } finally {
      this.leave();
    }
  }

  /**
   * Appends to the entry's value; the write's condition and expiry mean nothing here.
   * @returns DONE (then lastVersion and lastLength are set), MISS, or REFUSED when the whole would be longer than `valueBytesMax`
   */
  append(key: HashedKey, more: Write, valueBytesMax: number, now: number): Outcome {
    this.enter();
    try {
      const slot = this.findLive(key, now);
      if (slot === NO_SLOT) return Outcome.MISS;
      const at = this.table.at(slot);
      const length = this.entries.valueLength(at) + more.length;
      if (length > valueBytesMax) return Outcome.REFUSED;
      this.count(more);
      this.lastLength = length;
      if (length <= this.entries.capacity(at)) this.writer.append(at, more);
      else {
        more.capacity = Math.min(length + Math.max(length >> ROOM_SHIFT, ROOM_BYTES_MIN), valueBytesMax);
        this.appendAnew(slot, key, more, now);
      }
      this.tellStored(key);
      return Outcome.DONE;
    } finally {
      this.leave();
    }
  }

  /**
   * Reads keys that start with a prefix, from `place` on.
   * @param onKey called with each key's bytes; false stops after it
   * @returns where to go on, or null when this shard is done. May stop early, with few keys or none.
   */
  scan(
    place: Readonly<WalkPlace>,
    { prefix, now, pagesMax }: PrefixStep,
    onKey: (key: Buffer) => boolean,
  ): WalkPlace | null {
    this.enter();
    try {
      return this.walk.from(place, pagesMax, (at) => {
        if (!this.entries.keyStartsWith(at, prefix)) return true;
        if (this.entries.expiresAt(at) <= now) return true;
        const key = Buffer.allocUnsafe(this.entries.keyLength(at));
        this.entries.readKey(at, key, 0);
        return onKey(key);
      });
    } finally {
      this.leave();
    }
  }

  /** Removes every entry at once; returns how many were there, expired ones not counted. */
  clear(now: number): number {
    this.enter();
    try {
      const removed = this.countLive(now);
      this.intent.begin();
      this.format.empty();
      this.counters[C.DELETES]! += removed;
      const stamp = this.lifecycle.nextVersion();
      this.intent.end();
      this.tellCleared(EVERY_KEY, stamp, removed);
      return removed;
    } finally {
      this.leave();
    }
  }

  /**
   * Removes entries whose keys start with a prefix, from `place` on.
   * @param onRemoved told how many were removed
   * @returns where to go on, or null when this shard is done
   */
  clearPrefix(
    place: Readonly<WalkPlace>,
    { prefix, now, pagesMax }: PrefixStep,
    onRemoved: (count: number) => void,
  ): WalkPlace | null {
    this.enter();
    try {
      let removed = 0;
      let bytes = 0;
      const { isHeard } = this;
      const stamp = this.lifecycle.nextVersion();
      const next = this.walk.from(place, pagesMax, (at) => {
        if (!this.entries.keyStartsWith(at, prefix)) return true;
        const expired = this.entries.expiresAt(at) <= now;
        this.intent.begin();
        this.entries.aimAtKey(at, this.ownKey);
        bytes += this.entries.bytesOf(at);
        this.lifecycle.end(
          this.table.slotOf(this.ownKey.hash, at),
          at,
          expired ? Reason.EXPIRED : Reason.CLEARED,
        );
        if (!expired) removed++;
        if (!expired && isHeard) this.observer.removed(this.ownKey, stamp);
        return true;
      });
      if (bytes > 0) this.eviction.killed(bytes, now);
      this.intent.end();
      this.tellCleared(prefix, stamp, removed);
      onRemoved(removed);
      return next;
    } finally {
      this.leave();
    }
  }

  /** One step of the background sweep; false when nothing is due. */
  sweepStep(now: number): boolean {
    this.enter();
    try {
      if (!this.sweep.isDue(now)) return false;
      this.intent.begin();
      const swept = this.sweep.step(now);
      this.intent.end();
      return swept;
    } finally {
      this.leave();
    }
  }

  /**
   * Frees the lock if `deadOwner` holds it. For the supervisor, after that thread has ended. A shard whose owner died
   * while it changed something is mended.
   * @returns what became of the shard, or null when the lock was not held by it
   */
  recover(deadOwner: number): Recovered | null {
    if (ownerOf(this.words) !== deadOwner) return null;
    this.counters[C.RECOVERIES]! += 1;
    // Without a change that broke off there is nothing to check: the owner was reading.
    const isWhole = this.intent.change === Change.NONE;
    const recovered = isWhole
      ? { entries: this.table.entryCount, repaired: false, lost: 0, problem: null }
      : this.recovery.mend();
    this.observer.lost(this.lifecycle.nextVersion());
    this.lock.release();
    return recovered;
  }

  /** No version that the shard has given out is above it. */
  get highestVersion(): number {
    return this.counters[C.VERSION]!;
  }

  stats(): ShardStats {
    const c = this.counters;
    const rings = this.rings.reduce((sum, ring) => sum + ring.bytes, 0);
    const table = this.table.bucketCount * BUCKET_BYTES;
    const notes = HEADER_BYTES + this.layout.pageCount * PAGE_OVERHEAD_BYTES;
    return {
      entries: this.table.entryCount,
      bytesPayload: c[C.PAYLOAD]!,
      bytesUsed: rings + table + notes + this.ghost.pageCount * this.layout.pageBytes,
      bytesLive: this.eviction.liveBytes(),
      bytesMax: this.layout.shardBytes,
      hits: c[C.HITS]!,
      misses: c[C.MISSES]!,
      puts: c[C.PUTS]!,
      deletes: c[C.DELETES]!,
      evictions: c[C.EVICTIONS]!,
      expirations: c[C.EXPIRATIONS]!,
      bytesAdmitted: c[C.BYTES_ADMITTED]!,
      bytesCopied: c[C.BYTES_COPIED]!,
      stalls: c[C.STALLS]!,
      promiseBreaks: c[C.PROMISE_BREAKS]!,
      recoveries: c[C.RECOVERIES]!,
      entriesLost: c[C.ENTRIES_LOST]!,
      lockWaits: c[C.LOCK_WAITS]!,
      entriesKept: c[C.ENTRIES_KEPT]!,
      shardsLost: c[C.SHARDS_LOST]!,
    };
  }

  /** Bytes of entries that the last operation copied, without the bytes of its request: values that moved in order to grow, entries moved at the tails. */
  get copiedBytes(): number {
    return this.lifecycle.copiedBytes;
  }

  private enter(): void {
    if (this.lock.acquire()) this.counters[C.LOCK_WAITS]! += 1;
    this.lifecycle.copiedBytes = 0;
  }

  /**
   * Releases the lock. If a write was not completed, it threw an error, which is a fault of the server and goes to its log. Then nothing in
   * the shard can be trusted, its records neither, so it is emptied.
   */
  private leave(): void {
    if (this.intent.change !== Change.NONE) {
      this.recovery.abandon();
      this.observer.lost(this.lifecycle.nextVersion());
    }
    this.lock.release();
  }

  private fillInfo(at: number, into: EntryInfo): void {
    into.version = this.entries.version(at);
    into.expiresAt = this.entries.expiresAt(at);
    into.valueLength = this.entries.valueLength(at);
    into.type = this.entries.type(at);
  }

  /** Whether changes have to be told. */
  private get isHeard(): boolean {
    return this.listening[0] !== 0;
  }

  /** The key has a new value: whoever wants to hear of it is told. */
  private tellStored(key: HashedKey): void {
    if (this.isHeard) this.observer.stored(key, this.lastVersion);
  }

  /** A key was to be deleted that is not there: what somebody computes for it now is old. */
  private tellAbsent(key: HashedKey): void {
    if (this.isHeard) this.observer.deleted(key, this.counters[C.VERSION]!, false);
  }

  private tellCleared(prefix: Buffer, stamp: number, removed: number): void {
    if (!this.isHeard) return;
    if (removed > 0) this.observer.cleared(prefix, stamp);
    this.observer.voidLeases(prefix);
  }

  private countLive(now: number): number {
    if (!this.sweep.isDue(now)) return this.table.entryCount;
    let live = 0;
    this.walk.from(WALK_START, Infinity, (at) => {
      if (this.entries.expiresAt(at) > now) live++;
      return true;
    });
    return live;
  }

  /** Slot of the key's unexpired entry; an expired one is ended on the way. */
  private findLive(key: HashedKey, now: number): number {
    const slot = this.table.find(key);
    if (slot === NO_SLOT) return slot;
    const at = this.table.at(slot);
    if (this.entries.expiresAt(at) > now) return slot;
    this.intent.begin();
    this.lifecycle.end(slot, at, Reason.EXPIRED);
    this.intent.end();
    return NO_SLOT;
  }

  /** The same of an entry that may be served. A copy that is old waits for its next fill, or for its eviction. */
  private findFresh(key: HashedKey, now: number): number {
    const slot = this.findLive(key, now);
    return slot === NO_SLOT || this.isFresh(this.table.at(slot), now) ? slot : NO_SLOT;
  }

  private isFresh(at: number, now: number): boolean {
    if (!this.entries.hasStamp(at)) return true;
    const stamp = stampWordOf(this.words, at >> 2);
    return this.freshness.holds(this.words[stamp]!, this.words[stamp + 1]!, now);
  }

  /**
   * Whether the copy there is of a later read than the one that is to be stored, or as late: answers may overtake each other. Versions are compared
   * within an epoch. A copy whose epoch is ~e is never served; it says which version was read in the epoch e.
   */
  private isLaterCopy(slot: number, { epoch, version }: Write): boolean {
    if (slot === NO_SLOT) return false;
    const at = this.table.at(slot);
    if (!this.entries.hasStamp(at)) return false;
    const there = this.words[stampWordOf(this.words, at >> 2) + 1]!;
    const before = this.entries.version(at);
    const isSameEpoch = there === epoch || there === ~epoch;
    return isSameEpoch && (before > version || (before === version && epoch < 0));
  }

  private discardAt(slot: number, now: number): void {
    if (slot === NO_SLOT) return;
    const at = this.table.at(slot);
    const bytes = this.entries.bytesOf(at);
    this.intent.begin();
    this.lifecycle.end(slot, at, Reason.DELETED);
    this.eviction.killed(bytes, now);
    this.intent.end();
  }

  /** Copies the value at a slot to the sink, and counts that; false, and a miss, for NO_SLOT. */
  private readAt(slot: number, sink: ValueSink): boolean {
    if (slot === NO_SLOT) {
      this.counters[C.MISSES]! += 1;
      return false;
    }
    this.countHit(slot);
    const at = this.table.at(slot);
    const entries = this.entries;
    const to = sink.begin(entries.valueLength(at), entries.version(at), entries.expiresAt(at));
    entries.readValue(at, sink.bytes, to);
    sink.takeType?.(entries.type(at));
    return true;
  }

  private countHit(slot: number): void {
    this.counters[C.HITS]! += 1;
    countRead(this.words, slot);
  }

  /** Ends an entry that somebody wants gone. That has a version, and is told. */
  private remove(slot: number, key: HashedKey, now: number): void {
    const at = this.table.at(slot);
    const bytes = this.entries.bytesOf(at);
    this.intent.begin();
    this.lifecycle.end(slot, at, Reason.DELETED);
    this.eviction.killed(bytes, now);
    this.lastVersion = this.lifecycle.nextVersion();
    this.intent.end();
    if (this.isHeard) this.observer.deleted(key, this.lastVersion, true);
  }

  /** Gives an entry another expiry, and tells that. One in the past is a deletion; an entry without the field is written again to get one. */
  private setExpiry(slot: number, key: HashedKey, expiresAt: number, now: number): void {
    if (expiresAt <= now) return this.remove(slot, key, now);
    const at = this.table.at(slot);
    if (this.entries.hasExpiryField(at)) {
      this.intent.begin();
      this.entries.setExpiresAt(at, expiresAt);
      this.lifecycle.noteExpiry(at);
      this.intent.end();
    } else if (expiresAt !== Infinity) {
      const write = this.readWhole(at, 0);
      write.expiresAt = expiresAt;
      write.version = this.entries.version(at);
      this.writer.write(slot, key, write, now);
      write.clear();
    }
    if (this.isHeard) this.observer.touched(key, this.lifecycle.nextVersion());
  }

  /** The write gets the next version, and is a put among the counters. */
  private count(write: Write): void {
    this.lastVersion = this.lifecycle.nextVersion();
    write.version = this.lastVersion;
    this.counters[C.PUTS]! += 1;
  }

  /** Whether the write's condition holds for what is there. */
  private mayStore(slot: number, { condition, ifVersion }: Write): boolean {
    if (slot === NO_SLOT) return condition !== Condition.IF_PRESENT && ifVersion === ANY_VERSION;
    if (condition === Condition.IF_ABSENT) return false;
    return ifVersion === ANY_VERSION || this.entries.version(this.table.at(slot)) === ifVersion;
  }

  /** Writes the entry again with what is appended, and with the capacity that `more` asks for. */
  private appendAnew(slot: number, key: HashedKey, more: Write, now: number): void {
    const at = this.table.at(slot);
    const write = this.readWhole(at, more.length);
    more.value.copy(write.value, write.end - more.length, more.start, more.end);
    write.version = more.version;
    write.expiresAt = this.entries.expiresAt(at);
    write.capacity = more.capacity;
    this.writer.write(slot, key, write, now);
    write.clear();
  }

  /** The entry's value as a write of the same type, in a buffer of its own, with `extra` bytes behind it. */
  private readWhole(at: number, extra: number): Write {
    const length = this.entries.valueLength(at);
    const value = Buffer.allocUnsafe(length + extra);
    this.entries.readValue(at, value, 0);
    this.lifecycle.copiedBytes += length;
    const write = this.own.set(value, 0, length + extra);
    write.type = this.entries.type(at);
    return write;
  }

  /** The i64 that the entry's value spells in decimal, or null. */
  private numberAt(at: number): bigint | null {
    const length = this.entries.valueLength(at);
    if (length === 0 || length > NUMBER_BYTES_MAX) return null;
    this.entries.readValue(at, this.numberText, 0);
    const text = this.numberText.toString("latin1", 0, length);
    if (!/^(0|-?[1-9][0-9]*)$/.test(text)) return null;
    const number = BigInt(text);
    return number > I64_MAX || number < I64_MIN ? null : number;
  }
}

/** Whether an entry that expires at `before` may be given another expiry. */
function mayTouch(before: number, after: number, touchIf: number): boolean {
  if (touchIf & TouchIf.NO_EXPIRY && before !== Infinity) return false;
  if (touchIf & TouchIf.EXPIRES && before === Infinity) return false;
  if (touchIf & TouchIf.LATER && after <= before) return false;
  return !(touchIf & TouchIf.EARLIER) || after < before;
}
