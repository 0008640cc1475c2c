/**
 * Watches over all sessions of a worker with one timer: who waits too long for its client is ended, and when all together
 * hold too much, who holds most is.
 *
 * Bun's own idle timeout does neither: any byte puts it off, be it one a second of a frame that never ends, and for a
 * socket that is paused because its client does not read, it stands still.
 */
import type { Session } from "./session";

/** The timeout is counted in looks, not by a clock: a process that was stopped for a while blames nobody for it. */
export const LOOKS_MAX = 60;
/** Who was not heard of for so many looks is pinged, not all in the same look. */
const PING_AT = 30;
const PING_SPREAD = 15;

export interface WatchLimits {
  readonly clientTimeoutMs: number;
  readonly bufferedBytesMax: number;
}

/** @param onEnded told of each session that was ended; returns what stops the watch */
export function startWatch(
  sessions: Iterable<Session>,
  limits: WatchLimits,
  onEnded: () => void,
): () => void {
  const timer = setInterval(() => {
    for (const session of sessions) if (!look(session)) onEnded();
    for (const _ of shed(sessions, limits.bufferedBytesMax)) onEnded();
  }, limits.clientTimeoutMs / LOOKS_MAX);
  return () => clearInterval(timer);
}

/** One look at one session; false when that ended it. */
export function look(session: Session): boolean {
  const looks = session.looksWithoutClient();
  if (looks >= LOOKS_MAX) {
    session.cut();
    return false;
  }
  if (looks === PING_AT + (session.number % PING_SPREAD)) session.ping();
  return true;
}

/** Ends sessions, those that hold most first, until all together hold at most `bytesMax`; yields each. */
export function* shed(sessions: Iterable<Session>, bytesMax: number): Generator<Session> {
  let held = 0;
  for (const session of sessions) held += session.heldBytes();
  if (held <= bytesMax) return;
  const largestFirst = [...sessions].sort((a, b) => b.heldBytes() - a.heldBytes());
  for (const session of largestFirst) {
    if (held <= bytesMax) return;
    held -= session.heldBytes();
    session.shed();
    yield session;
  }
}
