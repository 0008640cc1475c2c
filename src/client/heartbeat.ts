/**
 * Finds a connection that is half-open: the peer is gone, and nothing will ever say so.
 *
 * It counts periods (half of heartbeatMs each) in which nothing was received. After two, a request has to be in flight, so that an
 * answer is due; after four without one, the connection is given up. Periods are counted instead of milliseconds, so that
 * a thread that was busy for long, or a page that slept, first reads what has come in meanwhile.
 */

export const ASK_AFTER = 2;
export const DEAD_AFTER = 4;

export class Heartbeat {
  private quietPeriods = 0;
  private heardInPeriod = true;
  private unsentBytes = 0;

  /** A new connection begins. */
  begin(): void {
    this.quietPeriods = 0;
    this.heardInPeriod = true;
    this.unsentBytes = 0;
  }

  /** Something came in. */
  heard(): void {
    this.heardInPeriod = true;
  }

  /**
   * A period ends.
   * @param unsentBytes what waits for the network; if some of it left, the peer is taking it
   * @returns how many periods were quiet up to now
   */
  periodEnds(unsentBytes: number): number {
    const isAlive = this.heardInPeriod || unsentBytes < this.unsentBytes;
    this.heardInPeriod = false;
    this.unsentBytes = unsentBytes;
    return (this.quietPeriods = isAlive ? 0 : this.quietPeriods + 1);
  }
}
