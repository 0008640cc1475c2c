/**
 * How much of the garbage-collected heap a piece of work takes. After a full collection, new cells first fill the holes and
 * then need new blocks, so what the heap's capacity grows by is what was allocated, less the holes, until the next
 * collection. Work that allocates nothing leaves the capacity as it is.
 */
import { heapStats } from "bun:jsc";

/** Growth of the heap's capacity while `run` runs, bytes. */
export function heapGrowth(run: () => void): number {
  Bun.gc(true);
  const before = heapStats().heapCapacity;
  run();
  return heapStats().heapCapacity - before;
}

/** Enough growth that the holes no longer matter, and less than what makes the collector run. */
const GROWTH_WANTED = 1 << 20;
const TIMES_START = 1 << 10;
const TIMES_MAX = 1 << 20;

/** Bytes of the heap that one call of `run` allocates, to within a few hundredths of a byte where it is none. */
export function bytesPerCall(run: () => void): number {
  for (let times = TIMES_START; ; times *= 2) {
    const growth = heapGrowth(() => {
      for (let i = 0; i < times; i++) run();
    });
    if (growth >= GROWTH_WANTED || times === TIMES_MAX) return Math.max(0, growth) / times;
  }
}
