/**
 * One thread's server: joins the shared store and serves it on the common port with one Bun.serve, HTTP and WebSockets alike.
 *
 *   Bun.serve ─┬─ routes, fetch ─▶ http/answer.ts ─▶ a handler ─┐
 *              └─ websocket ─────▶ ws/session.ts ───────────────┴─▶ Commands ─▶ Store
 */
import type { Server } from "bun";
import type { Credentials } from "../access/credentials";
import type { TlsPair } from "../access/tls";
import { Throttle } from "../access/throttle";
import { Commands } from "../commands/commands";
import { Garbage } from "../commands/garbage";
import { Quota } from "../commands/quota";
import { streamCounts, Tally } from "../commands/tally";
import { Turns } from "../commands/turns";
import { EventStreams } from "../http/event-streams";
import { Guard } from "../http/guard";
import { Hosts } from "../http/host";
import type { WaitingRequest } from "../http/context";
import { Origins } from "../http/origin";
import { RefusalLog } from "../http/refusal-log";
import { errorResponse } from "../http/respond";
import { createRoutes } from "../http/routes";
import { Unsent } from "../http/unsent";
import type { Origin } from "../origin/origin";
import { createLog, type Log, stackOf } from "../system/log";
import { Intake } from "../protocol/request";
import { ReplyWriter } from "../protocol/reply";
import { Store } from "../store/store";
import { Streams } from "../streaming/streams";
import { Session } from "../ws/session";
import { Sessions } from "../ws/sessions";
import { clockOf } from "./clock";
import { Listeners } from "./listeners";
import { ownerNumber, type StartOrder } from "./orders";
import { startSweeper } from "./sweeper";

