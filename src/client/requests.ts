/**
 * The requests of one connection, each with a caller who waits for it.
 *
 *   add ─▶ waiting ──(takeMessage, as far as the bounds allow)──▶ in flight ──(receive, in order)──▶ done
 *             ▲                                                      │
 *             └── reads, and writes with `retry`, when the ──────────┘   other writes: disconnected
 *                 connection breaks
 *
 * Invariant: the reply that comes next belongs to the first request in flight. One whose caller has gone (its deadline is
 * over, or its signal aborted it) keeps its place until its reply came.
 */
import type { Clock } from "./clock";
import { encodeRequest, type Reply, ReplyReader, type RequestFields, tooLarge } from "./codec";
import { CacheError, type CacheErrorCode, ProtocolFault } from "./errors";
import { Fifo } from "./fifo";
import { Signals, throwIfAborted } from "./signals";

export interface RequestBounds {
  timeoutMs: number;
  inFlightRequestsMax: number;
  inFlightBytesMax: number;
  waitingMax: number;
  messageBytesMax: number;
  /** What can't be sent now, or can't be answered on this connection, fails at once. */
  failFast: boolean;
}

/** How one request is treated. */
export interface AskOptions {
  /** A write that may be sent again after a broken connection; reads always are. */
  retry?: boolean | undefined;
  /** It waits for a connection in any case. */
  waits?: boolean;
  timeoutMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** What a caller gets of a reply, called where replies are read; throws a ProtocolFault for one to something else. */
export type Read<T> = (reply: Reply, request: Sent) => T;

/** What a reply's reader may know of its request. */
export interface Sent {
  /** When it last left, on the client's clock. */
  readonly sentAt: number;
  /** Its caller has its answer, or does not wait any more. */
  readonly isDone: boolean;
}

export interface Request extends Sent {
  readonly bytes: Uint8Array;
  readonly read: Read<unknown>;
  readonly resolve: (result: any) => void;
  readonly reject: (error: CacheError) => void;
  readonly isRead: boolean;
  readonly mayRepeat: boolean;
  readonly timeoutMs: number;
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
  isDone: boolean;
  sentAt: number;
  /** Bytes of the message in which it was last sent; 0 when it was never sent. */
  messageBytes: number;
}

/** A message is not made longer than this, so that the server can answer the first requests while the next arrive. */
const MESSAGE_BYTES_WANTED = 256 * 1024;

export class Requests {
  private readonly waiting = new Fifo<Request>();
  private readonly inFlight = new Fifo<Request>();
  private inFlightBytes = 0;
  /** Callers who wait for an answer. */
  private callers = 0;
  private readonly signals = new Signals<Request>((requests) => this.abort(requests));
  private dueAt = Infinity;
  private stopTimer = () => {};
  private messageBytesMax: number;
  private messageBytesWanted: number;
  /** Why nothing can be sent now, for the errors of requests whose time runs out meanwhile. */
  obstacle = "";
  /**
   * When the latest request of this connection that has been answered left. Whatever the server had to push by then has
   * come in before that answer.
   */
  provenAt = -Infinity;

  constructor(
    private readonly bounds: RequestBounds,
    private readonly clock: Clock,
    /** Nobody waits for an answer any more. */
    private readonly onIdle: () => void,
  ) {
    this.messageBytesMax = bounds.messageBytesMax;
    this.messageBytesWanted = Math.min(MESSAGE_BYTES_WANTED, bounds.messageBytesMax);
  }

  /** Nobody waits for an answer. */
  get isIdle(): boolean {
    return this.callers === 0;
  }

  /** The server owes a reply, whether or not somebody waits for it. */
  get owesReply(): boolean {
    return this.inFlight.length > 0;
  }

  /** The timeout of a request in flight that asked for more time than the default; else 0. */
  get patienceMs(): number {
    const usual = this.bounds.timeoutMs;
    return this.inFlight
      .toArray()
      .reduce(
        (most, { isDone, timeoutMs }) => (isDone || timeoutMs <= usual ? most : Math.max(most, timeoutMs)),
        0,
      );
  }

  /**
   * Queues a request; resolves with what `read` makes of its reply, rejects with a CacheError.
   * @param isRead it changes nothing on the server
   */
  add<T>(
    fields: RequestFields,
    read: Read<T | Promise<T>>,
    isRead: boolean,
    options: AskOptions,
  ): Promise<T> {
    const { retry = false, waits = false, timeoutMs = this.bounds.timeoutMs, signal } = options;
    return new Promise((resolve, reject) => {
      const bytes = encodeRequest(fields, this.messageBytesMax);
      throwIfAborted(signal);
      const { failFast, waitingMax } = this.bounds;
      if (this.waiting.length >= waitingMax) this.forgetDone();
      if (this.waiting.length >= waitingMax)
        throw new CacheError("overloaded", `${waitingMax} requests are waiting already (waitingMax)`);
      const deadline = this.clock.now() + timeoutMs;
      const treatment = {
        isRead,
        mayRepeat: waits || ((isRead || retry) && !failFast),
        timeoutMs,
        deadline,
        signal,
      };
      const unsent = { isDone: false, sentAt: -Infinity, messageBytes: 0 };
      const request: Request = { bytes, read, resolve, reject, ...treatment, ...unsent };
      this.waiting.push(request);
      this.callers++;
      if (signal !== undefined) this.signals.add(signal, request);
      this.expireAt(deadline);
    });
  }

