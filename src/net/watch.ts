/**
 * Watches over all connections of a worker with one timer: who waits too long for its client is ended, and when all together
 * hold too much, who holds most is.
 *
 * No timer for each: any byte would put that off, be it one a second of a message that never ends, and who is paused
 * because its client does not read has none to wait for.
 */

/** What is watched: a WebSocket's session, or a connection that speaks HTTP. */
export interface Watched {
  /** Pings of many do not leave in the same look: spread by this. */
  readonly number: number;
  /** Counts this look, and returns how many there have been since the client last did its part. */
  looksWithoutClient(): number;
  /** Asks the client for a sign. */
  ping(): void;
  /** Ends it: the client does not do its part. */
  cut(): void;
  /** Bytes that wait here, of what came in and what is to go out. */
  heldBytes(): number;
  /** Ends it because all together hold too much. */
  shed(): void;
}

/** The timeout is counted in looks, not by a clock: a process that was stopped for a while blames nobody for it. */
export const LOOKS_MAX = 60;
/** Who was not heard of for so many looks is pinged, not all in the same look. */
const PING_AT = 30;
const PING_SPREAD = 15;

export interface WatchLimits {
  readonly clientTimeoutMs: number;
  readonly bufferedBytesMax: number;
}

/** @param onEnded told of each that was ended; returns what stops the watch */
export function startWatch(
  all: ReadonlySet<Watched>,
  limits: WatchLimits,
  onEnded: (ended: Watched) => void,
): () => void {
  const timer = setInterval(() => {
    for (const one of all) if (!look(one)) onEnded(one);
    for (const one of shed(all, limits.bufferedBytesMax)) onEnded(one);
  }, limits.clientTimeoutMs / LOOKS_MAX);
  return () => clearInterval(timer);
}

/** One look at one of them; false when that ended it. */
export function look(one: Watched): boolean {
  const looks = one.looksWithoutClient();
  if (looks >= LOOKS_MAX) {
    one.cut();
    return false;
  }
  if (looks === PING_AT + (one.number % PING_SPREAD)) one.ping();
  return true;
}

/** Ends those that hold most first, until all together hold at most `bytesMax`; yields each. */
export function* shed(all: Iterable<Watched>, bytesMax: number): Generator<Watched> {
  let held = 0;
  for (const one of all) held += one.heldBytes();
  if (held <= bytesMax) return;
  const largestFirst = [...all].sort((a, b) => b.heldBytes() - a.heldBytes());
  for (const one of largestFirst) {
    if (held <= bytesMax) return;
    held -= one.heldBytes();
    one.shed();
    yield one;
  }
}
