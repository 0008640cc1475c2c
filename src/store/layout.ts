/**
 * The map of one shard's block of memory: which word means what, and how many bytes each part takes.
 * Everything in a block is an offset, a counter or a byte of a key or value, so a block means the same in every
 * thread and would mean the same in another process.
 *
 *   page 0 …           header, then 16 bytes a page of page notes, the table's page map, the ghost's page map
 *   page metaPages …   the pool: every page belongs to the table, the ghost, one of the rings, or to nobody
 *
 * Page notes (16 bytes): next page in its ring (u32) │ offset of the first entry that starts in it (u32) │
 * earliest expiry of an entry that starts in it (f64, ms)
 *
 * Invariant: page number 0 holds the header, so 0 always means "no page" and offset 0 "no entry".
 */

import { TYPE_TEXT_BYTES_MAX } from "./value-type";

/** Written into every block; a block with another number is not ours to read. */
export const LAYOUT_VERSION = 6;

/** Words (32 bits) of the header. Whoever takes the lock writes the counters beside it (C) in the same cache line. */
export const W = {
  LOCK: 0,
  MUTATING: 1,
  LAYOUT: 16,
  PAGE_SHIFT: 18,
  PAGE_COUNT: 19,
  META_PAGES: 20,
  PAGE_FRESH: 21,
  PAGE_FREED: 22,
  PAGE_FREE_COUNT: 23,
  PAGE_UNTOUCHED: 24,
  SWEEP_PAGE: 25,
  CREDIT: 26,
  TABLE_MASK: 32,
  TABLE_SPLIT: 33,
  TABLE_PAGES: 34,
  TABLE_ENTRIES: 35,
  GHOST_PAGES: 36,
  GHOST_TICK: 37,
  GHOST_BYTES: 38,
  INTENT_AT: 40,
  INTENT_BYTES: 41,
  INTENT_SOURCE: 42,
  INTENT_TARGET: 43,
  INTENT_DONE: 44,
  INTENT_FROM: 45,
  RINGS: 48,
} as const;

/**
 * The three rings, in the order in which a walk visits them: an entry only ever changes to a later one.
 * GUEST: entries too big for the small ring; SMALL: new ones; MAIN: those that were read again.
 */
export const RingId = { GUEST: 0, SMALL: 1, MAIN: 2 } as const;
export type RingId = (typeof RingId)[keyof typeof RingId];
export const RING_COUNT = 3;
export const RING_WORDS = 16;

/** Pages that stay out of the rings' reach: the half-filled ends of each, and three for moving. */
export const SPARE_PAGES = 2 * RING_COUNT + 3;

/**
 * Words of one ring, relative to W.RINGS + RING_WORDS * its id. HEAD and TAIL are cursors (ring.ts), the others follow from
 * what lies between the two.
 */
export const R = {
  HEAD: 0,
  TAIL: 1,
  TAIL_SEQUENCE: 2,
  BYTES: 3,
  LIVE: 4,
  PAGES: 5,
} as const;

/**
 * Counters: 64-bit floats, exact up to 2^53, index into the block seen as Float64Array. Those that a get or put
 * writes share the lock's cache line: a core that comes to a shard after another fetches one line, not three.
 */
export const C = {
  VERSION: 1,
  HITS: 2,
  MISSES: 3,
  PUTS: 4,
  PAYLOAD: 5,
  BYTES_ADMITTED: 6,
  /** Nothing expires before this time (ms). */
  NEXT_EXPIRY: 7,
  DELETES: 64,
  EVICTIONS: 65,
  EXPIRATIONS: 66,
  BYTES_COPIED: 67,
  STALLS: 68,
  PROMISE_BREAKS: 69,
  RECOVERIES: 70,
  ENTRIES_LOST: 71,
  LOCK_WAITS: 72,
  ENTRIES_KEPT: 73,
  SHARDS_LOST: 74,
} as const;

