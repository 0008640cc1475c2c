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
  /** The first time; the process is to end with this code when it has drained. */
  drain(reason: string, exitCode: number): void;
  /** It drains already: nothing is to be done. */
  repeated(reason: string): void;
  /** Somebody does not want to wait. */
  endAtOnce(exitCode: number): void;
}

/** Returns what drains for a reason of our own. */
export function onEnd({
  drain,
  repeated,
  endAtOnce,
}: EndHandlers): (reason: string, exitCode: number) => void {
  let drainingSince = Infinity;
  const end = (reason: string, exitCode: number) => {
    if (drainingSince < Infinity) return repeated(reason);
    drainingSince = performance.now();
    drain(reason, exitCode);
  };
  for (const [signal, number] of Object.entries(SIGNAL_NUMBERS))
    process.on(signal, () => {
      if (performance.now() - drainingSince > SAME_CAUSE_MS) endAtOnce(EXIT_SIGNAL_BASE + number);
      else end(signal, 0);
    });
  // It is noticed late, so it says nothing about anybody's patience.
  onNpxEnded(() => end("the end of npx", 0));
  return end;
}
