/** The stats object: one shape for GET /stats, the STATS op and the metrics, the same whichever worker answers. */
import type { ShardStats } from "../store/counters";
import type { Store } from "../store/store";
import type { ErrorKind } from "../protocol/errors";
import { Count, type Tally, VERB_NAMES } from "./tally";
import { reportTraffic, type TrafficReport, type Transport, TRANSPORTS } from "./traffic";

/** What does not change while the server runs. */
export interface ServerFacts {
  readonly version: string;
  readonly workers: number;
  readonly connectionsMax: number;
  /** On the store's clock, ms. */
  readonly startedAt: number;
}

export interface StatsReport extends ShardStats {
  version: string;
  /** Seconds. */
  uptime: number;
  workers: number;
  workerRestarts: number;
  /** Of them those that were ended because they hung (--worker-timeout). */
  workerHangs: number;
  /** Open WebSockets. */
  connections: number;
  connectionsTotal: number;
  connectionsMax: number;
  connectionsRefused: number;
  /** Ended because the client did not read or answer (--client-timeout), or all sessions held too much (--max-buffered). */
  connectionsCut: number;
  httpRequests: number;
  accessRefusals: number;
  authFailures: number;
  commands: Record<string, number>;
  /** Requests of frames, text messages and batches that were answered with an error. */
  errors: Record<ErrorKind, number>;
  /** HTTP answers by status. */
  httpResponses: Record<string, number>;
  traffic: Record<Transport, TrafficReport>;
  /** How late each worker's event loop was in the last half minute, at most, ms. */
  eventLoopLag: number[];
  shards: ShardStats[];
}

export function reportStats(store: Store, tally: Tally, facts: ServerFacts, now: number): StatsReport {
  const { shards, total } = store.stats();
  const traffic = Object.fromEntries(
    TRANSPORTS.map((transport) => [transport, reportTraffic(tally.sumOfTraffic(transport))]),
  ) as Record<Transport, TrafficReport>;
  return {
    version: facts.version,
    uptime: Math.floor((now - facts.startedAt) / 1000),
    workers: facts.workers,
    workerRestarts: tally.sum(Count.RESTARTS),
    workerHangs: tally.sum(Count.HANGS),
    connections: tally.sum(Count.CONNECTIONS),
    connectionsTotal: tally.sum(Count.CONNECTIONS_TOTAL),
    connectionsMax: facts.connectionsMax,
    connectionsRefused: tally.sum(Count.REFUSED_CONNECTIONS),
    connectionsCut: tally.sum(Count.CUT_CONNECTIONS),
    httpRequests: traffic.http.messages,
    accessRefusals: tally.sum(Count.REFUSED_ACCESS),
    authFailures: tally.sum(Count.AUTH_FAILURES),
    commands: Object.fromEntries([...VERB_NAMES].map(([name, op]) => [name, tally.sumOfVerb(op)])),
    errors: tally.errors(),
    httpResponses: tally.responses(),
    traffic,
    eventLoopLag: tally.lags(now),
    ...total,
    shards,
  };
}
