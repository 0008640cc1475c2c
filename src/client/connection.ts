/**
 * One persistent WebSocket with a queue of requests behind it.
 *
 *   ask ─▶ waiting ──(end of this turn; as far as the bounds allow: one message)──▶ inFlight ──(reply, in order)──▶ settled
 *             ▲                                                                        │
 *             └── reads, and writes with `retry`, when the connection breaks ──────────┘   other writes: disconnected
 *
 * Invariant: the reply that comes next belongs to the first request of `inFlight`, settled (timed out) ones included.
 */
import { Close, SUBPROTOCOL, SUBPROTOCOL_BEARER } from "../protocol/wire";
import { encodeRequest, type Reply, ReplyReader, type RequestFields } from "./codec";
import { CacheError } from "./errors";

/** What the client needs of a WebSocket: the one of browsers, Bun, Deno, Node 22, or the `ws` package. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
}

export type WebSocketClass = new (url: string, protocols?: string[]) => WebSocketLike;

export interface ConnectionOptions {
  url: string;
  token: string | undefined;
  WebSocket: WebSocketClass;
  timeoutMs: number;
  connectTimeoutMs: number;
  reconnectMinMs: number;
  reconnectMaxMs: number;
  inFlightRequestsMax: number;
  inFlightBytesMax: number;
  waitingMax: number;
  messageBytesMax: number;
}

/** How one request is treated. */
export interface AskOptions {
  /** Changes nothing on the server. */
  isRead: boolean;
  /** A write that may be sent again after a broken connection; reads always are. */
  retry?: boolean | undefined;
  timeoutMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

interface Request {
  readonly bytes: Uint8Array;
  readonly isRead: boolean;
  readonly repeatable: boolean;
  readonly deadline: number;
  /** It left at least once. */
  sent: boolean;
  /** Ends the caller's promise; null once that is done. */
  settle: ((reply: Reply | CacheError) => void) | null;
}

export interface ConnectionEvents {
  open: Record<string, never>;
  /** The connection ended; `willReconnect` unless the client was closed. */
  close: { code: number; reason: string; willReconnect: boolean };
  /** The next attempt, from 1, and the delay before it. */
  reconnecting: { attempt: number; delayMs: number };
}

/** A message is cut here, so that the server can answer the first requests while the next are on their way. */
const MESSAGE_BYTES_WANTED = 256 * 1024;
const DEADLINE_LOOK_MS = 25;

export class Connection {
  private socket: WebSocketLike | null = null;
  private isOpen = false;
  private isClosed = false;
  /** What requests fail with once it is closed. */
  private ending = () => new CacheError("closed", "the client was closed");
  private attempts = 0;
  private waiting: Request[] = [];
  private inFlight: Request[] = [];
  /** Requests of inFlight before this index are done. */
  private inFlightHead = 0;
  private inFlightBytes = 0;
  private flushIsDue = false;
  private reconnectTimer: ReturnType<typeof setTimeout> | undefined;
  private deadlineTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly listeners: {
    [Name in keyof ConnectionEvents]: Set<(event: ConnectionEvents[Name]) => void>;
  } = {
    open: new Set(),
    close: new Set(),
    reconnecting: new Set(),
  };
  private onIdle: (() => void) | null = null;

  constructor(private readonly options: ConnectionOptions) {}

  /** Calls back on an event; returns what ends that. */
  on<Name extends keyof ConnectionEvents>(
    name: Name,
    listener: (event: ConnectionEvents[Name]) => void,
  ): () => void {
    this.listeners[name].add(listener);
    return () => void this.listeners[name].delete(listener);
  }

