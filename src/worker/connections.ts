/**
 * The connections of one worker, from the moment they are accepted: HTTP at first, WebSockets after an upgrade, all
 * watched together.
 */
import type { SocketHandler } from "bun";
import { Count, type Tally } from "../commands/tally";
import { type HttpOwner, type HttpService, HttpStream } from "../http/stream";
import { Connection } from "../net/connection";
import { Outbox } from "../net/outbox";
import { startWatch, type Watched, type WatchLimits } from "../net/watch";
import { Close } from "../protocol/wire";
import { Session } from "../ws/session";
import { type WebSocketOwner, type WebSocketService, WebSocketStream } from "../ws/stream";

const GOING_AWAY = "the server shuts down";

export class Connections implements HttpOwner, WebSocketOwner {
  /** Those that speak HTTP. */
  readonly streams = new Set<HttpStream>();
  /** Those that are WebSockets. */
  readonly sessions = new Set<Session>();
  private readonly watched = new Set<Watched>();
  private readonly outbox = new Outbox();
  isFinishing = false;

  constructor(
    private readonly http: HttpService,
    private readonly webSockets: WebSocketService,
    private readonly tally: Tally,
    private readonly onFault: (error: unknown) => void,
  ) {}

  /** What the listeners tell goes to its connection; a fault of ours ends that one connection. */
  readonly handlers: SocketHandler<Connection> = {
    open: (socket) => {
      socket.data = new Connection(socket, this.outbox);
      this.accept(socket.data);
    },
    data: ({ data: connection }, bytes) => {
      try {
        connection.received(bytes);
      } catch (error) {
        this.fault(connection, error);
      }
    },
    drain: ({ data: connection }) => {
      try {
        connection.writable();
      } catch (error) {
        this.fault(connection, error);
      }
    },
    end: ({ data: connection }) => connection.peerEnded(),
    // With this, a TLS connection opens when it is accepted, and is watched, however its handshake goes on.
    handshake: () => {},
    close: ({ data: connection }) => connection.closed(),
    // A peer that resets, or speaks no TLS: the close that follows says all there is to say.
    error: () => {},
  };

  /** Watches from now on; returns what stops that. */
  watch(limits: WatchLimits): () => void {
    return startWatch(this.watched, limits, (ended) => {
      if (ended instanceof Session) this.tally.add(Count.CUT_CONNECTIONS, 1);
    });
  }

  /** Closes HTTP connections that wait for a next request. */
  closeIdle(): void {
    for (const stream of this.streams) stream.closeIdle();
  }

  /** The server shuts down: answers what came in, and closes. */
  finish(): void {
    this.isFinishing = true;
    for (const stream of this.streams) stream.finish();
    for (const session of this.sessions) session.finish(Close.GOING_AWAY, GOING_AWAY);
  }

  /** Work that came in before the end, or answers that the kernel has not taken. */
  get isBusy(): boolean {
    for (const stream of this.streams) if (stream.isBusy) return true;
    for (const session of this.sessions) if (session.isBusy) return true;
    return false;
  }

  /** Closes whatever is left. */
  close(): void {
    for (const stream of this.streams) stream.endNow();
    for (const session of this.sessions) session.cut();
  }

  private accept(connection: Connection): void {
    const stream = new HttpStream(connection, this.http, this);
    connection.stream = stream;
    this.streams.add(stream);
    this.watched.add(stream);
  }

  /** An HTTP connection has become a WebSocket; `first` came right behind the handshake. */
  upgraded(stream: HttpStream, session: Session, first: Buffer): void {
    this.httpEnded(stream);
    const { connection } = stream;
    const socket = new WebSocketStream(connection, session, this.webSockets, this);
    connection.stream = socket;
    this.sessions.add(session);
    this.watched.add(session);
    this.tally.add(Count.CONNECTIONS, 1);
    this.tally.add(Count.CONNECTIONS_TOTAL, 1);
    session.open(socket);
    if (first.length > 0) socket.receive(first);
    if (this.isFinishing) session.finish(Close.GOING_AWAY, GOING_AWAY);
  }

  httpEnded(stream: HttpStream): void {
    this.streams.delete(stream);
    this.watched.delete(stream);
  }

  webSocketEnded(session: Session): void {
    this.sessions.delete(session);
    this.watched.delete(session);
    this.tally.add(Count.CONNECTIONS, -1);
  }

  private fault(connection: Connection, error: unknown): void {
    this.onFault(error);
    connection.cut();
  }
}
