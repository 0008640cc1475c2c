/**
 * Which keys the connections of one worker watch: records in a ring of fixed size, oldest at the tail. The records of one interest
 * word are a list, newest first.
 *
 *   record   newer u32 │ older u32 │ slot u32 │ watcher u32 (0: dead) │ stamp u64 │ keyLen u16, FRESH │ key, padded to a word
 *
 * newer and older are places of records of the same slot, as word + 1, 0 for none. A slot is a shard's number and a word of its
 * interest; heads[slot] is the newest record's place. A watcher is a number that a connection has until it ends, or all
 * its watches are void: its records die where they lie, and are unlinked when they are met.
 *
 * FRESH: the slot's interest was not set when this watch began, so a change has taken it that this worker may not have read of yet. Older
 * records of the slot will be used up when it does, and are no reason to leave a new watch out.
 *
 * Invariant: every record between tail and head is linked or dead, and every link names such a record.
 */
import type { KeyBytes } from "../protocol/push";
import { TWO_32 } from "../protocol/wire";

const NEWER = 0;
const OLDER = 1;
const SLOT = 2;
const WATCHER = 3;
const STAMP = 4;
const KEY_LENGTH = 6;
const HEADER_WORDS = 7;
const DEAD = 0;
const FRESH = 1 << 16;
const KEY_LENGTH_MASK = FRESH - 1;
/** Pads the ring's end: no slot has this number. */
const PAD = 0xffffffff;
/** How many records of a slot are looked at for one that says the same. */
const SAME_DEPTH = 16;
const EMPTY: Buffer = Buffer.alloc(0);

/** How a watch began. */
export interface WatchStart {
  /** The shard's version counter then. */
  readonly stamp: number;
  /** The interest of the slot was not set before. */
  readonly isFresh: boolean;
}

/** Told of each watch that is used up. `isSame` says whether the key that changed is the one that was watched. */
export type OnChanged = (watcher: number, key: KeyBytes, isSame: boolean) => void;
/** Told of each watch that is given up to make room. */
export type OnGivenUp = (watcher: number, key: KeyBytes) => void;

export class WatchTable {
  /** Watches that are in force, unless their watchers have gone. */
  live = 0;
  private readonly heads: Uint32Array;
  private readonly words: Uint32Array;
  private readonly bytes: Buffer;
  /** In words. */
  private readonly size: number;
  private head = 0;
  private tail = 0;
  private used = 0;
  private readonly key = { bytes: EMPTY, start: 0, end: 0 };

  /**
   * @param slots how many there are
   * @param bytesMax for all of it
   */
  constructor(
    slots: number,
    bytesMax: number,
    private readonly onGivenUp: OnGivenUp,
  ) {
    this.heads = new Uint32Array(slots);
    this.size = Math.max(bytesMax / 2, bytesMax - this.heads.byteLength) >>> 2;
    const ring = new ArrayBuffer(this.size * 4);
    this.words = new Uint32Array(ring);
    this.bytes = Buffer.from(ring);
    this.key.bytes = this.bytes;
  }

  /** False for a key too long to be kept at all. */
  add(slot: number, watcher: number, { stamp, isFresh }: WatchStart, key: KeyBytes): boolean {
    const keyBytes = key.end - key.start;
    const needed = HEADER_WORDS + ((keyBytes + 3) >>> 2);
    if (2 * needed > this.size) return false;
    const at = this.room(needed);
    const { words } = this;
    words[at + WATCHER] = watcher;
    words[at + SLOT] = slot;
    words[at + STAMP] = stamp >>> 0;
    words[at + STAMP + 1] = Math.floor(stamp / TWO_32);
    words[at + KEY_LENGTH] = keyBytes | (isFresh ? FRESH : 0);
    key.bytes.copy(this.bytes, (at + HEADER_WORDS) << 2, key.start, key.end);
    this.link(at, slot);
    this.live++;
    return true;
  }

  /** Whether one of the slot's newest watches is this watcher's of this key, and will be told of its next change. */
  has(slot: number, watcher: number, key: KeyBytes): boolean {
    let place = this.heads[slot]!;
    for (let looked = 0; place !== 0 && looked < SAME_DEPTH; looked++) {
      const at = place - 1;
      if (this.words[at + WATCHER] === watcher && this.isKey(at, key)) return true;
      if ((this.words[at + KEY_LENGTH]! & FRESH) !== 0) return false;
      place = this.words[at + OLDER]!;
    }
    return false;
  }

  /** Uses up the watches of a slot that began before `stamp`, since `changed` was changed then. */
  use(slot: number, stamp: number, changed: KeyBytes, onChanged: OnChanged): void {
    const { words } = this;
    for (let place = this.heads[slot]!; place !== 0;) {
      const at = place - 1;
      place = words[at + OLDER]!;
      if (this.stampOf(at) >= stamp) continue;
      const watcher = words[at + WATCHER]!;
      this.unlink(at);
      onChanged(watcher, this.aim(at), this.isKey(at, changed));
    }
  }

