/** How long to wait before a dead worker is replaced: longer each time, unless it had lived for a while. */
const DELAY_MS_MIN = 50;
const DELAY_MS_MAX = 10_000;
/** A worker that lived this long did not die of what its predecessor died of. */
const LIVED_WELL_MS = 30_000;

export class Backoff {
  private delayMs = 0;

  /** Delay before the next start, given how long the dead one lived. The first is 0. */
  next(livedMs: number): number {
    const delay = livedMs >= LIVED_WELL_MS ? 0 : this.delayMs;
    this.delayMs = Math.min(DELAY_MS_MAX, Math.max(DELAY_MS_MIN, delay * 2));
    return delay;
  }
}
