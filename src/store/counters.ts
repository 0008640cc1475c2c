/**
 * What a shard tells about itself: a reading of its counters, and sums of such readings.
 * Counters are written under the shard's lock and read without it: each is one aligned 64-bit word, so a reading may
 * be a moment old but is never torn.
 */

export interface ShardStats {
  entries: number;
  /** Key and value bytes of the entries. */
  bytesPayload: number;
  /** Bytes that hold entries, dead ones not yet reclaimed included, and what the shard needs beside them. */
  bytesUsed: number;
  /** Bytes of live entries with their overhead: what FILL_PROMISED speaks of. */
  bytesLive: number;
  bytesMax: number;
  hits: number;
  misses: number;
  puts: number;
  deletes: number;
  evictions: number;
  expirations: number;
  /** Bytes of entries written by puts, and bytes of entries moved to keep them. */
  bytesAdmitted: number;
  bytesCopied: number;
  /** Puts that had to move more than their credit; entries dropped against the promise. Both should stay 0. */
  stalls: number;
  promiseBreaks: number;
  /** Times the shard was taken from a dead worker, and the entries that were lost with it. */
  recoveries: number;
  entriesLost: number;
  lockWaits: number;
  /** Entries that an earlier process left and this one took over. */
  entriesKept: number;
  /** Times the shard was emptied because it could not be repaired. */
  shardsLost: number;
}

function noStats(): ShardStats {
  return {
    entries: 0,
    bytesPayload: 0,
    bytesUsed: 0,
    bytesLive: 0,
    bytesMax: 0,
    hits: 0,
    misses: 0,
    puts: 0,
    deletes: 0,
    evictions: 0,
    expirations: 0,
    bytesAdmitted: 0,
    bytesCopied: 0,
    stalls: 0,
    promiseBreaks: 0,
    recoveries: 0,
    entriesLost: 0,
    lockWaits: 0,
    entriesKept: 0,
    shardsLost: 0,
  };
}

export function sumStats(all: readonly ShardStats[]): ShardStats {
  const sum = noStats();
  for (const stats of all) {
    for (const name of Object.keys(sum) as (keyof ShardStats)[]) sum[name] += stats[name];
  }
  return sum;
}
