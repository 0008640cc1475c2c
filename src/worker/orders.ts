/** What supervisor and workers say to each other. Everything else they share lies in the store's and tally's memory. */
import type { Credentials } from "../access/credentials";
import type { DialectName } from "../http/dialects/names";
import type { OriginSettings } from "../origin/settings";
import type { LogLevel } from "../system/log";
import type { Limits } from "../protocol/limits";
import type { Recovered } from "../store/recovery";
import type { StoreMemory } from "../store/store";
import type { StreamMemory } from "../streaming/memory";

/** What a worker needs of the configuration. */
export interface WorkerSettings extends Limits {
  readonly host: string;
  readonly port: number;
  readonly workers: number;
  readonly connectionsMax: number;
  readonly http2: boolean;
  readonly http3: boolean;
  readonly allowOrigin: readonly string[];
  readonly allowHost: readonly string[];
  readonly authFailuresMax: number;
  readonly protectMetrics: boolean;
  readonly servesPage: boolean;
  readonly dialects: readonly DialectName[];
  /** No token is asked for. */
  readonly isOpen: boolean;
  readonly bufferedBytesMax: number;
  readonly clientTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly logLevel: LogLevel;
  readonly origin: OriginSettings | null;
}

export interface StartOrder {
  readonly type: "start";
  readonly settings: WorkerSettings;
  readonly credentials: Credentials;
  readonly store: StoreMemory;
  readonly streams: StreamMemory;
  readonly tally: SharedArrayBuffer;
  /** Which copies of an origin's values may be served (origin/trust.ts); null where there is no origin. */
  readonly trust: SharedArrayBuffer | null;
  /** What workers count of an origin (origin/counts.ts). */
  readonly originCounts: SharedArrayBuffer | null;
  /** Index of the worker, 0 to workers - 1; a replacement has the index of the dead. */
  readonly index: number;
  readonly version: string;
  /** Between two heartbeats. */
  readonly heartbeatMs: number;
  /** Of the store's clock; see clock.ts. */
  readonly epoch: number;
  /** On the store's clock, ms. */
  readonly startedAt: number;
}

/** Before the start, where the memory is that of an earlier server: some of its shards, to be taken over. */
export interface AttachOrder {
  readonly type: "attach";
  readonly store: StoreMemory;
  readonly shards: readonly number[];
  /** Versions go on above this. */
  readonly versionFloor: number;
}

export type ToWorker =
  | StartOrder
  | AttachOrder
  /** Goes on with these; connections whose token is not among them are closed. */
  | { readonly type: "renew"; readonly credentials: Credentials }
  /** The process runs out of files: HTTP connections without a request are to be closed. */
  | { readonly type: "close idle" }
  | { readonly type: "drain" };

export type FromWorker =
  /** The thread is up and waits for its order. */
  | { readonly type: "hello" }
  /** It has taken over a shard. */
  | { readonly type: "attached"; readonly shard: number; readonly recovered: Recovered }
  | { readonly type: "ready" }
  /** It goes on with the credentials of the last order. */
  | { readonly type: "renewed" }
  /** It cannot listen. */
  | { readonly type: "failed"; readonly reason: string };

/** The number a worker's locks carry: never 0, which means a free lock. */
export function ownerNumber(index: number): number {
  return index + 1;
}
