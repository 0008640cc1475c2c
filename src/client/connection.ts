/**
 * One connection that is kept up, and where it stands.
 *
 *   new ─▶ connecting ─▶ open ──(close, answers are owed)──▶ draining ─▶ closing ─▶ closed
 *            ▲    │        │ ╲─────────(close)────────────────────────────▲          ▲
 *            │    │ failed │ broke                                                   │
 *            │    ▼        ▼                                                         │
 *            │  asking ─▶ backoff ──(close, or the token is good no more)────────────┘
 *            └──────────────┘
 *
 * `enter` is the only place where the phase changes: it drops the socket of a phase that has none, and the timer of the
 * phase before. What holds in each is written as code in test/client/invariants.ts, and checked after each step of its tests.
 */
import { Close, Op } from "../protocol/wire";
import { causeOf } from "./cause";
import { type Clock, SystemClock } from "./clock";
import { isPong, type RequestFields } from "./codec";
import { CacheError, type CacheErrorCode } from "./errors";
import { type ConnectionEvents, Events } from "./events";
import { ASK_AFTER, DEAD_AFTER, Heartbeat } from "./heartbeat";
import { isPush, type Pushes, readPushes } from "./pushes";
import { type AskOptions, type Read, type RequestBounds, Requests } from "./requests";
import { ABNORMAL, type End, Socket, type Trouble, type WebSocketClass } from "./socket";

export interface ConnectionOptions extends RequestBounds {
  url: string;
  token: string | undefined;
  WebSocket: WebSocketClass;
  connectTimeoutMs: number;
  closeTimeoutMs: number;
  heartbeatMs: number;
  reconnectMinMs: number;
  reconnectMaxMs: number;
}

export type Phase =
  /** Nothing was tried. */
  | "new"
  /** A socket is opening. */
  | "connecting"
  /** It did not open; why is being found out. */
  | "asking"
  /** The next attempt comes after a delay. */
  | "backoff"
  /** Requests go out, replies come in. */
  | "open"
  /** `close` was called, and answers are awaited. */
  | "draining"
  /** A close frame was sent, and the peer's is awaited. */
  | "closing"
  /** For good. */
  | "closed";

const NEXT: Record<Phase, readonly Phase[]> = {
  new: ["connecting", "closed"],
  connecting: ["open", "asking", "closed"],
  asking: ["backoff", "closed"],
  backoff: ["connecting", "closed"],
  open: ["backoff", "draining", "closing", "closed"],
  draining: ["closing", "closed"],
  closing: ["closed"],
  closed: [],
};
export const WITH_SOCKET: readonly Phase[] = ["connecting", "open", "draining", "closing"];

/** How long the peer may take to answer a close frame. */
const GOODBYE_MS = 1000;

/** Why the client is closed for good. */
export interface Fate {
  readonly code: CacheErrorCode;
  readonly message: string;
}

/** Who is told of pushes, and of what makes all that was watched void. */
export interface Follower extends Pushes {
  /** The connection broke; another will be made. */
  broken(): void;
  /** There will be none, or `close` was called. May come twice. */
  ended(fate: Fate): void;
}
const ignore = () => {};
const NOBODY: Follower = { changed: ignore, reset: ignore, filled: ignore, broken: ignore, ended: ignore };
const CLOSED: Fate = { code: "closed", message: "the client was closed" };

export class Connection {
  readonly events = new Events();
  private phase: Phase = "new";
  private socket: Socket | null = null;
  /** Prevents what the phase waits for. */
  private stopTimer: (() => void) | null = null;
  private readonly requests: Requests;
  private readonly heartbeat = new Heartbeat();
  /** Attempts since a connection last held for reconnectMaxMs. */
  private attempts = 0;
  private openedAt = 0;
  private flushIsDue = false;
  private fate: Fate | null = null;
  /** The promise that every call of `close` returns. */
  private goodbye: Promise<void> | null = null;
  private onClosed = ignore;
  private follower = NOBODY;

