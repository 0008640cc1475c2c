/**
 * When a copy may be served, and when it is old: the rules of the near cache, named R1 to R9 where each is kept (R9, the
 * bound, is kept by copies.ts).
 *
 * The guarantee: a value that is served at time T was the cache's value at some moment not earlier than T - maxAgeMs.
 *
 * Why it holds: the server pushes every change of a watched key before the answer to any request that it executes after the
 * change. So when a request that left at `provenAt` has been answered and a copy is still here, the copy was current when
 * that request was executed, which was after `provenAt`. Only this client's clock measures ages; of the server's it is told
 * how long an entry still lives.
 *
 * Invariants: the server watches every key of which there is a copy of this generation. Whoever may store a copy holds, from
 * before the request leaves until its answer was read, a Pending, which hears of every change of the key.
 */
import { Flag, Op, Status } from "../../protocol/wire";
import { isPong, type Reply, textOf, unexpected } from "../codec";
import type { Connection } from "../connection";
import type { CacheError } from "../errors";
import type { NearBounds, RequestOptions } from "../options";
import type { Sent } from "../requests";
import { throwIfAborted } from "../signals";
import type { Waits } from "../waits";
import { Copies, type Copy } from "./copies";

/** For a client without a near cache: the same rules, and no copy is ever held. */
const OFF: NearBounds = { maxBytes: 0, maxAgeMs: 0 };

/** Requests on their way whose answers may be stored as copies of one key. */
export interface Pending {
  readonly key: string;
  /** What is older than this version is not stored; Infinity: nothing is. */
  floor: number;
  /** How many requests there are. */
  users: number;
  /** The one that callers may join, if any. */
  fetch: Fetch | null;
}

interface Fetch {
  readonly startedAt: number;
  readonly result: Promise<Copy>;
}

/** Counts since `connect`. */
export interface NearCounts {
  /** Reads that were answered by a copy. */
  hits: number;
  /** Reads for which the server was asked. */
  misses: number;
  /** Answers of the server that a held copy was still good. */
  revalidations: number;
  /** Copies that the server said were old. */
  invalidations: number;
}

const UTF8 = new TextEncoder();
/** Stands for bytes that are no UTF-8. */
const REPLACEMENT = "\ufffd";
/** Generation of copies that the server may not watch any more: they are revalidated before they are served. */
const UNWATCHED = -1;

export class Rules {
  readonly isOn: boolean;
  readonly copies: Copies;
  readonly counts: NearCounts = { hits: 0, misses: 0, revalidations: 0, invalidations: 0 };
  private readonly maxAgeMs: number;
  private readonly pending = new Map<string, Pending>();
  /** Grows whenever what was watched is not any more. */
  private generation = 0;
  /** A PING of rule 7 is on its way. */
  private isProving = false;

  constructor(
    private readonly connection: Connection,
    private readonly waits: Waits,
    bounds: NearBounds | null,
  ) {
    this.isOn = bounds !== null;
    const { maxBytes, maxAgeMs } = bounds ?? OFF;
    this.copies = new Copies(maxBytes);
    this.maxAgeMs = maxAgeMs;
  }

  /**
   * R1: a copy of this generation, while its entry lives, when the last proof is young enough.
   * @param marginMs the entry must live for longer than this
   */
  find(key: string, marginMs = 0): Copy | undefined {
    const copy = this.copies.get(key);
    if (copy === undefined || copy.generation !== this.generation) return undefined;
    const now = this.connection.clock.now();
    const age = now - this.connection.provenAt;
    if (age > this.maxAgeMs || now >= copy.until - marginMs) return undefined;
    if (age > this.maxAgeMs / 2) this.prove();
    return copy;
  }

  /** Counts a copy as read. */
  served(copy: Copy): Copy {
    copy.isMarked = true;
    this.counts.hits++;
    return copy;
  }

  /** The copy that may be served, else the server's answer as a copy. Fails as a request does. */
  read(key: string, options: RequestOptions): Copy | Promise<Copy> {
    throwIfAborted(options.signal);
    const copy = this.find(key);
    return copy === undefined ? this.ask(key, options) : this.served(copy);
  }

  /** The value as text; kept so, where it is text. */
  textOf(copy: Copy): string | null {
    const { value } = copy;
    if (value === null || typeof value === "string") return value;
    const text = textOf(value);
    if (!text.includes(REPLACEMENT)) this.copies.reshape(copy, text);
    return text;
  }

  /** The value as bytes that the caller may change. */
  bytesOf({ value }: Copy): Uint8Array | null {
    return typeof value === "string" ? UTF8.encode(value) : (value?.slice() ?? null);
  }

  /** R4: a change was pushed. What was sent before it is not for those who ask from now on. */
  changed(key: string, version: number): void {
    const floor = version === 0 ? Infinity : version;
    const copy = this.copies.get(key);
    if (copy !== undefined && copy.version < floor) {
      this.copies.drop(copy);
      this.counts.invalidations++;
    }
    const pending = this.pending.get(key);
    if (pending === undefined) return;
    pending.floor = Math.max(pending.floor, floor);
    pending.fetch = null;
  }

  /**
   * R5: what is under the prefix is old. And no single key is watched any more: the other copies have to be revalidated,
   * and of what is on its way nothing is stored.
   */
  reset(prefix: string): void {
    this.counts.invalidations += this.copies.dropUnder(prefix);
    this.generation++;
    this.spoil("");
  }

