/**
 * When the process is to end: SIGINT, SIGTERM, or the end of npx. One Ctrl-C may arrive several times, since the terminal
 * signals every process in the foreground and `bun run`, npx and timeout pass theirs on to us as well.
 */
import { onNpxEnded } from "./npx";

const EXIT_SIGNAL_BASE = 128;
const SIGNAL_NUMBERS = { SIGINT: 2, SIGTERM: 15 } as const;
/** Signals that follow the first within this time have the same cause. */
const SAME_CAUSE_MS = 500;

export interface EndHandlers {
  /** The first time. */
  drain(reason: string): void;
  /** The same cause once more: nothing is to be done. */
  repeated(reason: string): void;
  /** Somebody does not want to wait. */
  endAtOnce(exitCode: number): void;
}

export function onEnd({ drain, repeated, endAtOnce }: EndHandlers): void {
  let drainingSince: number | null = null;
  const begin = (reason: string) => {
    drainingSince = performance.now();
    drain(reason);
  };
  for (const [signal, number] of Object.entries(SIGNAL_NUMBERS))
    process.on(signal, () => {
      if (drainingSince === null) begin(signal);
      else if (performance.now() - drainingSince < SAME_CAUSE_MS) repeated(signal);
      else endAtOnce(EXIT_SIGNAL_BASE + number);
    });
  // Its end is noticed late, and nobody's second wish.
  onNpxEnded(() => (drainingSince === null ? begin : repeated)("the end of npx"));
}