  constructor(
    private readonly options: ConnectionOptions,
    readonly clock: Clock = new SystemClock(),
    /** From 0 to 1. */
    private readonly random: () => number = Math.random,
  ) {
    this.requests = new Requests(options, clock, () => this.idle());
  }

  /** The first connection; rejects when it can't be made. */
  async connect(): Promise<void> {
    const problem = await this.dial();
    if (problem === null) return;
    this.end(problem);
    throw problem;
  }

  /** Makes the first connection, and tries again as with any later one until it can be made. */
  open(): void {
    this.requests.obstacle = "; the first connection is not made yet";
    void this.dialOnce();
  }

  /** From now on this one is told. */
  follow(follower: Follower): void {
    this.follower = follower;
  }

  /** As Requests.provenAt. */
  get provenAt(): number {
    return this.requests.provenAt;
  }

  /** As Requests.obstacle. */
  get obstacle(): string {
    return this.requests.obstacle;
  }

  /** What a request may take that does not say otherwise. */
  get timeoutMs(): number {
    return this.options.timeoutMs;
  }

  /** As Requests.add. */
  ask<T>(
    fields: RequestFields,
    read: Read<T | Promise<T>>,
    isRead: boolean,
    options: AskOptions,
  ): Promise<T> {
    if (this.fate !== null) return Promise.reject(new CacheError(this.fate.code, this.fate.message));
    if (this.options.failFast && this.phase !== "open" && !options.waits)
      return Promise.reject(new CacheError("not-connected", `there is no connection now${this.obstacle}`));
    const answer = this.requests.add(fields, read, isRead, options);
    this.flushSoon();
    return answer;
  }

  /** Awaits the answers to requests in flight, at most for closeTimeoutMs, then closes. Never rejects. */
  close(): Promise<void> {
    this.goodbye ??= new Promise((resolve) => {
      this.onClosed = resolve;
      this.leave();
    });
    return this.goodbye;
  }

  private leave(): void {
    if (this.phase === "closed") return this.onClosed();
    if (this.phase !== "open") return this.end(CLOSED);
    this.fate = CLOSED;
    this.follower.ended(CLOSED);
    if (this.requests.isIdle) return this.sayGoodbye();
    this.enter("draining", this.options.closeTimeoutMs, () => this.sayGoodbye());
    this.flush();
  }

  private sayGoodbye(): void {
    this.enter("closing", GOODBYE_MS, () => this.lost({ code: ABNORMAL, reason: "no goodbye came" }));
    this.requests.failAll(CLOSED.code, CLOSED.message);
    this.socket!.close();
  }

  private end(fate: Fate): void {
    this.enter("closed");
    this.fate = fate;
    this.follower.ended(fate);
    this.requests.failAll(fate.code, fate.message);
    this.onClosed();
  }

  /** Resolves with null once it is open, or with why it could not be opened. */
  private dial(): Promise<CacheError | null> {
    const { url, token, WebSocket, connectTimeoutMs } = this.options;
    return new Promise((resolve) => {
      const failed = (trouble: Trouble) => {
        this.enter("asking");
        void causeOf(this.options, trouble).then(resolve);
      };
      const message = `no answer within ${connectTimeoutMs} ms`;
      this.enter("connecting", connectTimeoutMs, () => failed({ code: "ETIMEDOUT", message }));
      const events = {
        opened: () => {
          this.opened();
          resolve(null);
        },
        failed,
        message: (data: ArrayBuffer | string) => this.received(data),
        ended: (end: End) => this.lost(end),
      };
      try {
        this.socket = new Socket(url, token, WebSocket, events);
      } catch (error) {
        failed({ code: (error as Error).message });
      }
    });
  }

  /** Once; if that fails, the next attempt comes after a delay. */
  private async dialOnce(): Promise<void> {
    const problem = await this.dial();
    // It was closed meanwhile.
    if (problem === null || this.phase !== "asking") return;
    this.requests.obstacle = `; ${problem.message}`;
    if (problem.code !== "unauthorized")
      return this.events.emit("reconnecting", this.backOff(problem.message));
    this.end(problem);
    this.events.emit("close", { code: Close.UNAUTHORIZED, reason: problem.message, willReconnect: false });
  }

