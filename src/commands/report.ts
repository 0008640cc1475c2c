/** The stats object: one shape for GET /stats, the STATS op and the metrics, the same whichever worker answers. */
import type { ShardStats } from "../store/counters";
import { ResetReason } from "../protocol/wire";
import type { Store } from "../store/store";
import type { ErrorKind } from "../protocol/errors";
import type { Streams } from "../streaming/streams";
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

/** How the store of record is doing, and what it was asked. */
export interface OriginReport {
  readonly status: "connected" | "degraded" | "down";
  /** Null while connected. */
  readonly reason: string | null;
  /** As the worker sees them that answers. */
  readonly nodes: readonly {
    readonly name: string;
    readonly phase: string;
    readonly circuit: string;
    readonly reason: string | null;
  }[];
  /** By verb, of all workers. */
  readonly calls: Record<string, number>;
  /** By what went wrong. */
  readonly errors: Record<string, number>;
  /** Answers that named another node. */
  readonly redirects: number;
  /** Of the connections over which changes are told. */
  readonly tracking: {
    readonly connections: number;
    readonly beatsLate: number;
    readonly invalidations: number;
    readonly reconnects: number;
  };
  /** Times that a slot ceased to be trusted; times that a master was proven. */
  readonly epochsRaised: number;
  readonly proofs: number;
  /** Calls, bytes of values, and how long the answers took. */
  readonly traffic: TrafficReport;
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
  /** Single keys that connections watch; distinct prefixes. */
  watches: number;
  prefixes: number;
  /** Open streams of GET /events. */
  eventStreams: number;
  /** Keys in pushes of changes. */
  keysPushed: number;
  /** Resets that were pushed, by reason. */
  resets: Record<string, number>;
  /** Leases that are out, with those that have ended and nobody has asked for since. */
  leases: number;
  /** Callers that wait for a value. */
  tickets: number;
  commands: Record<string, number>;
  /** Requests of frames, text messages and batches that were answered with an error. */
  errors: Record<ErrorKind, number>;
  /** HTTP answers by status. */
  httpResponses: Record<string, number>;
  traffic: Record<Transport, TrafficReport>;
  /** How late each worker's event loop was in the last half minute, at most, ms. */
  eventLoopLag: number[];
  shards: ShardStats[];
  /** Only of a server that has one. */
  origin?: OriginReport;
}

export interface ReportSources {
  readonly store: Store;
  readonly streams: Streams;
  readonly tally: Tally;
  readonly facts: ServerFacts;
}

export function reportStats({ store, streams, tally, facts }: ReportSources, now: number): StatsReport {
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
    watches: tally.sum(Count.WATCHES),
    prefixes: streams.prefixCount,
    eventStreams: tally.sum(Count.EVENT_STREAMS),
    keysPushed: tally.sum(Count.KEYS_PUSHED),
    resets: Object.fromEntries(
      Object.entries(ResetReason).map(([name, reason]) => [name.toLowerCase(), tally.sumOfResets(reason)]),
    ),
    leases: streams.leaseCount,
    tickets: tally.sum(Count.TICKETS),
    commands: Object.fromEntries([...VERB_NAMES].map(([name, op]) => [name, tally.sumOfVerb(op)])),
    errors: tally.errors(),
    httpResponses: tally.responses(),
    traffic,
    eventLoopLag: tally.lags(now),
    ...total,
    shards,
  };
}
