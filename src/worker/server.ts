/**
 * One thread's server: opens the shared store and serves it on the common port, HTTP and WebSocket alike.
 */
import type { Server, WebSocketHandler } from "bun";
import type { Credentials } from "../access/credentials";
import type { TlsPair } from "../access/tls";
import { Throttle } from "../access/throttle";
import type { Access } from "../commands/access";
import { BinaryCommands } from "../commands/binary";
import { Commands } from "../commands/commands";
import { JsonCommands } from "../commands/json";
import { Count, Tally } from "../commands/tally";
import { Guard } from "../http/guard";
import { Hosts } from "../http/host";
import { Origins } from "../http/origin";
import { createRoutes } from "../http/routes";
import { createLog, stackOf } from "../log";
import { Intake } from "../protocol/request";
import { ReplyWriter } from "../protocol/reply";
import { Store } from "../store/store";
import { Session } from "../ws/session";
import { Turn } from "../ws/turn";
import { startWatch } from "../ws/watch";
import { clockFrom } from "./clock";
import { ownerNumber, type StartOrder } from "./orders";
import { Listeners } from "./listeners";
import { startSweeper } from "./sweeper";

const REPLY_BYTES_START = 64 * 1024;
/** Bodies are bounded where they are read (http/body.ts), with an answer that names the limit; Bun's would name none. */
const BODY_BYTES_CEILING = Number.MAX_SAFE_INTEGER;
const DRAIN_POLL_MS = 5;
/** A worker takes this much less than the drain timeout, so that its end arrives in time. */
const DRAIN_MARGIN_MS = 200;

export interface RunningServer {
  /** Judges by these from now on, listens with their certificate, and closes connections whose token is gone. */
  renew(credentials: Credentials): Promise<void>;
  /** Answers what was received, closes every connection; resolves when all are closed or the time is over. */
  drain(): Promise<void>;
  /** Closes HTTP connections that wait for a next request. */
  closeIdle(): void;
}

/** Joins the shared memory and listens. Throws when it cannot listen. */
export function startServer(order: StartOrder): RunningServer {
  const { settings } = order;
  const log = createLog(settings.logLevel);
  const clock = clockFrom(order.now);
  const store = new Store(order.store, ownerNumber(order.index));
  const tally = new Tally(order.tally, order.index);
  const facts = {
    version: order.version,
    workers: settings.workers,
    connectionsMax: settings.connectionsMax,
    startedAt: order.startedAt,
  };
  const commands = new Commands(store, settings, tally, clock, facts);
  const reply = new ReplyWriter(REPLY_BYTES_START);
  const intake = new Intake();
  const turn = new Turn();
  const sessions = new Set<Session>();
  const onFault = (error: unknown) => log.error(`worker ${order.index}: ${stackOf(error)}`);
  const guard = new Guard(settings.isOpen, order.credentials);
  let ready = true;

  const newSession = (access: Access) =>
    new Session(
      access,
      commands,
      new BinaryCommands(commands, reply, access, onFault),
      new JsonCommands(commands, access, onFault),
      reply,
      intake,
      turn,
      onFault,
    );

  const { routes, fetch } = createRoutes({
    commands,
    guard,
    throttle: new Throttle(settings.authFailuresMax, () => performance.now()),
    hosts: new Hosts(settings.host, settings.allowHost),
    origins: new Origins(settings.allowOrigin, order.credentials.tls !== null),
    protectMetrics: settings.protectMetrics,
    tally,
    version: order.version,
    connectionsMax: settings.connectionsMax,
    isReady: () => ready,
    onFault,
    newSession,
  });

  const listen = (tls: TlsPair | null): Server<Session> =>
    Bun.serve<Session>({
      hostname: settings.host,
      port: settings.port,
      reusePort: true,
      routes,
      fetch,
      ...(tls !== null && { tls: { cert: tls.cert, key: tls.key } }),
      maxRequestBodySize: BODY_BYTES_CEILING,
      // Of plain HTTP only; sessions have their own watch.
      idleTimeout: Math.ceil(settings.clientTimeoutMs / 1000),
      error: (error) => {
        onFault(error);
        return new Response('{"status":"ERROR","message":"internal error"}', { status: 500 });
      },
      websocket: socketHandlers(sessions, tally, settings.messageBytesMax),
    });
  const listeners = new Listeners(listen, order.credentials.tls);
  const stopWatch = startWatch(sessions, settings, () => tally.add(Count.CUT_CONNECTIONS, 1));
  const stopSweeper = startSweeper(store, clock, order.index, settings.workers);

  const renew = async (credentials: Credentials) => {
    guard.renew(credentials);
    for (const session of sessions)
      if (!guard.stillGrants(session.access)) session.withdraw("the token is no longer valid");
    try {
      if (credentials.tls !== null) await listeners.take(credentials.tls);
    } catch (error) {
      log.error(
        `worker ${order.index}: the new certificate is not taken, the old one stays: ${(error as Error).message}`,
      );
    }
  };
  const drain = async () => {
    const deadline = performance.now() + Math.max(0, settings.drainTimeoutMs - DRAIN_MARGIN_MS);
    listeners.stopAccepting();
    // Whatever has already arrived is read first.
    await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    ready = false;
    for (const session of sessions) session.finish();
    while (performance.now() < deadline && (sessions.size > 0 || listeners.pendingRequests > 0))
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    stopSweeper();
    stopWatch();
    await listeners.close();
  };
  return { renew, drain, closeIdle: () => listeners.closeIdle() };
}

/** What Bun tells of a WebSocket goes to its session. */
function socketHandlers(
  sessions: Set<Session>,
  tally: Tally,
  messageBytesMax: number,
): WebSocketHandler<Session> {
  return {
    maxPayloadLength: messageBytesMax,
    idleTimeout: 0,
    sendPings: false,
    perMessageDeflate: false,
    // The session stops by itself as soon as the kernel takes no more; the socket must never drop a reply.
    backpressureLimit: 2 ** 31 - 1,
    closeOnBackpressureLimit: false,
    open(socket) {
      sessions.add(socket.data);
      tally.add(Count.CONNECTIONS, 1);
      tally.add(Count.CONNECTIONS_TOTAL, 1);
      socket.data.open(socket);
    },
    message: (socket, message) => socket.data.receive(message),
    drain: (socket) => socket.data.drained(),
    ping: (socket) => socket.data.noteSign(),
    pong: (socket) => socket.data.noteSign(),
    close(socket) {
      sessions.delete(socket.data);
      tally.add(Count.CONNECTIONS, -1);
      socket.data.ended();
    },
  };
}