  /** The first connection; rejects with `refused` when it can't be made. */
  connect(): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = () => {
        this.isClosed = true;
        reject(
          new CacheError(
            "refused",
            `no connection to ${this.options.url}: nobody listens there, or it refused the token or the origin`,
          ),
        );
      };
      this.openSocket(resolve, failed);
    });
  }

  /** Queues a request; resolves with its reply, rejects with a CacheError. */
  ask(
    fields: RequestFields,
    { isRead, retry = false, timeoutMs = this.options.timeoutMs, signal }: AskOptions,
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const bytes = encodeRequest(fields, this.options.messageBytesMax);
      if (this.isClosed) throw this.ending();
      if (signal?.aborted) throw new CacheError("aborted", "aborted before it was sent");
      if (this.waiting.length >= this.options.waitingMax)
        throw new CacheError(
          "overloaded",
          `${this.options.waitingMax} requests are waiting already (waitingMax)`,
        );
      const request: Request = {
        bytes,
        isRead,
        repeatable: isRead || retry,
        deadline: performance.now() + timeoutMs,
        sent: false,
        settle: (result) => {
          request.settle = null;
          signal?.removeEventListener("abort", onAbort);
          if (result instanceof CacheError) reject(result);
          else if (result.status === -1) reject(result.error);
          else resolve(result);
        },
      };
      const onAbort = () => this.giveUp(request, "aborted", "aborted by its signal");
      signal?.addEventListener("abort", onAbort);
      this.waiting.push(request);
      this.scheduleFlush();
      this.deadlineTimer ??= setTimeout(() => this.checkDeadlines(), DEADLINE_LOOK_MS);
    });
  }

  /** Lets what is under way come to its end, then closes. New requests fail with `closed`. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    clearTimeout(this.reconnectTimer);
    if (this.isOpen && this.pending > 0) {
      this.flush();
      await new Promise<void>((resolve) => (this.onIdle = resolve));
    }
    clearTimeout(this.deadlineTimer);
    this.failAll(this.ending());
    this.socket?.close(1000, "");
  }

  private get pending(): number {
    return this.waiting.length + this.inFlight.length - this.inFlightHead;
  }

  private openSocket(onOpen: () => void, onFail: () => void): void {
    const { url, token, WebSocket, connectTimeoutMs } = this.options;
    const protocols = [SUBPROTOCOL];
    if (token !== undefined) protocols.push(SUBPROTOCOL_BEARER + base64url(token));
    let socket: WebSocketLike;
    try {
      socket = new WebSocket(url, protocols);
    } catch {
      return onFail();
    }
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    const timer = setTimeout(() => socket.close(), connectTimeoutMs);
    let opened = false;
    socket.onopen = () => {
      clearTimeout(timer);
      opened = true;
      this.isOpen = true;
      this.attempts = 0;
      this.emit("open", {});
      onOpen();
      this.flush();
    };
    socket.onmessage = (event) => this.receive(event.data as ArrayBuffer);
    socket.onerror = () => {};
    socket.onclose = (event) => {
      clearTimeout(timer);
      if (this.socket !== socket) return;
      this.socket = null;
      if (opened) this.lost(event as { code: number; reason: string });
      else onFail();
    };
  }

  /** An open connection has ended. */
  private lost({ code, reason }: { code: number; reason: string }): void {
    this.isOpen = false;
    const open = this.inFlight.slice(this.inFlightHead);
    this.inFlight = [];
    this.inFlightHead = 0;
    this.inFlightBytes = 0;
    const again = open.filter((request) => request.settle !== null && request.repeatable);
    for (const request of open)
      if (!request.repeatable)
        request.settle?.(
          new CacheError(
            "disconnected",
            "the connection broke before the answer came; the write may have happened",
            true,
          ),
        );
    this.waiting = [...again, ...this.waiting];
    if (code === Close.UNAUTHORIZED) {
      // With this token every further connection would be refused.
      this.isClosed = true;
      this.ending = () => new CacheError("unauthorized", `the server ended the connection: ${reason}`);
    }
    this.emit("close", { code, reason, willReconnect: !this.isClosed });
    if (this.isClosed) {
      clearTimeout(this.deadlineTimer);
      this.failAll(this.ending());
      this.noteIdle();
    } else this.reconnect();
  }

  /** Waits, longer each time and never exactly as long as others, then tries again. */
  private reconnect(): void {
    const { reconnectMinMs, reconnectMaxMs } = this.options;
    const ceiling = Math.min(reconnectMaxMs, reconnectMinMs * 2 ** this.attempts);
    const delayMs = Math.round(ceiling * (0.5 + Math.random() / 2));
    this.attempts++;
    this.emit("reconnecting", { attempt: this.attempts, delayMs });
    this.reconnectTimer = setTimeout(() => {
      if (!this.isClosed)
        this.openSocket(
          () => {},
          () => !this.isClosed && this.reconnect(),
        );
    }, delayMs);
  }

  /** All requests of this turn leave together. */
  private scheduleFlush(): void {
    if (this.flushIsDue || !this.isOpen) return;
    this.flushIsDue = true;
    queueMicrotask(() => {
      this.flushIsDue = false;
      this.flush();
    });
  }

  /** Sends what waits, in messages of a middling size, as far as the bounds allow. */
  private flush(): void {
    let taken = 0;
    let messageBytes = 0;
    let from = 0;
    while (this.isOpen && taken < this.waiting.length && this.hasRoom()) {
      const request = this.waiting[taken++]!;
      // Given up while it waited.
      if (request.settle === null) continue;
      request.sent = true;
      this.inFlight.push(request);
      this.inFlightBytes += request.bytes.length;
      messageBytes += request.bytes.length;
      if (messageBytes >= MESSAGE_BYTES_WANTED) {
        this.sendMessage(from, taken, messageBytes);
        from = taken;
        messageBytes = 0;
      }
    }
    if (messageBytes > 0) this.sendMessage(from, taken, messageBytes);
    if (taken > 0) this.waiting = this.waiting.slice(taken);
  }

  private hasRoom(): boolean {
    const { inFlightRequestsMax, inFlightBytesMax } = this.options;
    return (
      this.inFlight.length - this.inFlightHead < inFlightRequestsMax && this.inFlightBytes < inFlightBytesMax
    );
  }

  private sendMessage(from: number, to: number, length: number): void {
    const message = new Uint8Array(length);
    let at = 0;
    for (let i = from; i < to; i++) {
      const { bytes, settle } = this.waiting[i]!;
      if (settle === null) continue;
      message.set(bytes, at);
      at += bytes.length;
    }
    this.socket!.send(message);
  }

  private receive(message: ArrayBuffer): void {
    try {
      const reader = new ReplyReader(message);
      for (let reply = reader.next(); reply !== null; reply = reader.next()) {
        const request = this.inFlight[this.inFlightHead];
        if (request === undefined) throw new CacheError("protocol", "a reply came that nobody had asked for");
        this.inFlightHead++;
        this.inFlightBytes -= request.bytes.length;
        request.settle?.(reply);
      }
    } catch {
      // What comes now can't be matched any more: a new connection begins at a known place.
      this.socket?.close();
      return;
    }
    if (this.inFlightHead > 1024 || this.inFlightHead === this.inFlight.length) {
      this.inFlight = this.inFlight.slice(this.inFlightHead);
      this.inFlightHead = 0;
    }
    if (this.waiting.length > 0) this.scheduleFlush();
    this.noteIdle();
  }

  private noteIdle(): void {
    if (this.pending === 0) this.onIdle?.();
  }

  /** Ends requests whose time is over; one that was sent keeps its place until its reply came. */
  private checkDeadlines(): void {
    this.deadlineTimer = undefined;
    const now = performance.now();
    let open = 0;
    for (const list of [this.inFlight, this.waiting]) {
      for (const request of list) {
        if (request.settle === null) continue;
        if (request.deadline > now) open++;
        else this.giveUp(request, "timeout", "no answer within its deadline");
      }
    }
    this.waiting = this.waiting.filter(({ settle }) => settle !== null);
    this.noteIdle();
    if (open > 0) this.deadlineTimer = setTimeout(() => this.checkDeadlines(), DEADLINE_LOOK_MS);
  }

  private giveUp(request: Request, code: "timeout" | "aborted", message: string): void {
    const mayHaveHappened = request.sent && !request.isRead;
    request.settle?.(
      new CacheError(
        code,
        mayHaveHappened ? `${message}; the write may have happened` : message,
        mayHaveHappened,
      ),
    );
  }

  private failAll(error: CacheError): void {
    for (const request of [...this.inFlight.slice(this.inFlightHead), ...this.waiting])
      request.settle?.(error);
    this.inFlight = [];
    this.inFlightHead = 0;
    this.waiting = [];
  }

  private emit<Name extends keyof ConnectionEvents>(name: Name, event: ConnectionEvents[Name]): void {
    for (const listener of [...this.listeners[name]]) listener(event);
  }
}

function base64url(text: string): string {
  const bytes = new TextEncoder().encode(text);
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}
