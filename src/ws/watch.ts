/**
 * Watches all sessions of a worker with one timer. A session that has waited too long for its client is cut; when all sessions
 * together hold too much, those that hold most are shed.
 *
 * Bun's own idle timeout does neither: every byte restarts it, even one a second of a frame that never ends, and it does not
 * run for a socket that is paused because its client does not read.
 */
import type { Session } from "./session";

/** The timeout is counted in looks, not by a clock, so that no session is cut because the process was stopped for a while. */
export const LOOKS_MAX = 60;
/** A session whose client was not heard of for so many looks is pinged; they are spread, so that not all pings leave in one look. */
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
