/** Time, so that tests can make it pass. */

export interface Clock {
  /** Milliseconds; only differences count. */
  now(): number;
  /** Calls once, after so many milliseconds; returns what prevents it. */
  after(ms: number, then: () => void): () => void;
}

/** No machine sleeps for less, and rounding and pauses do not make the two clocks of a runtime differ by so much. */
const SLEEP_MS_MIN = 250;

/**
 * performance.now stands still while a machine sleeps, on most of them; Date.now does not, but may be set. So time is the
 * first, and when the second has got ahead of it, that was sleep and counts as well.
 */
export class SystemClock implements Clock {
  private sleptMs = 0;
  /** How far the wall clock is ahead of the steady one while both go on. */
  private usualLeadMs: number;

  constructor(
    private readonly steady: () => number = () => performance.now(),
    private readonly wall: () => number = Date.now,
  ) {
    this.usualLeadMs = wall() - steady();
  }

  now(): number {
    const steady = this.steady();
    const aheadMs = this.wall() - steady - this.usualLeadMs;
    if (Math.abs(aheadMs) >= SLEEP_MS_MIN) {
      this.usualLeadMs += aheadMs;
      this.sleptMs += Math.max(0, aheadMs);
    }
    return steady + this.sleptMs;
  }

  after(ms: number, then: () => void): () => void {
    const timer = setTimeout(then, Math.max(0, Math.ceil(ms)));
    return () => clearTimeout(timer);
  }
}