  /** R6: a write of this client is about to be sent. Reads from now on are sent after it, and so they see it. */
  wrote(key: string): void {
    const copy = this.copies.get(key);
    if (copy !== undefined) this.copies.drop(copy);
    const pending = this.pending.get(key);
    if (pending === undefined) return;
    pending.floor = Infinity;
    this.pending.delete(key);
  }

  /** R6, of a CLEAR. */
  cleared(prefix: string): void {
    this.copies.dropUnder(prefix);
    this.spoil(prefix);
  }

  /** R8: nothing is watched any more; copies are revalidated one by one, when they are read. */
  broken(): void {
    this.generation++;
  }

  /** Nothing is served any more. */
  ended(): void {
    this.copies.close();
  }

  /** A request whose answer may be stored is about to be sent. */
  begin(key: string): Pending {
    let pending = this.pending.get(key);
    if (pending === undefined) this.pending.set(key, (pending = { key, floor: 0, users: 0, fetch: null }));
    pending.users++;
    return pending;
  }

  /** It has been answered, or will not be. */
  end(pending: Pending): void {
    pending.users--;
    if (pending.users === 0 && this.pending.get(pending.key) === pending) this.pending.delete(pending.key);
  }

  /**
   * R3: stores what an answer says, unless something newer is known to be. Called where replies are read, so that no push can
   * come between. The pending of a request that was given up has ended.
   * @param isWatched false where a push may have used the watch up
   */
  store(copy: Copy, { floor }: Pending, { isDone }: Sent, isWatched = true): void {
    if (isDone || (copy.value === null ? floor > 0 : copy.version < floor)) return;
    copy.generation = isWatched ? this.generation : UNWATCHED;
    this.copies.put(copy);
  }

  private async ask(
    key: string,
    { timeoutMs = this.connection.timeoutMs, signal }: RequestOptions,
  ): Promise<Copy> {
    const { clock } = this.connection;
    const patience = { timeoutMs, deadline: clock.now() + timeoutMs, signal };
    this.counts.misses++;
    for (;;) {
      try {
        return await this.waits.share(this.fetch(key, timeoutMs).result, patience);
      } catch (error) {
        // It may have been the fetch of another caller, who had less time.
        const isOver = (error as CacheError).code !== "timeout" || clock.now() >= patience.deadline;
        if (isOver) throw error;
      }
    }
  }

  /** R2: one fetch for a key at a time. One that left so long ago that its answer may be too old is not joined. */
  private fetch(key: string, timeoutMs: number): Fetch {
    const before = this.pending.get(key)?.fetch ?? null;
    const startedAt = this.connection.clock.now();
    if (before !== null && startedAt - before.startedAt <= this.maxAgeMs) return before;
    const pending = this.begin(key);
    const fetch = { startedAt, result: this.send(pending, timeoutMs) };
    pending.fetch = fetch;
    const over = () => {
      if (pending.fetch === fetch) pending.fetch = null;
      this.end(pending);
    };
    fetch.result.then(over, over);
    return fetch;
  }

  private send(pending: Pending, timeoutMs: number): Promise<Copy> {
    const { key } = pending;
    // It may be dropped before the answer comes, and CURRENT speaks of it all the same.
    const held = this.copies.get(key);
    const version = held?.version || undefined;
    const fields = { op: Op.GET, flags: Flag.GET_META | Flag.GET_WATCH, key, version };
    const read = (reply: Reply, sent: Sent) => {
      const copy = this.answered(key, reply, sent.sentAt, held);
      this.store(copy, pending, sent);
      return copy;
    };
    return this.connection.ask(fields, read, true, { timeoutMs });
  }

  /** The answer to a fetch. R2: an entry lives no longer than its time from the sending on. */
  private answered(key: string, reply: Reply, sentAt: number, held: Copy | undefined): Copy {
    if (reply.status === Status.MISS) return copyOf(key, null, 0, Infinity);
    if (reply.status === Status.META_VALUE)
      return copyOf(key, reply.value, reply.version, expiryOf(sentAt, reply.ttlMs));
    if (reply.status !== Status.CURRENT || held === undefined) throw unexpected(reply);
    held.until = expiryOf(sentAt, reply.ttlMs);
    this.counts.revalidations++;
    return held;
  }

  /** What is on its way under the prefix is not stored, and nobody joins it. */
  private spoil(prefix: string): void {
    for (const [key, pending] of this.pending)
      if (key.startsWith(prefix)) {
        pending.floor = Infinity;
        this.pending.delete(key);
      }
  }

  /** R7: asks for a proof before the last one is too old. When none comes, the next read asks. */
  private prove(): void {
    if (this.isProving) return;
    this.isProving = true;
    const proven = () => void (this.isProving = false);
    this.connection.ask({ op: Op.PING }, isPong, true, {}).then(proven, proven);
  }
}

/** A copy that is not held yet. */
export function copyOf(key: string, value: Uint8Array | null, version: number, until: number): Copy {
  return {
    key,
    value,
    valueBytes: value?.length ?? 0,
    version,
    until,
    generation: UNWATCHED,
    isMarked: false,
    bytes: 0,
    newer: null,
    older: null,
  };
}

/** On the client's clock. */
export function expiryOf(sentAt: number, ttlMs: number | null): number {
  return ttlMs === null ? Infinity : sentAt + ttlMs;
}
