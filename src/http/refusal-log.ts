/**
 * Log lines about refused requests. An operator who wonders why a page or a script gets 401 or 403 finds a line at the usual
 * level; somebody who sends a million of them writes only a few: each reason has at most one line a minute there, with the
 * number of those that were left out. At debug level every refusal has its line.
 */
import type { Log } from "../system/log";

const QUIET_MS = 60_000;
/** Reasons remembered; there are about a dozen, and one more for each set of verbs that scoped tokens have. */
const REASONS_MAX = 64;

/** Who was refused what: for the log, where neither a token nor a key is ever written. */
export interface Refused {
  /** The socket's peer: anybody can write an address into a header. */
  readonly address: string;
  readonly method: string;
}

interface Reason {
  saidAt: number;
  leftOut: number;
}

export class RefusalLog {
  private readonly reasons = new Map<string, Reason>();

  constructor(
    private readonly log: Pick<Log, "info" | "debug">,
    /** Milliseconds; only differences count. */
    private readonly clock: () => number,
  ) {}

  /** @param message what the client is answered with */
  note({ address, method }: Refused, status: number, message: string): void {
    const line = `refused ${method} from ${address} with ${status}: ${message}`;
    this.log.debug(line);
    const now = this.clock();
    const reason = this.reasons.get(message);
    if (reason === undefined) {
      if (this.reasons.size >= REASONS_MAX) this.reasons.clear();
      this.reasons.set(message, { saidAt: now, leftOut: 0 });
    } else if (now - reason.saidAt < QUIET_MS) {
      reason.leftOut++;
      return;
    }
    const since =
      reason === undefined || reason.leftOut === 0
        ? ""
        : ` (${reason.leftOut} more since the last such line)`;
    if (reason !== undefined) {
      reason.saidAt = now;
      reason.leftOut = 0;
    }
    this.log.info(line + since);
  }
}
