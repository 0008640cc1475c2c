/** The open WebSockets of one worker: what Bun tells of a socket goes to its session, and all are watched together. */
import type { WebSocketHandler } from "bun";
import { Count, type Tally } from "../commands/tally";
import { Close } from "../protocol/wire";
import type { Session } from "./session";
import { shed, startWatch, type WatchLimits } from "./watch";

/** The socket must never drop a reply: a session stops by itself as soon as the kernel takes no more. */
const BACKPRESSURE_LIMIT = 2 ** 31 - 1;

export class Sessions {
  private readonly open = new Set<Session>();
  private isDraining = false;
  private isShedding = false;

  constructor(
    private readonly tally: Tally,
    private readonly limits: WatchLimits,
  ) {}

  get size(): number {
    return this.open.size;
  }

  /** Something that came in is not answered, or an answer not taken. */
  get isBusy(): boolean {
    for (const session of this.open) if (session.isBusy) return true;
    return false;
  }

  [Symbol.iterator](): Iterator<Session> {
    return this.open[Symbol.iterator]();
  }

  /** The `websocket` of Bun.serve. @param messageBytesMax larger messages end their connection with 1009 */
  handlers(messageBytesMax: number): WebSocketHandler<Session> {
    return {
      maxPayloadLength: messageBytesMax,
      // Sessions have a watch of their own.
      idleTimeout: 0,
      sendPings: false,
      perMessageDeflate: false,
      backpressureLimit: BACKPRESSURE_LIMIT,
      closeOnBackpressureLimit: false,
      open: (socket) => {
        this.open.add(socket.data);
        this.tally.add(Count.CONNECTIONS, 1);
        this.tally.add(Count.CONNECTIONS_TOTAL, 1);
        socket.data.open(socket);
        if (this.isDraining) sayGoodbye(socket.data);
      },
      message: (socket, message) => socket.data.receive(message),
      drain: (socket) => socket.data.drained(),
      ping: (socket) => socket.data.noteSign(),
      pong: (socket) => socket.data.noteSign(),
      close: (socket) => {
        this.open.delete(socket.data);
        this.tally.add(Count.CONNECTIONS, -1);
        socket.data.gone();
      },
    };
  }

  /** Watches from now on; returns what stops that. */
  watch(): () => void {
    return startWatch(this, this.limits, () => this.noteCut());
  }

  /** All sessions together hold too much: sheds those that hold most, once the session that noticed it has stopped working. */
  shedSoon(): void {
    if (this.isShedding) return;
    this.isShedding = true;
    queueMicrotask(() => {
      this.isShedding = false;
      for (const _ of shed(this, this.limits.bufferedBytesMax)) this.noteCut();
    });
  }

  private noteCut(): void {
    this.tally.add(Count.CUT_CONNECTIONS, 1);
  }

  /** The server shuts down: every session answers what has come in, and then sends its close frame. */
  drain(): void {
    this.isDraining = true;
    for (const session of this.open) sayGoodbye(session);
  }
}

function sayGoodbye(session: Session): void {
  session.finish(Close.GOING_AWAY, "the server shuts down");
}
