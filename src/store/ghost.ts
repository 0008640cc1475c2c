/**
 * Remembers which keys were lately dropped from the small ring: a fingerprint each, no key and no value.
 * A key that comes back while it is remembered goes straight to the main ring.
 *
 * Buckets of sixteen slots, one cache line each; a slot is a fingerprint (16 bits) and the tick of its drop (16 bits).
 * A tick is 1/256 of the window, and the window is a number of dropped bytes: as many as the main ring holds, so the
 * ghost forgets in the same measure as a second cache of that size would. A full bucket loses its oldest slot.
 *
 * Grows by single pages (linear hashing over pages). What should move to a new page is left behind and forgotten:
 * a ghost that errs costs a few copies, never an entry.
 */
import { BUCKET_BYTES, W } from "./layout";
import type { Block } from "./memory";
import type { Pages } from "./pages";

const SLOTS = BUCKET_BYTES / 4;
const WINDOW_TICKS = 256;
const TICK_MASK = 0xffff;
/** Slots wanted for each entry of the shard: some to spare, since buckets fill unevenly. */
const SLOTS_PER_ENTRY = 1.2;
/** The ghost takes at most this share of the shard. */
const SHARE_MAX = 1 / 16;

export class Ghost {
  private readonly words: Int32Array;
  private readonly mapWord: number;
  private readonly pageWordShift: number;
  private readonly bucketMask: number;
  private readonly pagesMax: number;

  constructor(
    block: Block,
    private readonly pages: Pages,
  ) {
    this.words = block.words;
    this.mapWord = block.layout.ghostMapWord;
    this.pageWordShift = pages.shift - 2;
    this.bucketMask = pages.bytes / BUCKET_BYTES - 1;
    this.pagesMax = Math.floor(pages.count * SHARE_MAX);
  }

  /** Forgets everything; Pages.reset must have taken the pages back. */
  reset(): void {
    this.words[W.GHOST_PAGES] = 0;
    this.words[W.GHOST_BYTES] = 0;
  }

  /** Forgets everything and gives the pages back. */
  release(): void {
    for (let index = 0; index < this.pageCount; index++) this.pages.give(this.words[this.mapWord + index]!);
    this.reset();
  }

  get pageCount(): number {
    return this.words[W.GHOST_PAGES]!;
  }

  /** Whether the ghost is smaller than it should be for this many entries. */
  wantsPage(entryCount: number): boolean {
    const wanted = Math.ceil((entryCount * SLOTS_PER_ENTRY * 4) / this.pages.bytes);
    return this.pageCount < Math.min(wanted, this.pagesMax);
  }

  /** Takes one more page; the pool must have one. */
  grow(): void {
    this.words[this.mapWord + this.pageCount] = this.pages.takeZeroed();
    this.words[W.GHOST_PAGES]! += 1;
  }

  /** Remembers a dropped entry of this many bytes. */
  add(hash: number, bytes: number, windowBytes: number): void {
    if (this.pageCount === 0) return;
    this.advanceClock(bytes, windowBytes);
    const tick = this.words[W.GHOST_TICK]!;
    const bucket = this.bucketOf(hash);
    let oldest = bucket;
    let oldestAge = -1;
    for (let slot = bucket; slot < bucket + SLOTS; slot++) {
      const word = this.words[slot]!;
      const age = word === 0 ? TICK_MASK + 1 : (tick - word) & TICK_MASK;
      if (age > oldestAge) {
        oldest = slot;
        oldestAge = age;
      }
    }
    this.words[oldest] = fingerprintBits(hash) | tick;
  }

  /** Whether the key was dropped within the window; it is forgotten by being asked. */
  take(hash: number): boolean {
    if (this.pageCount === 0) return false;
    const bucket = this.bucketOf(hash);
    const wanted = fingerprintBits(hash);
    for (let slot = bucket; slot < bucket + SLOTS; slot++) {
      const word = this.words[slot]!;
      if ((word & ~TICK_MASK) !== wanted || word === 0) continue;
      this.words[slot] = 0;
      return ((this.words[W.GHOST_TICK]! - word) & TICK_MASK) < WINDOW_TICKS;
    }
    return false;
  }

  private advanceClock(bytes: number, windowBytes: number): void {
    const tickBytes = Math.max(1, Math.floor(windowBytes / WINDOW_TICKS));
    const total = this.words[W.GHOST_BYTES]! + bytes;
    const ticks = Math.floor(total / tickBytes);
    this.words[W.GHOST_BYTES] = total - ticks * tickBytes;
    this.words[W.GHOST_TICK] = (this.words[W.GHOST_TICK]! + ticks) & TICK_MASK;
  }

  /** The page by the fingerprint's bits, the bucket within it by the low bits. */
  private bucketOf(hash: number): number {
    const count = this.pageCount;
    const level = count <= 1 ? 0 : (1 << (32 - Math.clz32(count - 1))) - 1;
    let index = (hash >>> 16) & level;
    if (index >= count) index &= level >>> 1;
    return (this.words[this.mapWord + index]! << this.pageWordShift) + (hash & this.bucketMask) * SLOTS;
  }
}

/** The upper half of a slot; never 0 together with a tick of 0, which would mean an empty slot. */
function fingerprintBits(hash: number): number {
  return (hash & ~TICK_MASK) === 0 ? 1 << 16 : hash & ~TICK_MASK;
}
