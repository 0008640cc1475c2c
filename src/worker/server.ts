/**
 * One thread's server: opens the shared store and serves it on the common port, HTTP and WebSocket alike.
 */
import type { Credentials } from "../access/credentials";
import type { TlsPair } from "../access/tls";
import { Throttle } from "../access/throttle";
import type { Access } from "../commands/access";
import { BinaryCommands } from "../commands/binary";
import { Commands } from "../commands/commands";
import { JsonCommands } from "../commands/json";
import { Tally } from "../commands/tally";
import { Guard } from "../http/guard";
import { Hosts } from "../http/host";
import { Origins } from "../http/origin";
import { HttpRequest } from "../http/request";
import { Routes } from "../http/routes";
import { createLog, stackOf } from "../log";
import { Intake } from "../protocol/request";
import { ReplyWriter } from "../protocol/reply";
import { Store } from "../store/store";
import type { Connection } from "../net/connection";
import { FrameHeader } from "../ws/frames";
import { Session } from "../ws/session";
import { Turn } from "../ws/turn";
import { clockOf } from "./clock";
import { ownerNumber, type StartOrder } from "./orders";
import { Connections } from "./connections";
import { type Listener, Listeners } from "./listeners";
import { startSweeper } from "./sweeper";

const REPLY_BYTES_START = 64 * 1024;
const DRAIN_POLL_MS = 5;
/** How long our goodbyes wait for theirs when the server shuts down. */
const GOODBYE_MS = 200;
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
  const clock = clockOf(order.epoch);
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

  const routes = new Routes({
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
  const { messageBytesMax } = settings;
  const connections = new Connections(
    { routes, intake, request: new HttpRequest(), onFault },
    { intake, header: new FrameHeader(), messageBytesMax },
    tally,
    onFault,
  );

  const listen = (tls: TlsPair | null): Listener => {
    const options = {
      hostname: settings.host,
      port: settings.port,
      reusePort: true,
      // Who has said all it will may still read our answers.
      allowHalfOpen: true,
      ...(tls !== null && { tls: { cert: tls.cert, key: tls.key } }),
      socket: connections.handlers,
    };
    return Bun.listen<Connection>(options);
  };
  const listeners = new Listeners(listen, order.credentials.tls);
  const stopWatch = connections.watch(settings);
  const stopSweeper = startSweeper(store, clock, order.index, settings.workers);

  const renew = async (credentials: Credentials) => {
    guard.renew(credentials);
    for (const session of connections.sessions)
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
    connections.finish();
    while (performance.now() < deadline && connections.isBusy)
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    const goodbye = Math.min(deadline, performance.now() + GOODBYE_MS);
    while (performance.now() < goodbye && connections.sessions.size > 0)
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    stopSweeper();
    stopWatch();
    connections.close();
  };
  return { renew, drain, closeIdle: () => connections.closeIdle() };
}