export const HEADER_BYTES = 1024;
export const PAGE_NOTE_BYTES = 16;
/** What the header keeps for each page: its note, and a place in the table's and in the ghost's page map. */
export const PAGE_OVERHEAD_BYTES = PAGE_NOTE_BYTES + 4 + 4;
/** A table bucket and a ghost bucket are one cache line each. */
export const BUCKET_BYTES = 64;
export const SLOTS_PER_BUCKET = 8;
/** Above 2 GiB a typed array's index leaves the fast path of the engine. */
export const SHARD_BYTES_MAX = 2 ** 31 - 2 ** 20;
export const SHARD_BYTES_MIN = 256 * 1024;
export const PAGE_BYTES_MIN = 512;
const PAGE_BYTES_MAX = 256 * 1024;
/** Pages aimed at for a shard: their partly filled ends are what paging costs, so enough of them keep that small. */
const PAGES_WANTED = 2048;

export interface ShardLayout {
  readonly shardBytes: number;
  readonly pageShift: number;
  readonly pageBytes: number;
  /** All pages, the ones that hold the header included. */
  readonly pageCount: number;
  readonly metaPages: number;
  /** Word where the page notes start, and the two page maps. */
  readonly notesWord: number;
  readonly tableMapWord: number;
  readonly ghostMapWord: number;
}

/**
 * Lays a shard out.
 * @param shardBytes bytes the shard may use in all, SHARD_BYTES_MIN to SHARD_BYTES_MAX
 * @param pageBytes power of two; chosen from the size when absent (tests choose tiny ones, so that wraps are common)
 */
export function layoutOf(shardBytes: number, pageBytes = pageBytesFor(shardBytes)): ShardLayout {
  const pageShift = shiftOf(pageBytes);
  if (pageBytes !== 1 << pageShift || pageBytes < PAGE_BYTES_MIN)
    throw new RangeError(`page size ${pageBytes}: a power of two from ${PAGE_BYTES_MIN}`);
  if (shardBytes > SHARD_BYTES_MAX)
    throw new RangeError(`shard of ${shardBytes} bytes: at most ${SHARD_BYTES_MAX}`);
  const pageCount = Math.floor(shardBytes / pageBytes);
  const metaBytes = HEADER_BYTES + pageCount * PAGE_OVERHEAD_BYTES;
  const metaPages = Math.ceil(metaBytes / pageBytes);
  if (pageCount - metaPages < 24)
    throw new RangeError(`shard of ${shardBytes} bytes is too small for pages of ${pageBytes}`);
  const notesWord = HEADER_BYTES / 4;
  const tableMapWord = notesWord + (pageCount * PAGE_NOTE_BYTES) / 4;
  return {
    shardBytes: pageCount * pageBytes,
    pageShift,
    pageBytes: 1 << pageShift,
    pageCount,
    metaPages,
    notesWord,
    tableMapWord,
    ghostMapWord: tableMapWord + pageCount,
  };
}

/** log2, rounded down. Not Math.log2: its result stays a double in the engine, and every shift by it is converted first. */
export function shiftOf(number: number): number {
  return 31 - Math.clz32(number);
}

function pageBytesFor(shardBytes: number): number {
  const wanted = 1 << shiftOf(shardBytes / PAGES_WANTED);
  return Math.min(PAGE_BYTES_MAX, Math.max(PAGE_BYTES_MIN, wanted));
}

/**
 * Largest value, in bytes, that a shard of this size always takes: a quarter of it, so that three
 * such entries and all that the shard needs beside them still fit.
 */
export function valueBytesMaxFor(shardBytes: number): number {
  return Math.floor(shardBytes / 4);
}

/** Bytes of the largest entry that a shard of this size has to take: value, key, type, header, padding, and the pad before it. */
export function entryBytesMaxFor(shardBytes: number): number {
  return (
    valueBytesMaxFor(shardBytes) + Math.min(65_535, Math.floor(shardBytes / 4)) + TYPE_TEXT_BYTES_MAX + 64
  );
}
