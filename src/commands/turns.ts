/**
 * Whose turn it is on a worker. A connection's turn continues, over any number of messages, until another connection is served. So a
 * connection that keeps the worker to itself is noticed, at no cost for the others.
 *
 * A connection whose turn is over waits here. Waiting connections continue in the order in which they came, for one slice of time.
 * Then the event loop serves what has come in meanwhile, so that a connection with little to do never waits for all those
 * that have much.
 */

/** Time for all that wait here, before the event loop looks at the sockets again. */
const SLICE_MS = 2;

export class Turns {
  private holder: object | null = null;
  private readonly waiting: (() => void)[] = [];
  private isArmed = false;
  private sliceEnds = 0;

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

  /**
   * Goes on with what has its answer, in this slice or in a later one. Where calls are refused at once, connections that make many of them
   * would else hand the worker to each other, and never to the event loop.
   */
  resume(goOn: () => void): void {
    this.arm();
    if (this.clock() < this.sliceEnds) goOn();
    else this.waiting.push(goOn);
  }

  /** Like wait, as a promise. */
  next(): Promise<void> {
    return new Promise((resolve) => this.wait(resolve));
  }

  private arm(): void {
    if (this.isArmed) return;
    this.isArmed = true;
    this.sliceEnds = this.clock() + SLICE_MS;
    setImmediate(() => this.run());
  }

  private run(): void {
    this.isArmed = false;
    const until = this.clock() + SLICE_MS;
    // One that waits again while this runs has to wait for the next slice.
    for (let left = this.waiting.length; left > 0; left--) {
      this.holder = null;
      this.waiting.shift()!();
      if (this.clock() >= until) break;
    }
    if (this.waiting.length > 0) this.arm();
  }
}
