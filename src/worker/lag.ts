/**
 * How late the event loop of a worker is: a timer says when it is to turn, and what it comes later than that, everything else
 * on this worker has waited as well. The longest delay of this window and of the one before is kept, so that a look every
 * half minute misses none.
 */
import { Count, type Tally } from "../commands/tally";
import type { Clock } from "./clock";

const INTERVAL_MS = 100;
export const LAG_WINDOW_MS = 15_000;

/** The longest delay of late. */
export class LagWindow {
  private endsAt = 0;
  private last = 0;
  private current = 0;

  /** Takes a delay in. @param now ms; it never goes back. @returns the longest of at least a window, and at most of two */
  note(delayMs: number, now: number): number {
    if (now >= this.endsAt) {
      this.last = now < this.endsAt + LAG_WINDOW_MS ? this.current : 0;
      this.current = 0;
      this.endsAt = now + LAG_WINDOW_MS;
    }
    this.current = Math.max(this.current, delayMs);
    return Math.max(this.current, this.last);
  }
}

/** Keeps the two gauges in the worker's row of the tally, as long as the thread lives. @param clock the store's */
export function watchLag(tally: Tally, clock: Clock): void {
  const window = new LagWindow();
  const wait = () => {
    const due = performance.now() + INTERVAL_MS;
    tally.set(Count.LOOP_DUE, clock() + INTERVAL_MS);
    setTimeout(() => {
      const now = performance.now();
      tally.set(Count.LAG_MS, window.note(Math.max(0, now - due), now));
      wait();
    }, INTERVAL_MS);
  };
  wait();
}
