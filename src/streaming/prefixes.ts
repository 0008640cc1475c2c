/**
 * The prefixes that are watched, and by which workers: a fixed table that all workers share, and that each of them keeps a copy of.
 *
 *   PREFIXES_MAX times: bits of workers │ length │ watching connections of each worker │ bytes
 *
 * Its version stands in the first line of the bells, which every write that may have to be told looks at.
 *
 * Why it is correct:
 * - The table is changed under the lock of shard 0 only, and that is a lock that a dead worker's successor can free. Each change
 *   leaves it whole at every step: a new prefix is there once its bits are, a prefix is gone once its bits are 0.
 * - A copy is good while the version is unchanged. It is made without the lock: read the version, copy, read the version again. A
 *   place that is given up changes the version before it is used again, so a copy of two versions is noticed.
 * - A write looks at the version under its shard's lock. Whoever watches publishes first, and then takes and releases every
 *   shard's lock once; a write that has not seen the prefix has therefore ended before WATCH is answered.
 */
import type { HashedKey } from "../store/hash";
import { bitOf, PREFIX_VERSION, PREFIXES_MAX, type StreamPlan } from "./memory";

const FIRST = 0;
const BITS = 0;
const LENGTH = 1;
const COUNTS = 2;

/** No place: all are taken. */
export const NO_PLACE = -1;

interface WatchedPrefix {
  readonly bytes: Buffer;
  readonly bits: number;
}

export class Prefixes {
  private readonly words: Int32Array;
  private readonly bytes: Buffer;
  /** One word. */
  private readonly version: Int32Array;
  private readonly workers: number;
  private readonly placeWords: number;
  private copied = 0;
  private copies: WatchedPrefix[] = [];

  constructor({ memory, layout }: StreamPlan) {
    const { workers, keyBytesMax } = memory.sizes;
    this.words = new Int32Array(memory.common, layout.prefixes * 4);
    this.version = new Int32Array(memory.common, (layout.bells + PREFIX_VERSION) * 4, 1);
    this.bytes = Buffer.from(memory.common as unknown as ArrayBuffer, layout.prefixes * 4);
    this.workers = workers;
    this.placeWords = COUNTS + workers + Math.ceil(keyBytesMax / 4);
  }

  /** Distinct prefixes. */
  get count(): number {
    this.refresh();
    return this.copies.length;
  }

  /** Bits of the workers that watch a prefix of the key. Under the lock of the key's shard. */
  watchersOf(key: HashedKey): number {
    // Under a shard's lock, which orders this: no atomic load is needed.
    if (this.version[0] !== this.copied) this.refresh();
    const { copies } = this;
    let found = 0;
    for (let i = 0; i < copies.length; i++)
      if (isPrefix(copies[i]!.bytes, key.bytes, key.start, key.end)) found |= copies[i]!.bits;
    return found;
  }

  /** The same for what has to do with a prefix: watched ones that begin with it, and those that it begins with. */
  watchersAround(prefix: Buffer): number {
    this.refresh();
    let found = 0;
    for (const { bytes, bits } of this.copies) if (overlap(bytes, prefix)) found |= bits;
    return found;
  }

  /** One more connection of a worker watches this prefix. Under the lock of shard 0. @returns NO_PLACE when there is no room */
  add(prefix: Buffer, worker: number): number {
    const place = this.placeFor(prefix);
    if (place === NO_PLACE) return NO_PLACE;
    const { words } = this;
    if (words[place + BITS] === 0) {
      prefix.copy(this.bytes, (place + COUNTS + this.workers) << 2);
      words[place + LENGTH] = prefix.length;
    }
    words[place + COUNTS + worker]! += 1;
    this.publish(place, words[place + BITS]! | bitOf(worker));
    return place;
  }

  /** One less. Under the lock of shard 0. */
  remove(place: number, worker: number): void {
    this.setCount(place, worker, this.words[place + COUNTS + worker]! - 1);
  }

  /** What a worker watched whose connections are all gone. Under the lock of shard 0. */
  forget(worker: number): void {
    for (let place = FIRST; place < this.end; place += this.placeWords)
      if (this.words[place + COUNTS + worker] !== 0) this.setCount(place, worker, 0);
  }

  /** Throws where the table contradicts itself; for tests. */
  invariants(): void {
    const seen = new Set<string>();
    for (let place = FIRST; place < this.end; place += this.placeWords) {
      const bits = this.words[place + BITS]!;
      if (bits !== this.bitsOf(place)) throw new Error(`place ${place}: bits are not those of its watchers`);
      if (bits === 0) continue;
      const text = this.prefixAt(place).toString("latin1");
      if (seen.has(text)) throw new Error(`prefix ${text} has two places`);
      seen.add(text);
    }
  }

  private get end(): number {
    return FIRST + PREFIXES_MAX * this.placeWords;
  }

  private placeFor(prefix: Buffer): number {
    let free = NO_PLACE;
    for (let place = FIRST; place < this.end; place += this.placeWords) {
      if (this.words[place + BITS] === 0) free = free === NO_PLACE ? place : free;
      else if (this.prefixAt(place).equals(prefix)) return place;
    }
    return free;
  }

  private prefixAt(place: number): Buffer {
    const start = (place + COUNTS + this.workers) << 2;
    return this.bytes.subarray(start, start + this.words[place + LENGTH]!);
  }

  private setCount(place: number, worker: number, count: number): void {
    this.words[place + COUNTS + worker] = count;
    this.publish(place, this.bitsOf(place));
  }

  /** Workers beyond 32 share bits: a bit is given up when none of those that share it watches. */
  private bitsOf(place: number): number {
    let bits = 0;
    for (let worker = 0; worker < this.workers; worker++)
      if (this.words[place + COUNTS + worker]! > 0) bits |= bitOf(worker);
    return bits;
  }

  private publish(place: number, bits: number): void {
    if (this.words[place + BITS] === bits) return;
    Atomics.store(this.words, place + BITS, bits);
    Atomics.add(this.version, 0, 1);
  }

  private refresh(): void {
    for (;;) {
      const version = Atomics.load(this.version, 0);
      if (version === this.copied) return;
      const copies: WatchedPrefix[] = [];
      for (let place = FIRST; place < this.end; place += this.placeWords) {
        const bits = Atomics.load(this.words, place + BITS);
        if (bits !== 0) copies.push({ bytes: Buffer.from(this.prefixAt(place)), bits });
      }
      // A read-modify-write, which no earlier read passes on any processor.
      if (Atomics.add(this.version, 0, 0) !== version) continue;
      this.copies = copies;
      this.copied = version;
    }
  }
}

export function isPrefix(prefix: Buffer, bytes: Buffer, start: number, end: number): boolean {
  const { length } = prefix;
  if (end - start < length) return false;
  return length === 0 || bytes.compare(prefix, 0, length, start, start + length) === 0;
}

/** Whether there can be a key with both prefixes. */
export function overlap(a: Buffer, b: Buffer): boolean {
  return a.length <= b.length ? isPrefix(a, b, 0, b.length) : isPrefix(b, a, 0, a.length);
}
