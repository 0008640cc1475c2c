/** Callers who wait for one result together, each until its own deadline or signal. */
import type { Clock } from "./clock";
import { CacheError } from "./errors";
import { Signals } from "./signals";

export interface Patience {
  timeoutMs: number;
  /** When that is over, on the client's clock. */
  deadline: number;
  signal: AbortSignal | undefined;
}

type GiveUp = (error: CacheError) => void;

export class Waits {
  private readonly signals = new Signals<GiveUp>((waiting) => {
    for (const giveUp of waiting) giveUp(new CacheError("aborted", "aborted by its signal"));
  });

  constructor(
    private readonly clock: Clock,
    /** Why there may be no answer now. */
    private readonly obstacle: () => string,
  ) {}

  /** What becomes of the result, unless this caller's time or signal ends its waiting before. */
  share<T>(result: Promise<T>, { timeoutMs, deadline, signal }: Patience): Promise<T> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        stopTimer();
        if (signal !== undefined) this.signals.remove(signal, giveUp);
      };
      const giveUp = (error: unknown) => {
        leave();
        reject(error);
      };
      const stopTimer = this.clock.after(deadline - this.clock.now(), () =>
        giveUp(new CacheError("timeout", `no answer within ${timeoutMs} ms${this.obstacle()}`)),
      );
      if (signal !== undefined) this.signals.add(signal, giveUp);
      result.then((answer) => {
        leave();
        resolve(answer);
      }, giveUp);
    });
  }
}