const REPLY_BYTES_START = 64 * 1024;
const FILL_BYTES_START = 1024;
/** Bodies are bounded where they are read (http/body.ts), with an answer that names the limit; Bun's would name none. */
const BODY_BYTES_CEILING = Number.MAX_SAFE_INTEGER;
const DRAIN_POLL_MS = 5;
/** How long the server's close frames wait to be answered when it shuts down: a client that is gone answers none. */
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
export async function startServer(order: StartOrder): Promise<RunningServer> {
  const { settings, credentials } = order;
  const log = createLog(settings.logLevel);
  const onFault = (error: unknown) => log.error(`worker ${order.index}: ${stackOf(error)}`);
  const clock = clockOf(order.epoch);
  const store = new Store(order.store, ownerNumber(order.index));
  const tally = new Tally(order.tally, order.index);
  const facts = { ...settings, version: order.version, startedAt: order.startedAt };
  const streams = new Streams({
    memory: order.streams,
    store,
    worker: order.index,
    clock,
    counts: streamCounts(tally),
    onFault,
  });
  streams.takeOver();
  const parts = { store, streams, limits: settings, tally, clock, facts };
  const origin = await openOrigin(order, { store, clock, log });
  const garbage = new Garbage(() => sessions.size);
  const commands = origin?.commands(parts, garbage) ?? new Commands(parts);
  const quota = new Quota(settings.bufferedBytesMax);
  const turns = new Turns();
  const guard = new Guard(settings.isOpen, credentials);
  const sessions = new Sessions(tally, settings);
  const forSessions = {
    commands,
    streams,
    frames: tally.traffic("frames"),
    texts: tally.traffic("text"),
    reply: new ReplyWriter(REPLY_BYTES_START),
    fills: new ReplyWriter(FILL_BYTES_START),
    intake: new Intake(),
    turns,
    garbage,
    quota,
    onOverflow: () => sessions.shedSoon(),
    onFault,
  };
  // Over HTTP/1.1 Bun's idle timeout ends slow bodies; over HTTP/2 and HTTP/3 a byte now and then puts it off for ever.
  const msPerMebibyte = settings.http2 || settings.http3 ? settings.clientTimeoutMs : null;
  const unsent = new Unsent(settings.bufferedBytesMax);
  const { clientTimeoutMs } = settings;
  const traffic = tally.traffic("http");
  const eventStreams = new EventStreams({ commands, streams, tally, traffic, unsent, clientTimeoutMs });
  const waiters = new Set<WaitingRequest>();
  let ready = true;

  const { routes, fetch } = createRoutes({
    commands,
    streams,
    eventStreams,
    waiters,
    quota,
    turns,
    garbage,
    unsent,
    guard,
    throttle: new Throttle(settings.authFailuresMax, () => performance.now()),
    hosts: new Hosts(settings.host, settings.allowHost),
    origins: new Origins(settings.allowOrigin, credentials.tls !== null),
    refusals: new RefusalLog(log, () => performance.now()),
    protectMetrics: settings.protectMetrics,
    servesPage: settings.servesPage,
    dialects: settings.dialects,
    tally,
    traffic,
    version: order.version,
    connectionsMax: settings.connectionsMax,
    messageBody: { bytesMax: settings.messageBytesMax, flag: "--max-message", msPerMebibyte },
    valueBody: { bytesMax: settings.valueBytesMax, flag: "--max-value", msPerMebibyte },
    speaksHttp2: settings.http2,
    isReady: () => ready,
    onFault,
    newSession: (access) => new Session(access, forSessions),
  });

  const listen = (tls: TlsPair | null): Server<Session> =>
    Bun.serve<Session>({
      hostname: settings.host,
      port: settings.port,
      reusePort: true,
      ...(tls !== null && { tls: { cert: tls.cert, key: tls.key } }),
      http2: settings.http2,
      http3: settings.http3,
      routes,
      fetch,
      websocket: sessions.handlers(settings.messageBytesMax),
      error(error) {
        onFault(error);
        return errorResponse(500, "internal error; it is in the server's log");
      },
      maxRequestBodySize: BODY_BYTES_CEILING,
      // Of plain HTTP only: sessions have a watch of their own.
      idleTimeout: Math.ceil(settings.clientTimeoutMs / 1000),
      development: false,
    });
  const listeners = new Listeners(listen, credentials.tls);
  const stopWatch = sessions.watch();
  const stopSweeper = startSweeper(store, clock, { index: order.index, workers: settings.workers }, onFault);

  const renew = async (renewed: Credentials) => {
    guard.renew(renewed);
    for (const session of sessions)
      if (!guard.stillGrants(session.access)) session.withdraw("the token is no longer valid");
    eventStreams.withdraw((access) => guard.stillGrants(access));
    for (const waiter of [...waiters]) if (!guard.stillGrants(waiter.access)) waiter.withdraw();
    try {
      if (renewed.tls !== null) await listeners.take(renewed.tls);
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
    await Bun.sleep(DRAIN_POLL_MS);
    ready = false;
    sessions.drain();
    eventStreams.drain();
    for (const waiter of [...waiters]) waiter.giveUp();
    await whileTrue(() => sessions.isBusy || listeners.pendingRequests > 0, deadline);
    await whileTrue(() => sessions.size > 0, Math.min(deadline, performance.now() + GOODBYE_MS));
    stopSweeper();
    stopWatch();
    streams.stop();
    await listeners.close();
    await origin?.close();
  };
  return { renew, drain, closeIdle: () => listeners.closeIdle() };
}

/** Loads what is needed of it only where there is one. */
async function openOrigin(
  { settings, trust, originCounts: counts, index }: StartOrder,
  parts: { store: Store; clock: () => number; log: Log },
): Promise<Origin | null> {
  const { origin, valueBytesMax, bufferedBytesMax } = settings;
  if (origin === null || trust === null || counts === null) return null;
  const { Origin } = await import("../origin/origin");
  return Origin.open({
    ...parts,
    settings: origin,
    trust,
    counts,
    valueBytesMax,
    bufferedBytesMax,
    worker: index,
  });
}

/** Resolves when it is true no more, or the time is over. */
async function whileTrue(isTrue: () => boolean, deadline: number): Promise<void> {
  while (performance.now() < deadline && isTrue()) await Bun.sleep(DRAIN_POLL_MS);
}
