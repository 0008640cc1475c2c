/** Exit codes of the command line (sysexits.h, and 128 and a signal's number), and which of them an error of the client is. */
import type { CacheErrorCode } from "../client/client";

export const Exit = {
  OK: 0,
  MISS: 1,
  /** The bench had wrong or failed answers. */
  WRONG: 2,
  USAGE: 64,
  UNAVAILABLE: 69,
  SOFTWARE: 70,
  OUTPUT: 74,
  NO_PERMISSION: 77,
  INTERRUPTED: 130,
  /** Nobody reads the output any more. */
  PIPE: 141,
} as const;

/** For the help. */
export const EXIT_CODES =
  "Exit codes: 0; 1 for a miss, or a condition that does not hold; 64 for wrong usage; 69 when the server can't be\n" +
  "reached; 70 when it is at fault; 74 when the output can't be written; 77 when the token is missing, wrong, or may\n" +
  "not do this; 130 after Ctrl-C; 141 when nobody reads the output any more.";

/** What is not here is something that was asked for in a way that no server takes. */
const EXITS: { [Code in CacheErrorCode]?: number } = {
  refused: Exit.UNAVAILABLE,
  untrusted: Exit.UNAVAILABLE,
  timeout: Exit.UNAVAILABLE,
  disconnected: Exit.UNAVAILABLE,
  closed: Exit.UNAVAILABLE,
  busy: Exit.UNAVAILABLE,
  unauthorized: Exit.NO_PERMISSION,
  forbidden: Exit.NO_PERMISSION,
  internal: Exit.SOFTWARE,
  malformed: Exit.SOFTWARE,
  "unknown-op": Exit.SOFTWARE,
  // The only signal that requests are given is that of Ctrl-C.
  aborted: Exit.INTERRUPTED,
};

export function exitOf(code: CacheErrorCode): number {
  return EXITS[code] ?? Exit.USAGE;
}
