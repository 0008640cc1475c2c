/**
 * The verbs, each once, for every protocol: the limits are checked here, the counting is done here, and nowhere else
 * do protocols and store meet. A key is aimed at with `keyAt` (or `keyAhead`) and used before the next one is; values are
 * (buffer, start, end). A refused request has changed nothing.
 */
import { keyError, keyIsFine, type Limits, valueError } from "../protocol/limits";
import { RequestError } from "../protocol/errors";
import { Op } from "../protocol/wire";
import { NOT_READ } from "../store/ahead";
import type { HashedKey } from "../store/hash";
import { ShardBusyError } from "../store/lock";
import { ANY_VERSION, Condition, type EntryInfo, Outcome, type Shard, type ValueSink } from "../store/shard";
import { SCAN_START, type ScanPlace, type Store } from "../store/store";
import { placeOfCursor, cursorOfPlace } from "./cursor";
import { type ServerFacts, type StatsReport, reportStats } from "./report";
import type { Tally } from "./tally";
import { Window } from "./window";

export { ANY_VERSION, Condition, NOT_READ, Outcome, ShardBusyError };
export type { EntryInfo, ValueSink };

/** One page of a scan ends after this many keys, or bytes of keys, or pages of the store looked through. */
const SCAN_KEYS_MAX = 1000;
const SCAN_KEY_BYTES_MAX = 64 * 1024;
const SCAN_PAGES_MAX = 32;
/** Pages that one step of a clear looks through. */
const CLEAR_PAGES_PER_STEP = 32;

export interface ScanPage {
  /** 0 when the scan is done. */
  cursor: bigint;
  keys: Buffer[];
}

/** A clear under way: call `clearStep` until it is done. */
export interface Clearing {
  place: ScanPlace | null;
  removed: number;
}

export class Commands {
  /** The store's time in ms, as of the last `refreshClock`. */
  now = 0;
  /** What the last successful put, add or append made. */
  lastVersion = 0;
  lastNumber = 0n;
  /** Bytes of entries that commands copied within the store, beside what their requests brought. Who counts work sets it to 0. */
  copiedBytes = 0;
  readonly entryInfo: EntryInfo = { version: 0, expiresAt: 0, valueLength: 0 };
  /** For BinaryCommands alone. */
  readonly window: Window;
  private readonly key: HashedKey;

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

  /** The key bytes[start, end), good until the next one is asked for. Throws BAD_KEY. */
  keyAt(bytes: Buffer, view: DataView, start: number, end: number): HashedKey {
    if (!keyIsFine(end - start, this.limits)) throw keyError(end - start, this.limits);
    this.key.aim(bytes, view, start, end);
    return this.key;
  }

  /** The same for the key in a row of the open window. */
  keyAhead(row: number): HashedKey {
    const { rows } = this.window;
    const keyBytes = rows.keyEnds[row]! - rows.keyStarts[row]!;
    if (!keyIsFine(keyBytes, this.limits)) throw keyError(keyBytes, this.limits);
    this.window.aim(this.key, row);
    return this.key;
  }

  /** False on a miss. */
  get(key: HashedKey, sink: ValueSink): boolean {
    this.tally.command(Op.GET);
    return this.store.shardFor(key).get(key, sink, this.now);
  }

  /**
   * The short way to the value of the key in a row of the open window: copied to target[at…].
   * @returns its length, or NOT_READ: then ask with `get`
   */
  readAhead(row: number, target: Buffer, at: number, bytesMax: number): number {
    const { window } = this;
    const { keyStarts, keyEnds } = window.rows;
    if (!keyIsFine(keyEnds[row]! - keyStarts[row]!, this.limits)) return NOT_READ;
    const length = window.read(row, target, at, bytesMax, this.now);
    if (length !== NOT_READ) this.tally.command(Op.GET);
    return length;
  }

  /** Fills entryInfo; false on a miss. */
  info(key: HashedKey): boolean {
    this.tally.command(Op.INFO);
    return this.store.shardFor(key).info(key, this.entryInfo, this.now);
  }

  /**
   * @param ttlMs Infinity for no expiry
   * @returns DONE (lastVersion is set) or REFUSED
   */
  put(
    key: HashedKey,
    value: Buffer,
    valueStart: number,
    valueEnd: number,
    ttlMs: number,
    condition: Condition,
    ifVersion: number,
  ): Outcome {
    this.tally.command(Op.PUT);
    const shard = this.store.shardFor(key);
    this.checkValue(valueEnd - valueStart);
    this.checkTtl(ttlMs);
    const outcome = shard.put(
      key,
      value,
      valueStart,
      valueEnd,
      this.now + ttlMs,
      condition,
      ifVersion,
      this.now,
    );
    this.note(shard);
    return outcome;
  }

