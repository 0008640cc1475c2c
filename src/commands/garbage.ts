/**
 * Tells the collector when there is enough to collect. JavaScriptCore counts the store's shared memory as part of the heap, and
 * so takes a heap of a few megabytes for one of gigabytes: left to itself it waits until garbage of that order has gathered.
 * Requests and messages leave a few kilobytes each, which then are memory that the store could have had, and are long out of the
 * processor's caches when they are used again.
 */

/** Garbage for which a collection is worth its time, in a worker without sessions. */
const GARBAGE_BYTES_MIN = 2 << 20;
/** What a session keeps alive: a collection looks at all of it, and so has to be rarer the more sessions there are. */
const SESSION_BYTES = 4096;

/**
 * Ended sessions for which the whole heap is worth looking at: they have lived too long for a collection that goes on beside the
 * work, which looks at what is new.
 */
const SESSIONS_ENDED_MIN = 8192;

/** Of single pieces that are large, together: one that outlives the making of the next is old by then, as a session is. */
const LARGE_PIECE_BYTES = 1 << 20;
const LARGE_BYTES_MIN = 8 << 20;

/**
 * Calls to a store of record for which that is worth it. One leaves about 3 KB, answered or not, and while it is open a collection beside
 * the work may come: then it is old, and such collections never look at it again.
 */
const CALLS_MIN = 16_384;

export class Garbage {
  private bytes = 0;
  private largeBytes = 0;
  private sessionsEnded = 0;
  private calls = 0;

  constructor(
    private readonly sessions: () => number,
    /** Begins a collection that goes on beside the work. */
    private readonly collect: () => void = () => Bun.gc(false),
    /** Collects everything, at once. */
    private readonly collectAll: () => void = () => Bun.gc(true),
  ) {}

  /** A session is of no use any more. So many at once as are still open cost more to look at, and so it is rarer. */
  noteSessionEnd(): void {
    this.sessionsEnded++;
    if (this.sessionsEnded < Math.max(SESSIONS_ENDED_MIN, 2 * this.sessions())) return;
    this.sessionsEnded = 0;
    this.collectAll();
  }

  /** A call to a store of record begins, and will be of no use soon. */
  noteCall(): void {
    if (++this.calls < CALLS_MIN) return;
    this.calls = 0;
    this.collectAll();
  }

  /** So many bytes on the heap are of no use any more, or soon will be. */
  note(bytes: number): void {
    if (bytes >= LARGE_PIECE_BYTES) this.largeBytes += bytes;
    if (this.largeBytes >= LARGE_BYTES_MIN) {
      this.largeBytes = 0;
      this.collectAll();
    }
    this.bytes += bytes;
    if (this.bytes < GARBAGE_BYTES_MIN || this.bytes < this.sessions() * SESSION_BYTES) return;
    this.bytes = 0;
    this.collect();
  }
}
