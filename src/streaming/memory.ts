/**
 * The memory that all workers share for watches and leases. It is about connections that are open now, so it stands beside the
 * store's blocks and not in them: in another process, or after a restart, none of it would mean anything.
 *
 *   common          bells.ts (a line a worker) │ heads of the journals │ prefixes.ts │ interest words of all shards
 *   shards[n]       leases │ journal ring of shard n: written under the lock of shard n, as is its part of the interest
 */

export interface StreamSizes {
  readonly workers: number;
  readonly shards: number;
  /** Words of interest of each shard; a power of two. */
  readonly interestWords: number;
  /** Ring of each shard's journal; a power of two. */
  readonly journalBytes: number;
  /** Longest key that can be told of. */
  readonly keyBytesMax: number;
  /** For the watches of one worker. */
  readonly watchBytes: number;
}

export interface StreamMemory {
  readonly sizes: StreamSizes;
  readonly common: SharedArrayBuffer;
  readonly shards: readonly SharedArrayBuffer[];
}

/** Where the parts begin, in words. */
export interface StreamLayout {
  readonly bells: number;
  readonly heads: number;
  readonly prefixes: number;
  readonly interest: number;
  readonly commonWords: number;
  readonly leases: number;
  readonly journal: number;
  readonly shardWords: number;
}

/** The memory and where in it is what. */
export interface StreamPlan {
  readonly memory: StreamMemory;
  readonly layout: StreamLayout;
}

/** A word that many cores look at has a cache line of its own. */
export const LINE_WORDS = 16;
/** Word of the first line of the bells. */
export const PREFIX_VERSION = 1;
/** Bells and prefixes name workers by bits of one word: worker n by bit n mod 32, so beyond 32 two share one, and both are told. */
export const WORKER_BITS = 32;
/** Prefixes that are watched at a time, over all connections. */
export const PREFIXES_MAX = 64;
/** Leases that are out at a time, of one shard's keys. */
export const LEASES_MAX = 256;
/** Bytes of a key that a lease keeps, to tell which leases a clear of a prefix voids. */
export const LEASE_KEY_BYTES = 80;
/** See leases.ts. */
export const LEASE_WORDS = 12 + LEASE_KEY_BYTES / 4;

const INTEREST_WORDS_MIN = 16;
const INTEREST_BYTES_PER_WATCH_BYTE = 1 / 64;
const JOURNAL_BYTES = 64 * 1024;
/** So many of the largest entries fit a journal, whatever the largest key. */
const JOURNAL_ENTRIES_MIN = 4;

/** The bit of a worker. */
export function bitOf(worker: number): number {
  return 1 << (worker % WORKER_BITS);
}

/** Bytes of an interest word: a bit for each worker. */
export function interestBytesFor(workers: number): 1 | 2 | 4 {
  if (workers <= 8) return 1;
  return workers <= 16 ? 2 : 4;
}

/** Sizes that fit the settings. */
export function streamSizesFor(settings: {
  workers: number;
  shards: number;
  keyBytesMax: number;
  watchBytes: number;
}): StreamSizes {
  const { workers, shards, keyBytesMax, watchBytes } = settings;
  const words = powerOfTwo(watchBytes * INTEREST_BYTES_PER_WATCH_BYTE);
  return {
    workers,
    shards,
    keyBytesMax,
    watchBytes,
    interestWords: Math.max(INTEREST_WORDS_MIN, words / shards),
    journalBytes: Math.max(JOURNAL_BYTES, 2 * powerOfTwo(JOURNAL_ENTRIES_MIN * keyBytesMax)),
  };
}

/** The largest that is not above. */
function powerOfTwo(number: number): number {
  return 2 ** Math.floor(Math.log2(number));
}

export function streamLayoutOf(sizes: StreamSizes): StreamLayout {
  const { workers, shards, keyBytesMax, interestWords, journalBytes } = sizes;
  const bells = 0;
  const heads = bells + LINE_WORDS * (workers + 1);
  const prefixes = heads + lines(shards);
  const prefixWords = lines(PREFIXES_MAX * (2 + workers + Math.ceil(keyBytesMax / 4)));
  const interest = prefixes + prefixWords;
  const leases = 0;
  const journal = leases + lines(1 + LEASES_MAX * (1 + LEASE_WORDS));
  return {
    bells,
    heads,
    prefixes,
    interest,
    commonWords: interest + lines((shards * interestWords * interestBytesFor(workers)) / 4),
    leases,
    journal,
    shardWords: journal + journalBytes / 4,
  };
}

function lines(words: number): number {
  return Math.ceil(words / LINE_WORDS) * LINE_WORDS;
}

/** The kernel hands out the pages behind it when they are first written. */
export function createStreamMemory(sizes: StreamSizes): StreamMemory {
  const layout = streamLayoutOf(sizes);
  return {
    sizes,
    common: new SharedArrayBuffer(layout.commonWords * 4),
    shards: Array.from({ length: sizes.shards }, () => new SharedArrayBuffer(layout.shardWords * 4)),
  };
}
