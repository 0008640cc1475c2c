/** A clock and WebSockets that do only what a test tells them to, so that no test of the client has to wait. */
import type { Clock } from "../../src/client/clock";
import type { WebSocketLike } from "../../src/client/socket";

export class FakeClock implements Clock {
  private time = 0;
  private readonly timers = new Set<{ at: number; then: () => void }>();

  now(): number {
    return this.time;
  }

  after(ms: number, then: () => void): () => void {
    const timer = { at: this.time + ms, then };
    this.timers.add(timer);
    return () => void this.timers.delete(timer);
  }

  /** Time has passed without anything happening, as while a machine sleeps; what is due is called when time passes again. */
  leap(ms: number): void {
    this.time += ms;
  }

  /** Lets time pass; what is due is called in its order, and promises get their turn in between. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms;
    for (;;) {
      const [next] = [...this.timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.timers.delete(next);
      this.time = Math.max(this.time, next.at);
      next.then();
      await turn();
    }
    this.time = end;
  }
}

/** Lets everything that is already due happen, microtasks and what they queue. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A class of WebSockets that remembers what was made of it. */
export class FakeSockets {
  readonly made: FakeSocket[] = [];
  readonly WebSocket: new (url: string, protocols?: string[]) => WebSocketLike;

  constructor() {
    const { made } = this;
    this.WebSocket = class extends FakeSocket {
      constructor(url: string, protocols: string[] = []) {
        super(url, protocols);
        made.push(this);
      }
    };
  }

  get last(): FakeSocket {
    return this.made.at(-1)!;
  }
}

export class FakeSocket implements WebSocketLike {
  binaryType = "blob";
  bufferedAmount = 0;
  onopen: WebSocketLike["onopen"] = null;
  onclose: WebSocketLike["onclose"] = null;
  onerror: WebSocketLike["onerror"] = null;
  onmessage: WebSocketLike["onmessage"] = null;
  readonly sent: Uint8Array[] = [];
  state: "connecting" | "open" | "closing" | "closed" = "connecting";

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {}

  send(data: Uint8Array<ArrayBuffer>): void {
    if (this.state === "connecting") throw new Error("not open yet");
    this.sent.push(data);
  }

  close(): void {
    this.state = "closing";
  }

  terminate(): void {
    this.state = "closed";
  }

  /** The server accepts. */
  open(): void {
    this.state = "open";
    this.onopen?.({});
  }

  /** The server sends a message. */
  receive(data: Uint8Array | string): void {
    this.onmessage?.({ data: typeof data === "string" ? data : Uint8Array.from(data).buffer });
  }

  /** The connection ends. */
  end(code = 1006, reason = "", error: object = {}): void {
    this.state = "closed";
    if (code === 1006) this.onerror?.({ error });
    this.onclose?.({ code, reason });
  }
}