  /** The next message to send, as far as the bounds allow; null when there is none. */
  takeMessage(): Uint8Array<ArrayBuffer> | null {
    const batch: Request[] = [];
    let length = 0;
    while (length < this.messageBytesWanted && this.hasRoom()) {
      const request = this.waiting.first();
      if (request === undefined) break;
      const { bytes, isDone } = request;
      if (!isDone && length > 0 && length + bytes.length > this.messageBytesMax) break;
      this.waiting.shift();
      if (isDone) continue;
      this.inFlight.push(request);
      this.inFlightBytes += bytes.length;
      batch.push(request);
      length += bytes.length;
    }
    return length === 0 ? null : message(batch, length, this.clock.now());
  }

  /** Takes a message of replies. Throws a ProtocolFault when it answers anything else than what was asked. */
  receive(data: ArrayBuffer | string): void {
    if (typeof data === "string") throw new ProtocolFault("a text message came instead of replies");
    const reader = new ReplyReader(data);
    for (let reply = reader.next(); reply !== null; reply = reader.next()) {
      const request = this.inFlight.first();
      if (request === undefined) throw new ProtocolFault("a reply came that nobody had asked for");
      const result = reply.status === -1 ? reply.error : request.read(reply, request);
      this.inFlight.shift();
      this.provenAt = request.sentAt;
      this.inFlightBytes -= request.bytes.length;
      if (result instanceof CacheError) this.fail(request, result);
      else if (this.finish(request)) request.resolve(result);
    }
    if (this.isIdle) this.onIdle();
  }

  /** The connection broke: what may be repeated waits again, before the others; with `failFast` only what waits in any case. */
  broken(reason: string): void {
    const left = this.inFlight.toArray().filter(({ isDone }) => !isDone);
    for (const request of left)
      if (!request.mayRepeat)
        this.giveUp(request, "disconnected", `the connection broke before the answer came (${reason})`);
    if (this.bounds.failFast)
      for (const request of this.waiting.toArray())
        if (!request.mayRepeat) this.giveUp(request, "not-connected", `it was not sent${this.obstacle}`);
    this.waiting.replace(left.concat(this.waiting.toArray()));
    this.forgetDone();
    this.forgetInFlight();
  }

  /**
   * The server ended the connection because of a message that was too large for it. Of those that are unanswered the
   * largest was it; none of its size is sent again.
   */
  shrinkMessages(): void {
    const inFlight = this.inFlight.toArray();
    const largest = inFlight.reduce((max, { messageBytes }) => Math.max(max, messageBytes), 0);
    if (largest === 0) return;
    this.messageBytesMax = Math.min(this.messageBytesMax, largest - 1);
    this.messageBytesWanted = Math.min(this.messageBytesWanted, Math.ceil(largest / 2));
    for (const request of inFlight.concat(this.waiting.toArray())) {
      const { length } = request.bytes;
      if (length > this.messageBytesMax) this.fail(request, tooLarge(length, this.messageBytesMax));
    }
  }

  /** Nothing will be answered any more. */
  failAll(code: CacheErrorCode, message: string): void {
    for (const request of this.inFlight.toArray().concat(this.waiting.toArray()))
      this.giveUp(request, code, message);
    this.waiting.replace([]);
    this.forgetInFlight();
    this.stopTimer();
    this.dueAt = Infinity;
  }

  private hasRoom(): boolean {
    const { inFlightRequestsMax, inFlightBytesMax } = this.bounds;
    return this.inFlight.length < inFlightRequestsMax && this.inFlightBytes < inFlightBytesMax;
  }

  /** Marks it as done; false when it was already. */
  private finish(request: Request): boolean {
    if (request.isDone) return false;
    request.isDone = true;
    this.callers--;
    if (request.signal !== undefined) this.signals.remove(request.signal, request);
    return true;
  }

  private fail(request: Request, error: CacheError): void {
    if (this.finish(request)) request.reject(error);
  }

  /** Ends it without an answer. A write that has left may have happened. */
  private giveUp(request: Request, code: CacheErrorCode, message: string): void {
    const mayHaveHappened = request.messageBytes > 0 && !request.isRead;
    const text = mayHaveHappened ? `${message}; the write may have happened` : message;
    this.fail(request, new CacheError(code, text, mayHaveHappened));
  }

  private abort(requests: Iterable<Request>): void {
    for (const request of requests) this.giveUp(request, "aborted", "aborted by its signal");
    if (this.isIdle) this.onIdle();
  }

  private expireAt(deadline: number): void {
    if (deadline >= this.dueAt) return;
    this.stopTimer();
    this.dueAt = deadline;
    this.stopTimer = this.clock.after(deadline - this.clock.now(), () => this.expire());
  }

  /** Ends those whose time is over. */
  private expire(): void {
    const now = this.clock.now();
    this.dueAt = Infinity;
    let next = Infinity;
    for (const list of [this.inFlight, this.waiting]) {
      const obstacle = list === this.waiting ? this.obstacle : "";
      for (const request of list.toArray()) {
        const { deadline, isDone, timeoutMs } = request;
        if (deadline <= now) this.giveUp(request, "timeout", `no answer within ${timeoutMs} ms${obstacle}`);
        else if (!isDone) next = Math.min(next, deadline);
      }
    }
    this.forgetDone();
    if (next < Infinity) this.expireAt(next);
    if (this.isIdle) this.onIdle();
  }

  private forgetDone(): void {
    this.waiting.replace(this.waiting.toArray().filter(({ isDone }) => !isDone));
  }

  private forgetInFlight(): void {
    this.inFlight.replace([]);
    this.inFlightBytes = 0;
    this.provenAt = -Infinity;
  }
}

/** All of them in one piece. */
function message(requests: readonly Request[], length: number, sentAt: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const request of requests) {
    bytes.set(request.bytes, at);
    at += request.bytes.length;
    request.messageBytes = length;
    request.sentAt = sentAt;
  }
  return bytes;
}
