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
import { RequestError } from "../protocol/errors";
import type { ReplyWriter } from "../protocol/reply";
import { Op } from "../protocol/wire";
import { NOT_READ } from "../store/ahead";
import type { HashedKey } from "../store/hash";
import { ShardBusyError } from "../store/lock";
import { type EntryInfo, Outcome, type Shard } from "../store/shard";
import type { ValueSink } from "../store/write";
import type { ScanPlace, Store } from "../store/store";
import { NO_TYPE, typeNumbered, type ValueType } from "../store/value-type";
import { ANY_VERSION, Condition, TouchIf, Write } from "../store/write";
import { type Access, checkKey, forbidden, mayDo, scanPrefix } from "./access";
import { Clearing } from "./clearing";
import { placeOfCursor, cursorOfPlace } from "./cursor";
import { type ServerFacts, type StatsReport, reportStats } from "./report";
import type { Tally } from "./tally";
import { Window } from "./window";

export { ANY_VERSION, Condition, NO_TYPE, Outcome, ShardBusyError, TouchIf, typeNumbered };
export type { Clearing, EntryInfo, HashedKey, ValueSink, ValueType, Write };

/** One page of a scan ends after this many keys, or bytes of keys, or pages of the store looked through. */
const SCAN_KEYS_MAX = 1000;
const SCAN_KEY_BYTES_MAX = 64 * 1024;
const SCAN_PAGES_MAX = 32;
/** Longer values take the long way, where the reply's buffer grows to their size. */
const SHORT_VALUE_MAX = 4096;

export interface ScanPage {
  /** 0 when the scan is done. */
  cursor: bigint;
  keys: Buffer[];
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
  /** For BinaryCommands alone. */
  readonly window: Window;
  /** Used again and again: a request makes neither. */
  private readonly key: HashedKey;
  private readonly write = new Write();

  constructor(
    private readonly store: Store,
    readonly limits: Limits,
    private readonly tally: Tally,
    private readonly clock: () => number,
    private readonly facts: ServerFacts,
  ) {
    this.key = store.newKey();
    this.window = new Window(store);
    this.refreshClock();
  }

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

  /** Fills entryInfo; false on a miss. */
  info(access: Access, key: HashedKey): boolean {
    return this.admit(access, Op.INFO, key).info(key, this.entryInfo, this.now);
  }

  /** Reads a value and removes its entry, as one operation: a GET and a DELETE, and allowed as these are. False on a miss. */
  getAndDelete(access: Access, key: HashedKey, sink: ValueSink): boolean {
    this.check(access, Op.DELETE, key);
    const shard = this.admit(access, Op.GET, key);
    const found = shard.getAndDelete(key, sink, this.now);
    if (found) this.tally.command(Op.DELETE);
    this.note(shard);
    return found;
  }

  /**
   * Reads a value and gives its entry a new expiry, as one operation: a GET and a TOUCH, and allowed as these are. False on a miss.
   * @param expiresAt on the store's clock; in the past, the entry is gone
   */
  getAndTouch(access: Access, key: HashedKey, sink: ValueSink, expiresAt: number): boolean {
    this.check(access, Op.TOUCH, key);
    const shard = this.admit(access, Op.GET, key);
    const found = shard.getAndTouch(key, sink, expiresAt, this.now);
    if (found) this.tally.command(Op.TOUCH);
    this.note(shard);
    return found;
  }

  /** @returns DONE (lastVersion is set) or REFUSED. Throws VALUE_TOO_LARGE. */
  put(access: Access, key: HashedKey, write: Write, ttlMs = Infinity): Outcome {
    write.expiresAt = this.expiryAfter(ttlMs);
    return this.putUntil(access, key, write);
  }

  /** The same for a write that says itself when it expires. One that takes what was there is allowed as PUT and GET are. */
  putUntil(access: Access, key: HashedKey, write: Write): Outcome {
    if (write.previous !== null) this.check(access, Op.GET, key);
    const shard = this.admit(access, Op.PUT, key);
    if (write.length > this.limits.valueBytesMax) throw valueError(write.length, this.limits);
    const outcome = shard.put(key, write, this.now);
    write.clear();
    this.note(shard);
    return outcome;
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
    if (outcome === Outcome.REFUSED)
      throw new RequestError(
        "VALUE_TOO_LARGE",
        `value: would be longer than ${valueBytesMax} bytes after appending (--max-value)`,
      );
    return outcome;
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
    return new Clearing(this.store, Buffer.from(prefix));
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
    return reportStats(this.store, this.tally, this.facts, this.clock());
  }

  /** Remaining time to live in whole ms, at most 2^53-1; Infinity without expiry. */
  ttlOf(expiresAt: number): number {
    if (expiresAt === Infinity) return Infinity;
    return Math.min(Math.max(0, expiresAt - this.now), Number.MAX_SAFE_INTEGER);
  }

  /** Takes over what a write left in its shard: the version, and the bytes that were copied. */
  private note(shard: Shard): void {
    this.lastVersion = shard.lastVersion;
    this.copiedBytes += shard.copiedBytes;
  }

  /** The only way to a key's shard: checks what the token allows, and counts the verb. */
  private admit(access: Access, op: Op, key: HashedKey): Shard {
    this.check(access, op, key);
    this.tally.command(op);
    return this.store.shardFor(key);
  }

  /** The same for verbs that are about all keys with a prefix. */
  private admitPrefix(access: Access, op: Op, prefix: Buffer): void {
    if (!mayDo(access, op)) throw forbidden(access);
    checkKey(access, prefix, 0, prefix.length);
    if (prefix.length > this.limits.keyBytesMax) throw keyError(prefix.length, this.limits);
    this.tally.command(op);
  }

  /** The same for verbs that are about no key. */
  private begin(access: Access, op: Op): void {
    if (!mayDo(access, op)) throw forbidden(access);
    this.tally.command(op);
  }

  /** A time to live of 0 would be a delete in disguise, more often a mistake. */
  private expiryAfter(ttlMs: number): number {
    if (ttlMs < 1) throw new RequestError("NOT_A_NUMBER", "ttlMs: must be at least 1 millisecond");
    return this.now + ttlMs;
  }
}
