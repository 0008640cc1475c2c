/**
 * The store's clock: wall time when the server started, plus what a monotonic clock has counted since. Setting the
 * system's clock makes nothing expire early or late. Whole milliseconds.
 */
export type Clock = () => number;

/** A clock that shows `now` at this moment. Threads have monotonic clocks of their own, so each makes its own. */
export function clockFrom(now: number): Clock {
  const offset = now - performance.now();
  return () => Math.floor(offset + performance.now());
}
