/**
 * The verbs, each once, for every protocol: the limits are checked here, the counting is done here, and nowhere else
 * do protocols and store meet. A refused request has changed nothing.
 *
 * Nothing here reaches the store without an Access: every verb takes one first, and asks it for the verb and the key.
 *
 * A request's key is one object, from `keyAt`, `keyAhead` or `keyOf`, and what it writes is another, from `writeOf`; both are handed
 * down as they are.
 */
import { keyError, keyIsFine, type Limits, valueError } from "../protocol/limits";
import { type ErrorKind, RequestError } from "../protocol/errors";
import type { ReplyWriter } from "../protocol/reply";
import { Op } from "../protocol/wire";
import { NOT_READ } from "../store/ahead";
import type { HashedKey } from "../store/hash";
import { ShardBusyError } from "../store/lock";
import { LeaseAsk, NO_WORKER } from "../store/observer";
import { type EntryInfo, Outcome, type ReadWish, type Shard } from "../store/shard";
import type { ScanPlace, Store } from "../store/store";
import { isTypeText, NO_TYPE, TYPE_TEXT_BYTES_MAX, typeNumbered, type ValueType } from "../store/value-type";
import { ANY_VERSION, Condition, NO_LEASE, TouchIf, type ValueSink, Write } from "../store/write";
import type { Feed, Ticket } from "../streaming/feed";
import { CONNECTION_PREFIXES_MAX, type Streams } from "../streaming/streams";
import { PREFIXES_MAX } from "../streaming/memory";
import { Calls, SUSPENDED } from "./calls";
import { type Access, checkKey, forbidden, mayDo, scanPrefix } from "./access";
import { type Clearing, StoreClearing } from "./clearing";
import { placeOfCursor, cursorOfPlace } from "./cursor";
import { type ServerFacts, type StatsReport, reportStats } from "./report";
import type { Tally } from "./tally";
import { Window } from "./window";

export { Calls, SUSPENDED };
export { ANY_VERSION, Condition, NO_LEASE, Outcome, ShardBusyError, TouchIf };
export { isTypeText, NO_TYPE, TYPE_TEXT_BYTES_MAX, typeNumbered };
export type { Clearing, EntryInfo, HashedKey, LeaseAsk, ReadWish, ValueSink, ValueType, Write };

/** One page of a scan ends after this many keys, or bytes of keys, or pages of the store looked through. */
const SCAN_KEYS_MAX = 1000;
const SCAN_KEY_BYTES_MAX = 64 * 1024;
const SCAN_PAGES_MAX = 32;
/** Longer values take the long way, where the reply's buffer grows to their size. */
const SHORT_VALUE_MAX = 4096;

/** How long a lease may last. */
const LEASE_MS_DEFAULT = 10_000;
const LEASE_MS_MAX = 60_000;
/** After so long a ticket looks again at a shard that is locked by a dead thread. */
const BUSY_SHARD_MS = 1000;
/** A ticket of nobody who waits. */
const NO_TICKET = 0;

/** How a lease is asked for, beside what the shard is told. */
export interface LeaseWish {
  readonly access: Access;
  /** Who does not get the lease gets a ticket. */
  readonly waits: boolean;
  /** The answer to a ticket has the entry's version and expiry. */
  readonly withMeta: boolean;
}

export interface ScanPage {
  /** 0 when the scan is done. */
  cursor: bigint;
  keys: Buffer[];
}

export interface CommandsParts {
  readonly store: Store;
  readonly streams: Streams;
  readonly limits: Limits;
  readonly tally: Tally;
  /** The store's clock. */
  readonly clock: () => number;
  readonly facts: ServerFacts;
}