  private opened(): void {
    this.openedAt = this.clock.now();
    this.requests.obstacle = "";
    this.heartbeat.begin();
    const { heartbeatMs } = this.options;
    this.enter("open", heartbeatMs / 2, heartbeatMs > 0 ? () => this.beat() : null);
    this.events.emit("open", {});
    this.flush();
  }

  /** Waits, longer each time and never exactly as long as others, before it tries again. */
  private backOff(reason: string): ConnectionEvents["reconnecting"] {
    const { reconnectMinMs, reconnectMaxMs } = this.options;
    const ceiling = Math.min(reconnectMaxMs, reconnectMinMs * 2 ** this.attempts);
    const delayMs = Math.round(ceiling * (0.5 + this.random() / 2));
    this.attempts++;
    this.enter("backoff", delayMs, () => void this.dialOnce());
    return { attempt: this.attempts, delayMs, reason };
  }

  /** A connection that was open has ended. */
  private lost({ code, reason }: End): void {
    const { requests } = this;
    if (this.clock.now() - this.openedAt >= this.options.reconnectMaxMs) this.attempts = 0;
    // With this token every further connection would be refused.
    if (code === Close.UNAUTHORIZED)
      this.fate ??= { code: "unauthorized", message: `the server ended the connection: ${reason}` };
    if (code === Close.TOO_BIG) requests.shrinkMessages();
    const { fate } = this;
    const why = reason === "" ? `${code}` : `${code}: ${reason}`;
    const broke = `the connection broke (${why})`;
    const next = fate === null ? this.backOff(broke) : null;
    requests.obstacle = `; ${broke}`;
    requests.broken(why);
    if (fate === null) this.follower.broken();
    else this.end(fate);
    this.events.emit("close", { code, reason, willReconnect: next !== null });
    // A listener may have closed it.
    if (next !== null && this.phase === "backoff") this.events.emit("reconnecting", next);
  }

  private received(data: ArrayBuffer | string): void {
    this.heartbeat.heard();
    try {
      if (isPush(data)) readPushes(data, this.follower);
      else this.requests.receive(data);
    } catch (error) {
      // What comes now can't be matched any more: a new connection begins at a known place.
      return this.lost({ code: Close.PROTOCOL, reason: (error as Error).message });
    }
    this.flushSoon();
  }

  /** A period of the heartbeat ends. */
  private beat(): void {
    const { heartbeat, requests } = this;
    const periodMs = this.options.heartbeatMs / 2;
    const quiet = heartbeat.periodEnds(this.socket!.unsentBytes);
    const quietMs = quiet * periodMs;
    if (quiet >= DEAD_AFTER && quietMs >= requests.patienceMs)
      return this.lost({ code: ABNORMAL, reason: `nothing came for ${quietMs} ms` });
    if (quiet >= ASK_AFTER && !requests.owesReply)
      this.ask({ op: Op.PING }, isPong, true, {}).catch(() => {});
    this.stopTimer = this.clock.after(periodMs, () => this.beat());
  }

  /** All requests of this turn leave together. */
  private flushSoon(): void {
    if (this.flushIsDue) return;
    this.flushIsDue = true;
    queueMicrotask(() => {
      this.flushIsDue = false;
      this.flush();
    });
  }

  private flush(): void {
    while (this.phase === "open" || this.phase === "draining") {
      const message = this.requests.takeMessage();
      if (message === null) return;
      this.socket!.send(message);
    }
  }

  /** Nobody waits for an answer any more. */
  private idle(): void {
    if (this.phase === "draining") this.sayGoodbye();
  }

  /** The only place where the phase changes. */
  private enter(phase: Phase, afterMs = 0, then: (() => void) | null = null): void {
    if (!NEXT[this.phase].includes(phase)) throw new Error(`${this.phase} does not lead to ${phase}`);
    this.phase = phase;
    this.stopTimer?.();
    this.stopTimer = then === null ? null : this.clock.after(afterMs, then);
    if (WITH_SOCKET.includes(phase)) return;
    this.socket?.drop();
    this.socket = null;
  }
}