  /** @returns DONE, MISS or REFUSED */
  delete(key: HashedKey, ifVersion: number): Outcome {
    this.tally.command(Op.DELETE);
    const shard = this.store.shardFor(key);
    const outcome = shard.delete(key, ifVersion, this.now);
    this.note(shard);
    return outcome;
  }

  /** @param ttlMs Infinity removes the expiry. @returns DONE or MISS */
  touch(key: HashedKey, ttlMs: number): Outcome {
    this.tally.command(Op.TOUCH);
    this.checkTtl(ttlMs);
    const shard = this.store.shardFor(key);
    const outcome = shard.touch(key, this.now + ttlMs, this.now);
    this.note(shard);
    return outcome;
  }

  /** The sum is in lastNumber. Throws NOT_A_NUMBER, also for what is there already. */
  add(key: HashedKey, delta: bigint, ttlMs: number): void {
    this.tally.command(Op.ADD);
    this.checkTtl(ttlMs);
    const shard = this.store.shardFor(key);
    const outcome = shard.add(key, delta, this.now + ttlMs, this.now);
    this.note(shard);
    if (outcome === Outcome.NOT_A_NUMBER)
      throw new RequestError(
        "NOT_A_NUMBER",
        "value: is not a decimal 64-bit number, or would be none after adding",
      );
    this.lastNumber = shard.lastNumber;
  }

  /** @returns DONE (lastVersion is set) or MISS. Throws VALUE_TOO_LARGE for the whole. */
  append(key: HashedKey, value: Buffer, valueStart: number, valueEnd: number): Outcome {
    this.tally.command(Op.APPEND);
    const shard = this.store.shardFor(key);
    const { valueBytesMax } = this.limits;
    const outcome = shard.append(key, value, valueStart, valueEnd, valueBytesMax, this.now);
    this.note(shard);
    if (outcome === Outcome.REFUSED)
      throw new RequestError(
        "VALUE_TOO_LARGE",
        `value: would be longer than ${valueBytesMax} bytes after appending (--max-value)`,
      );
    return outcome;
  }

  /** One page of the keys that start with a prefix. The cursor is 0 at first, then the last page's. */
  scan(prefix: Buffer, start: number, end: number, cursor: bigint): ScanPage {
    this.tally.command(Op.SCAN);
    this.checkPrefix(end - start);
    const keys: Buffer[] = [];
    let keyBytes = 0;
    let place: ScanPlace | null = placeOfCursor(cursor);
    for (let looked = 0; place !== null && looked < SCAN_PAGES_MAX; looked++) {
      const full = () => keys.length >= SCAN_KEYS_MAX || keyBytes >= SCAN_KEY_BYTES_MAX;
      place = this.store.scan(place, prefix, start, end, this.now, 1, (key) => {
        keys.push(key);
        keyBytes += key.length;
        return !full();
      });
      if (full()) break;
    }
    return { cursor: place === null ? 0n : cursorOfPlace(place), keys };
  }

  beginClear(prefixBytes: number): Clearing {
    this.tally.command(Op.CLEAR);
    this.checkPrefix(prefixBytes);
    return { place: { ...SCAN_START }, removed: 0 };
  }

  /** Goes on with a clear; true when it is done. Other requests may run between the steps. */
  clearStep(clearing: Clearing, prefix: Buffer, start: number, end: number): boolean {
    const { place } = clearing;
    if (place === null) return true;
    if (start === end) {
      clearing.removed += this.store.shards[place.shard]!.clear(this.now);
      const next = place.shard + 1;
      clearing.place = next < this.store.shards.length ? { ...SCAN_START, shard: next } : null;
    } else {
      clearing.place = this.store.clearPrefix(
        place,
        prefix,
        start,
        end,
        this.now,
        CLEAR_PAGES_PER_STEP,
        (count) => {
          clearing.removed += count;
        },
      );
    }
    return clearing.place === null;
  }

  ping(): void {
    this.tally.command(Op.PING);
  }

  stats(): StatsReport {
    this.tally.command(Op.STATS);
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

  /** What a write left with its shard. */
  private note(shard: Shard): void {
    this.lastVersion = shard.lastVersion;
    this.copiedBytes += shard.copiedBytes;
  }

  private checkValue(valueBytes: number): void {
    if (valueBytes > this.limits.valueBytesMax) throw valueError(valueBytes, this.limits);
  }

  /** A time to live of 0 would be a delete in disguise, more often a mistake. */
  private checkTtl(ttlMs: number): void {
    if (ttlMs < 1) throw new RequestError("NOT_A_NUMBER", "ttlMs: must be at least 1 millisecond");
  }

  private checkPrefix(prefixBytes: number): void {
    if (prefixBytes > this.limits.keyBytesMax) throw keyError(prefixBytes, this.limits);
  }
}
