/**
 * Reads the stats each second, one reading at a time: the next is asked for when the last has come, so a slow server or a tab in the
 * background never makes them pile up.
 */
import { type Cache, CacheError } from "../client/client";
import type { Stats } from "./stats";

const PERIOD_MS = 1000;
/** The stats have a part for each shard: with more than so many they are read less often. */
const SHARDS_EACH_SECOND = 256;

/**
 * Until the connection is closed for good, or the token is found not to allow it.
 * @param onStats is given a reading, and when it was taken, in ms
 */
export async function pollStats(cache: Cache, onStats: (stats: Stats, at: number) => void): Promise<void> {
  for (;;) {
    const startedAt = performance.now();
    const period = await readOnce(cache, onStats);
    if (period === null) return;
    const pauseMs = Math.max(0, startedAt + period - performance.now());
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** The time up to the next reading; null where there will be none, because the connection is closed for good. */
async function readOnce(cache: Cache, onStats: (stats: Stats, at: number) => void): Promise<number | null> {
  try {
    // The page comes from the server that it asks: they have one form of stats.
    const stats = (await cache.stats()) as unknown as Stats;
    onStats(stats, Date.now());
    return PERIOD_MS * Math.ceil(stats.shards.length / SHARDS_EACH_SECOND);
  } catch (error) {
    if (!(error instanceof CacheError)) throw error;
    // Whatever else it is, the next reading shows whether it is over.
    return ["closed", "unauthorized", "forbidden"].includes(error.code) ? null : PERIOD_MS;
  }
}
