/**
 * Whose turn it is on a worker. A connection's turn goes on as long as nobody else is served in between, over however many
 * messages; so one that keeps the worker to itself is noticed, at no cost for all others.
 *
 * Who has done its share waits here. Those who wait go on in the order in which they came, for as long as a slice, and then
 * the event loop serves what has come in meanwhile: the wait of a connection with little to do does not grow with the number
 * of those that have much.
 */

/** Time for all who wait, between two looks at the sockets. */
const SLICE_MS = 2;

export class Turns {
  private holder: object | null = null;
  private readonly waiting: (() => void)[] = [];
  private isArmed = false;

  constructor(private readonly clock: () => number = () => performance.now()) {}

  /** Takes the turn; false when it was this one's already. */
  take(by: object): boolean {
    if (this.holder === by) return false;
    this.holder = by;
    return true;
  }

  /** Gives up the turn, and calls `goOn` when it is there again. */
  wait(goOn: () => void): void {
    this.waiting.push(goOn);
    this.arm();
  }

  private arm(): void {
    if (this.isArmed) return;
    this.isArmed = true;
    setImmediate(() => this.run());
  }

  private run(): void {
    this.isArmed = false;
    const until = this.clock() + SLICE_MS;
    // Who comes back for more waits for another slice.
    for (let left = this.waiting.length; left > 0; left--) {
      this.holder = null;
      this.waiting.shift()!();
      if (this.clock() >= until) break;
    }
    if (this.waiting.length > 0) this.arm();
  }
}