export class Commands {
  /** The store's time in ms, as of the last `refreshClock`. */
  now = 0;
  /** What the last successful put, add or append made. */
  lastVersion = 0;
  lastNumber = 0n;
  lastLength = 0;
  /** Bytes of entries that commands copied within the store, without the bytes of their requests. The caller that counts work sets it to 0. */
  copiedBytes = 0;
  readonly entryInfo: EntryInfo = { version: 0, expiresAt: 0, valueLength: 0, type: NO_TYPE };
  /** What the requests that are executed now ask of a store of record; null where there is none. */
  calls: Calls | null = null;
  /** For BinaryCommands alone. */
  readonly window: Window;
  /** Used again and again: a request makes neither. */
  private readonly key: HashedKey;
  private readonly write = new Write();
  private readonly ask = new LeaseAsk();
  private readonly wish: ReadWish = { held: ANY_VERSION, watches: false };
  /** Number of the ticket that the last lease left its caller with, or 0. */
  lastTicket = NO_TICKET;
  protected readonly store: Store;
  protected readonly streams: Streams;
  readonly limits: Limits;
  protected readonly tally: Tally;
  protected readonly clock: () => number;

  constructor(private readonly parts: CommandsParts) {
    this.store = parts.store;
    this.streams = parts.streams;
    this.limits = parts.limits;
    this.tally = parts.tally;
    this.clock = parts.clock;
    this.key = this.store.newKey();
    this.window = new Window(this.store);
    this.refreshClock();
  }

  /** For whatever has its requests answered in order: what it sets `calls` to before it executes them. See Calls for `keepsReads`. */
  newCalls(_keepsReads?: boolean): Calls | null {
    return null;
  }

  /** Many keys are going to be read one by one: what has to be asked elsewhere is asked for all of them at once. */
  expect(_access: Access, _keys: readonly HashedKey[]): void {}

  /** Once for each message or request: all of it happens at one moment. */
  refreshClock(): void {
    this.now = this.clock();
  }

  /** The key bytes[start, end) of somebody's buffer; good until the next one is asked for. */
  keyAt(bytes: Buffer, view: DataView, start: number, end: number): HashedKey {
    this.key.aim(bytes, view, start, end);
    return this.key;
  }

  /** The same for the key in a row of the open window. */
  keyAhead(row: number): HashedKey {
    this.window.aim(this.key, row);
    return this.key;
  }

  /** A key that came as text, in an object of its own: it stays good while its caller waits for something. */
  keyOf(text: string): HashedKey {
    return this.keyOfBytes(Buffer.from(text, "utf8"));
  }

