/** Time, so that tests can make it pass. */

export interface Clock {
  /** Milliseconds; only differences count. */
  now(): number;
  /** Calls once, after so many milliseconds; returns what prevents it. */
  after(ms: number, then: () => void): () => void;
}

export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  after(ms, then) {
    const timer = setTimeout(then, Math.max(0, Math.ceil(ms)));
    return () => clearTimeout(timer);
  },
};
