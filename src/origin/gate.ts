/**
 * How many values may be on their way from the origin at once. Nobody knows how long one is before it is here, so each is taken to be as long
 * as --max-value; who comes when all places are taken waits for one, in turn. Places become free at the latest when a call's time is over,
 * so nobody waits much longer than a call may take.
 *
 * Invariant: somebody waits only while every place is taken.
 */
import { OriginError } from "./faults";

/** Who waits beyond that is refused at once. */
export const WAITING_MAX = 65_536;

interface Waiter {
  readonly deadline: number;
  readonly enter: () => void;
  readonly refuse: (error: Error) => void;
}

export interface GateOptions {
  readonly places: number;
  readonly timeoutMs: number;
  /** ms, monotonic */
  readonly clock: () => number;
}

export class Gate {
  private taken = 0;
  /** Oldest first. */
  private readonly waiting = new Set<Waiter>();

  constructor(private readonly options: GateOptions) {}

  /** Does the work when there is a place. Rejects with OriginError (BUSY) when there is none in time, or with what the work does. */
  async pass<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.taken < this.options.places) this.taken++;
    else await this.turn();
    try {
      return await work();
    } finally {
      this.leave();
    }
  }

  /** Throws where the state contradicts itself; for tests. */
  invariants(): void {
    if (this.taken < 0 || this.taken > this.options.places) throw new Error(`${this.taken} places are taken`);
    if (this.waiting.size > 0 && this.taken < this.options.places) throw new Error("somebody waits in vain");
  }

  /** The place of one who has left is handed on, and stays taken. */
  private turn(): Promise<void> {
    const { timeoutMs, clock } = this.options;
    if (this.waiting.size >= WAITING_MAX) return Promise.reject(full());
    return new Promise((enter, refuse) => this.waiting.add({ deadline: clock() + timeoutMs, enter, refuse }));
  }

  private leave(): void {
    const now = this.options.clock();
    for (const next of this.waiting) {
      this.waiting.delete(next);
      if (now <= next.deadline) return next.enter();
      next.refuse(full());
    }
    this.taken--;
  }
}

function full(): OriginError {
  return new OriginError("full", "origin: too many values are asked for at once; try again");
}