  /** The keys of one watcher's live watches; for tests. */
  keysOf(watcher: number): string[] {
    const keys: string[] = [];
    this.walk((at) => {
      if (this.watcherOf(at) === watcher) keys.push(this.keyText(at));
    });
    return keys.sort();
  }

  /** Throws where the table contradicts itself; for tests. */
  invariants(): void {
    const linked = new Set<number>();
    for (let slot = 0; slot < this.heads.length; slot++) {
      let newer = 0;
      for (let place = this.heads[slot]!; place !== 0; place = this.words[place - 1 + OLDER]!) {
        const at = place - 1;
        if (this.words[at + NEWER] !== newer) throw new Error(`record ${at} is linked from elsewhere`);
        if (this.words[at + SLOT] !== slot) throw new Error(`record ${at} is in another slot`);
        if (linked.has(at)) throw new Error(`record ${at} is linked twice`);
        linked.add(at);
        newer = place;
      }
    }
    let alive = 0;
    let words = 0;
    this.walk((at) => {
      words += this.wordsOf(at);
      if (this.watcherOf(at) === DEAD) return;
      alive++;
      if (!linked.has(at)) throw new Error(`record ${at} is alive and not linked`);
    });
    if (alive !== linked.size) throw new Error(`${linked.size} records are linked, ${alive} are alive`);
    if (words !== this.used) throw new Error(`${words} words lie in the ring, ${this.used} are counted`);
    if (alive !== this.live) throw new Error(`${alive} watches are alive, ${this.live} are counted`);
  }

  private walk(visit: (at: number) => void): void {
    let at = this.tail;
    for (let left = this.used; left > 0;) {
      const words = this.wordsOf(at);
      visit(at);
      left -= words;
      at = at + words === this.size ? 0 : at + words;
    }
  }

  /** Where a record of so many words goes; what lies there is given up. */
  private room(needed: number): number {
    const rest = this.size - this.head;
    if (rest < needed) {
      this.free(rest);
      this.pad(rest);
    }
    this.free(needed);
    const at = this.head;
    this.used += needed;
    this.head = at + needed === this.size ? 0 : at + needed;
    return at;
  }

  /** The rest of the ring, however little, belongs to no record. */
  private pad(rest: number): void {
    if (rest > 0) this.words[this.head] = PAD;
    this.used += rest;
    this.head = 0;
  }

  private free(needed: number): void {
    while (this.size - this.used < needed) this.dropOldest();
  }

  private dropOldest(): void {
    const at = this.tail;
    const words = this.wordsOf(at);
    const watcher = this.watcherOf(at);
    if (watcher !== DEAD) {
      this.unlink(at);
      this.onGivenUp(watcher, this.aim(at));
    }
    this.used -= words;
    this.tail = at + words === this.size ? 0 : at + words;
  }

  private isPad(at: number): boolean {
    return this.words[at] === PAD;
  }

  private watcherOf(at: number): number {
    return this.isPad(at) ? DEAD : this.words[at + WATCHER]!;
  }

  private wordsOf(at: number): number {
    if (this.isPad(at)) return this.size - at;
    return HEADER_WORDS + ((this.keyLength(at) + 3) >>> 2);
  }

  private keyLength(at: number): number {
    return this.words[at + KEY_LENGTH]! & KEY_LENGTH_MASK;
  }

  private link(at: number, slot: number): void {
    const { words, heads } = this;
    const older = heads[slot]!;
    words[at + NEWER] = 0;
    words[at + OLDER] = older;
    if (older !== 0) words[older - 1 + NEWER] = at + 1;
    heads[slot] = at + 1;
  }

  private unlink(at: number): void {
    const { words, heads } = this;
    const newer = words[at + NEWER]!;
    const older = words[at + OLDER]!;
    if (newer === 0) heads[words[at + SLOT]!] = older;
    else words[newer - 1 + OLDER] = older;
    if (older !== 0) words[older - 1 + NEWER] = newer;
    words[at + WATCHER] = DEAD;
    this.live--;
  }

  private stampOf(at: number): number {
    return this.words[at + STAMP]! + this.words[at + STAMP + 1]! * TWO_32;
  }

  private isKey(at: number, { bytes, start, end }: KeyBytes): boolean {
    const length = this.keyLength(at);
    if (length !== end - start) return false;
    const from = (at + HEADER_WORDS) << 2;
    return this.bytes.compare(bytes, start, end, from, from + length) === 0;
  }

  /** The record's key; good until the next one. */
  private aim(at: number): KeyBytes {
    this.key.start = (at + HEADER_WORDS) << 2;
    this.key.end = this.key.start + this.keyLength(at);
    return this.key;
  }

  private keyText(at: number): string {
    const { start, end } = this.aim(at);
    return this.bytes.toString("latin1", start, end);
  }
}