  /** The same for a key whose bytes stay as they are. */
  keyOfBytes(bytes: Buffer): HashedKey {
    const key = this.store.newKey();
    key.aim(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
    return key;
  }

  /** A write of value[start, end), on no condition unless the caller says so; good until the next one is asked for. */
  writeOf(value: Buffer, start = 0, end = value.length): Write {
    return this.write.set(value, start, end);
  }

  /**
   * Throws FORBIDDEN for what the token does not allow, BAD_KEY for what can be no key. Every verb checks this itself, before
   * anything else; a handler calls it to refuse a request before its body has come in.
   */
  check(access: Access, op: Op, key: HashedKey): void {
    if (!mayDo(access, op)) throw forbidden(access);
    if (access.prefix !== null) checkKey(access, key.bytes, key.start, key.end);
    if (!keyIsFine(key.length, this.limits)) throw keyError(key.length, this.limits);
  }

  /** False on a miss. */
  get(access: Access, key: HashedKey, sink: ValueSink): boolean {
    return this.admit(access, Op.GET, key).get(key, sink, this.now);
  }

  /**
   * Answers the key in a row of the open window with a VALUE, on the short way (KeysAhead.read).
   * @returns false where that is not possible: then nothing was written or counted, and `get` has to answer
   */
  getAhead(access: Access, row: number, reply: ReplyWriter): boolean {
    if (access.prefix !== null || !mayDo(access, Op.GET)) return false;
    const { keyStarts, keyEnds } = this.window.rows;
    if (!keyIsFine(keyEnds[row]! - keyStarts[row]!, this.limits)) return false;
    const at = reply.roomForValue(SHORT_VALUE_MAX);
    const length = this.window.read(row, reply.bytes, at, SHORT_VALUE_MAX);
    if (length === NOT_READ) return false;
    this.tally.command(Op.GET);
    reply.valueIsThere(length);
    return true;
  }

  /** A wish of a reader; good until the next one is asked for. */
  wishOf(held: number, watches: boolean): ReadWish {
    this.wish.held = held;
    this.wish.watches = watches;
    return this.wish;
  }

  /**
   * The same for a reader that holds a version, or watches.
   * @returns DONE, CURRENT (entryInfo has the expiry) or MISS. Throws MALFORMED where there is no connection to watch for.
   */
  read(access: Access, key: HashedKey, wish: ReadWish, sink: ValueSink): Outcome {
    const shard = this.admit(access, Op.GET, key);
    const feed = wish.watches ? this.watchingFeed() : null;
    const outcome = shard.read(key, wish, sink, this.entryInfo, this.now);
    if (feed !== null) this.streams.watched(feed, key);
    return outcome;
  }

  /** Fills entryInfo; false on a miss. */
  info(access: Access, key: HashedKey): boolean {
    return this.admit(access, Op.INFO, key).info(key, this.entryInfo, this.now);
  }

  /** Reads a value and removes its entry, as one operation. False on a miss. */
  getAndDelete(access: Access, key: HashedKey, sink: ValueSink): boolean {
    const shard = this.admit(access, Op.GETDELETE, key);
    const found = shard.getAndDelete(key, sink, this.now);
    this.note(shard);
    return found;
  }

  /**
   * Reads a value and gives its entry a new time to live, as one operation. False on a miss.
   * @param ttlMs Infinity removes the expiry
   */
  getAndTouch(access: Access, key: HashedKey, sink: ValueSink, ttlMs: number): boolean {
    return this.getAndTouchUntil(access, key, sink, this.expiryAfter(ttlMs));
  }

  /**
   * The same with a moment.
   * @param expiresAt on the store's clock; in the past, the entry is deleted
   */
  getAndTouchUntil(access: Access, key: HashedKey, sink: ValueSink, expiresAt: number): boolean {
    const shard = this.admit(access, Op.GETTOUCH, key);
    const found = shard.getAndTouch(key, sink, expiresAt, this.now);
    this.note(shard);
    return found;
  }

  /**
   * @returns DONE (lastVersion is set) or REFUSED. Throws VALUE_TOO_LARGE, and MALFORMED for a write that watches where there is no
   * connection to watch for.
   */
  put(access: Access, key: HashedKey, write: Write, ttlMs = Infinity): Outcome {
    write.expiresAt = this.expiryAfter(ttlMs);
    return this.putUntil(access, key, write);
  }

  /** The same for a write that says itself when it expires. One that takes what was there is allowed as PUT and GET are. */
  putUntil(access: Access, key: HashedKey, write: Write): Outcome {
    this.checkPut(access, key, write);
    this.tally.command(Op.PUT);
    const shard = this.store.shardFor(key);
    const feed = write.watches ? this.watchingFeed() : null;
    const outcome = shard.put(key, write, this.now);
    write.clear();
    this.note(shard);
    if (outcome === Outcome.DONE && feed !== null) this.streams.watched(feed, key);
    if (write.lease !== NO_LEASE) this.endLease(key, write.lease);
    return outcome;
  }

  protected checkPut(access: Access, key: HashedKey, write: Write): void {
    if (write.previous !== null) this.check(access, Op.GET, key);
    this.check(access, Op.PUT, key);
    if (write.length > this.limits.valueBytesMax) throw valueError(write.length, this.limits);
    if (write.lease !== NO_LEASE && !mayDo(access, Op.LEASE)) throw forbidden(access);
    if (write.watches && !mayDo(access, Op.WATCH)) throw forbidden(access);
  }

  /** @returns DONE, MISS or REFUSED */
  delete(access: Access, key: HashedKey, ifVersion: number): Outcome {
    const shard = this.admit(access, Op.DELETE, key);
    const outcome = shard.delete(key, ifVersion, this.now);
    this.note(shard);
    return outcome;
  }

  /** @param ttlMs Infinity removes the expiry. @returns DONE or MISS */
  touch(access: Access, key: HashedKey, ttlMs: number): Outcome {
    return this.touchUntil(access, key, this.expiryAfter(ttlMs));
  }

  /**
   * @param expiresAt on the store's clock; in the past, the entry is gone
   * @param touchIf bits of TouchIf
   * @returns DONE, MISS, or REFUSED when the condition does not hold
   */
  touchUntil(access: Access, key: HashedKey, expiresAt: number, touchIf: number = TouchIf.ALWAYS): Outcome {
    const shard = this.admit(access, Op.TOUCH, key);
    const outcome = shard.touch(key, expiresAt, this.now, touchIf);
    this.note(shard);
    return outcome;
  }

  /** The sum is in lastNumber. Throws NOT_A_NUMBER, also for what is there already. */
  add(access: Access, key: HashedKey, delta: bigint, ttlMs = Infinity): void {
    if (this.tryAdd(access, key, delta, ttlMs) !== Outcome.DONE)
      throw new RequestError(
        "NOT_A_NUMBER",
        "value: is not a decimal 64-bit number, or would be none after adding",
      );
  }

  /** The same. @returns DONE, NOT_A_NUMBER, or OVERFLOW */
  tryAdd(access: Access, key: HashedKey, delta: bigint, ttlMs = Infinity): Outcome {
    const shard = this.admit(access, Op.ADD, key);
    const outcome = shard.add(key, delta, this.expiryAfter(ttlMs), this.now);
    this.note(shard);
    this.lastNumber = shard.lastNumber;
    return outcome;
  }

  /** @returns DONE (lastVersion and lastLength are set) or MISS. Throws VALUE_TOO_LARGE for the whole. */
  append(access: Access, key: HashedKey, more: Write): Outcome {
    const shard = this.admit(access, Op.APPEND, key);
    const { valueBytesMax } = this.limits;
    const outcome = shard.append(key, more, valueBytesMax, this.now);
    more.clear();
    this.note(shard);
    this.lastLength = shard.lastLength;
    if (outcome === Outcome.REFUSED) throw this.appendError();
    return outcome;
  }

  protected appendError(): RequestError {
    const { valueBytesMax } = this.limits;
    return new RequestError(
      "VALUE_TOO_LARGE",
      `value: would be longer than ${valueBytesMax} bytes after appending (--max-value)`,
    );
  }

  /**
   * One page of the keys that start with a prefix, or with the token's own where none is asked for. The cursor is 0 at
   * first, then the last page's.
   * @param keysMax where fewer keys than usual are wanted
   */
  scan(access: Access, asked: Buffer, cursor: bigint, keysMax = SCAN_KEYS_MAX): ScanPage {
    const prefix = scanPrefix(access, asked);
    this.admitPrefix(access, Op.SCAN, prefix);
    const keys: Buffer[] = [];
    let keyBytes = 0;
    let place: ScanPlace | null = placeOfCursor(cursor);
    const step = { prefix, now: this.now, pagesMax: 1 };
    const isFull = () => keys.length >= Math.min(keysMax, SCAN_KEYS_MAX) || keyBytes >= SCAN_KEY_BYTES_MAX;
    const take = (key: Buffer) => {
      keys.push(key);
      keyBytes += key.length;
      return !isFull();
    };
    for (let looked = 0; place !== null && looked < SCAN_PAGES_MAX && !isFull(); looked++)
      place = this.store.scan(place, step, take);
    return { cursor: place === null ? 0n : cursorOfPlace(place), keys };
  }

  /** Begins to remove the keys that start with a prefix; an empty one is everything's. */
  clear(access: Access, prefix: Buffer): Clearing {
    this.admitPrefix(access, Op.CLEAR, prefix);
    return new StoreClearing(this.store, Buffer.from(prefix));
  }

  /**
   * From now on every change of a key with this prefix, or the token's own where none is asked for, is told to the connection.
   * Throws BUSY over the limits.
   * @param isNoLoop not of the connection's own writes
   */
  watchPrefix(access: Access, asked: Buffer, isNoLoop: boolean): void {
    const prefix = scanPrefix(access, asked);
    this.admitPrefix(access, Op.WATCH, prefix);
    if (this.streams.watchPrefix(this.feed(), prefix, isNoLoop)) return;
    throw new RequestError(
      "BUSY",
      `prefix: at most ${CONNECTION_PREFIXES_MAX} are watched by a connection, and ${PREFIXES_MAX} different ones by all`,
    );
  }

  unwatchPrefix(access: Access, asked: Buffer): void {
    const prefix = scanPrefix(access, asked);
    this.admitPrefix(access, Op.UNWATCH, prefix);
    this.streams.unwatchPrefix(this.feed(), prefix);
  }

  /** The connection watches no single keys any more. */
  unwatchKeys(access: Access): void {
    this.begin(access, Op.UNWATCH);
    this.streams.unwatchKeys(this.feed());
  }

  /**
   * What is asked for with a lease; good until the next one. Who watches has to set that.
   * @param leaseMs undefined for the default; longer ones are cut to the longest. Throws NOT_A_NUMBER for 0.
   * @param earlyMs a value with less than this to live may be computed anew
   */
  leaseAsk(leaseMs: number | undefined, earlyMs: number): LeaseAsk {
    if (leaseMs !== undefined && leaseMs < 1) throw ttlError();
    const { ask } = this;
    ask.leaseMs = Math.min(leaseMs ?? LEASE_MS_DEFAULT, LEASE_MS_MAX);
    ask.earlyMs = earlyMs;
    ask.watches = false;
    return ask;
  }

  /**
   * A value, or the right to compute it (`ask` has the token and the time that is left).
   * @returns DONE, HIT_LEASED, LEASED, PENDING (lastTicket is set), or MISS where there are too many leases or tickets
   */
  lease({ access, waits, withMeta }: LeaseWish, key: HashedKey, ask: LeaseAsk, sink: ValueSink): Outcome {
    const shard = this.admit(access, Op.LEASE, key);
    const { streams } = this;
    const waiting = waits ? this.feed() : null;
    if (ask.watches) this.feed();
    streams.prepareLeases();
    const mayWait = waiting !== null && streams.mayWait(waiting, key);
    ask.waiter = mayWait ? streams.worker : NO_WORKER;
    const outcome = this.leaseIn(shard, key, ask, sink);
    this.lastTicket = NO_TICKET;
    if (outcome !== Outcome.PENDING || waiting === null) return outcome;
    if (!mayWait) return Outcome.MISS;
    const wish = { leaseMs: ask.leaseMs, watches: ask.watches, withMeta };
    this.lastTicket = streams.wait(waiting, key, wish, this.now + ask.leftMs).number;
    return outcome;
  }

  /**
   * Whether there is an answer now to a ticket of the connection that is served. With PENDING it waits on; with everything else it is
   * over: DONE, LEASED (`ask` has the token), or MISS.
   */
  settle(ticket: Ticket, sink: ValueSink): { outcome: Outcome; ask: LeaseAsk } {
    const { wish, key: bytes } = ticket;
    const key = this.keyAt(
      bytes,
      new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
      0,
      bytes.length,
    );
    const ask = this.leaseAsk(wish.leaseMs, 0);
    ask.waiter = this.streams.worker;
    ask.watches = wish.watches;
    const outcome = this.leaseOrWait(key, ask, sink);
    if (outcome === Outcome.PENDING) this.streams.waitOn(ticket, this.now + ask.leftMs);
    else this.streams.closeTicket(ticket);
    return { outcome, ask };
  }

  /** Gives a lease back. @returns DONE or MISS */
  release(access: Access, key: HashedKey, token: number): Outcome {
    const shard = this.admit(access, Op.RELEASE, key);
    const outcome = shard.release(key, token, this.now);
    this.endLease(key, token);
    return outcome;
  }

  ping(access: Access): void {
    this.begin(access, Op.PING);
  }

  stats(access: Access): StatsReport {
    this.begin(access, Op.STATS);
    return this.report();
  }

  /** The same report for the server's own endpoints, not counted as a command. */
  report(): StatsReport {
    return reportStats(this.parts, this.clock());
  }

  /** A request was answered with an error; whoever wrote the answer says so. */
  noteError(kind: ErrorKind): void {
    this.tally.error(kind);
  }

  /** Remaining time to live in whole ms, at most 2^53-1; Infinity without expiry. */
  ttlOf(expiresAt: number): number {
    if (expiresAt === Infinity) return Infinity;
    return Math.min(Math.max(0, expiresAt - this.now), Number.MAX_SAFE_INTEGER);
  }

  /** Asks a shard for a lease, or for the value alone where the connection holds too many. */
  private leaseIn(shard: Shard, key: HashedKey, ask: LeaseAsk, sink: ValueSink): Outcome {
    const { streams } = this;
    const feed = streams.served;
    ask.token = 0;
    ask.holder = streams.holderFor(feed);
    const mayLease = feed === null || streams.mayHoldLease(feed, this.now);
    const outcome = mayLease
      ? shard.lease(key, ask, sink, this.now)
      : shard.read(key, this.wishOf(ANY_VERSION, ask.watches), sink, this.entryInfo, this.now);
    if (feed === null) return outcome;
    if (ask.token !== 0) streams.noteLease(feed, key, ask.token);
    if (ask.watches && outcome !== Outcome.PENDING) streams.watched(feed, key);
    return outcome;
  }

  /** The same for a ticket: where the shard is locked by a dead thread, it waits a little longer. */
  private leaseOrWait(key: HashedKey, ask: LeaseAsk, sink: ValueSink): Outcome {
    try {
      return this.leaseIn(this.store.shardFor(key), key, ask, sink);
    } catch (error) {
      if (!(error instanceof ShardBusyError)) throw error;
      ask.leftMs = BUSY_SHARD_MS;
      return Outcome.PENDING;
    }
  }

  protected endLease(key: HashedKey, token: number): void {
    const { served } = this.streams;
    if (served !== null) this.streams.forgetLease(served, key, token);
  }

  /** The connection that is told; MALFORMED where the request came without one. */
  protected feed(): Feed {
    const { served } = this.streams;
    if (served !== null) return served;
    throw new RequestError("MALFORMED", "watch, wait: need a WebSocket; over HTTP see GET /events");
  }

  protected watchingFeed(): Feed {
    const feed = this.feed();
    this.streams.listen();
    return feed;
  }

  /** Takes over what a write left in its shard: the version, and the bytes that were copied. */
  private note(shard: Shard): void {
    this.lastVersion = shard.lastVersion;
    this.copiedBytes += shard.copiedBytes;
  }

  /** The only way to a key's shard: checks what the token allows, and counts the verb. */
  protected admit(access: Access, op: Op, key: HashedKey): Shard {
    this.check(access, op, key);
    this.tally.command(op);
    return this.store.shardFor(key);
  }

  /** The same for verbs that are about all keys with a prefix. */
  protected admitPrefix(access: Access, op: Op, prefix: Buffer): void {
    this.checkPrefix(access, op, prefix);
    this.tally.command(op);
  }

  protected checkPrefix(access: Access, op: Op, prefix: Buffer): void {
    if (!mayDo(access, op)) throw forbidden(access);
    checkKey(access, prefix, 0, prefix.length);
    if (prefix.length > this.limits.keyBytesMax) throw keyError(prefix.length, this.limits);
  }

  /** The same for verbs that are about no key. */
  private begin(access: Access, op: Op): void {
    if (!mayDo(access, op)) throw forbidden(access);
    this.tally.command(op);
  }

  /** A time to live of 0 would be a delete in disguise, more often a mistake. */
  protected expiryAfter(ttlMs: number): number {
    if (ttlMs < 1) throw ttlError();
    return this.now + ttlMs;
  }
}

function ttlError(): RequestError {
  return new RequestError("NOT_A_NUMBER", "ttlMs: must be at least 1 millisecond");
}
