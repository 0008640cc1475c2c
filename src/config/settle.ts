/**
 * The Settings: what was given, and defaults that adapt to it and to the machine. Only what the user set can contradict,
 * and then the message has the numbers.
 */
import { type CredentialSources, isOpen } from "../access/credentials";
import { type Token, tokenOf } from "../access/tokens";
import { type DialectName, DIALECTS } from "../http/dialects/names";
import type { OriginSettings } from "../origin/settings";
import type { LogLevel } from "../system/log";
import type { Machine } from "../system/machine";
import type { Given } from "./flags";
import { UsageError } from "./parse";
import { type Sizes, settleSizes } from "./sizes";
import { MB } from "./values";

export interface Settings extends CredentialSources, Sizes {
  readonly host: string;
  readonly port: number;
  readonly workers: number;
  /** Where the memory of the store is kept over restarts; undefined where it is not. */
  readonly dataDir: string | undefined;
  /** How long the server may have been down before what is kept is dropped. */
  readonly dataMaxAgeMs: number;
  /** The store of record; null where the server is that itself. */
  readonly origin: OriginSettings | null;
  /** Requests in a JSON array. */
  readonly batchRequestsMax: number;
  /** For the watches of a worker's connections. */
  readonly watchBytes: number;
  /** How long a connection waits for its client. */
  readonly clientTimeoutMs: number;
  /** How long a worker may be silent. */
  readonly workerTimeoutMs: number;
  /** Open connections; as many as were wanted, or as the open-file limit allows beside FILES_RESERVED. */
  readonly connectionsMax: number;
  readonly connectionsWanted: number;
  /** New connections that wait for a worker. */
  readonly backlog: number;
  /** No token is asked for: everybody may do everything. */
  readonly isOpen: boolean;
  readonly authFailuresMax: number;
  readonly http2: boolean;
  readonly http3: boolean;
  readonly allowOrigin: readonly string[];
  readonly allowHost: readonly string[];
  readonly protectMetrics: boolean;
  /** Browsers get a page at `/`. */
  readonly servesPage: boolean;
  /** Those that are spoken. */
  readonly dialects: readonly DialectName[];
  readonly drainTimeoutMs: number;
  readonly logLevel: LogLevel;
}

const DATA_MAX_AGE_MS_DEFAULT = 300_000;
const ORIGIN_FLAGS = [
  "origin-ca",
  "origin-namespace",
  "origin-timeout",
  "l1-max-age",
  "l1-stale-max",
] as const;
const ORIGIN_TIMEOUT_MS_DEFAULT = 250;
const L1_MAX_AGE_MS_DEFAULT = 1000;
const BATCH_REQUESTS_DEFAULT = 10_000;
const WATCH_BYTES_DEFAULT = 16 * MB;
const CLIENT_TIMEOUT_MS_DEFAULT = 60_000;
const WORKER_TIMEOUT_MS_DEFAULT = 10_000;
const CONNECTIONS_DEFAULT = 16_384;
const BACKLOG_DEFAULT = 4096;
/** Open files that are no connections of clients: listeners, event queues, logs, and what Bun opens for itself. */
export const FILES_RESERVED = 256;
const AUTH_FAILURES_DEFAULT = 10;

/** Fills in what was not given, so that everything fits; refuses what was given and does not. */
export function settle(given: Given, machine: Machine): Settings {
  const workers = given.workers ?? machine.cores;
  const sources = credentialSources(given);
  if (given["protect-metrics"] && isOpen(sources))
    throw new UsageError("--protect-metrics needs --token: without it nobody could be told from others");
  if (given.http3 && given["tls-cert"] === undefined)
    throw new UsageError("--http3 needs --tls-cert and --tls-key: there is no HTTP/3 without TLS");
  if (given["data-max-age"] !== undefined && given["data-dir"] === undefined)
    throw new UsageError("--data-max-age needs --data-dir: without it nothing is kept");
  if (given["data-dir"] !== undefined && machine.platform !== "linux")
    throw new UsageError("--data-dir works on Linux only");
  const connectionsWanted = given["max-connections"] ?? CONNECTIONS_DEFAULT;
  return Object.freeze({
    ...sources,
    host: given.host ?? "127.0.0.1",
    port: given.port ?? 7171,
    workers,
    ...settleSizes(given, machine, workers),
    dataDir: given["data-dir"],
    dataMaxAgeMs: given["data-max-age"] ?? DATA_MAX_AGE_MS_DEFAULT,
    origin: originSettings(given),
    batchRequestsMax: given["max-batch"] ?? BATCH_REQUESTS_DEFAULT,
    watchBytes: given["watch-memory"] ?? WATCH_BYTES_DEFAULT,
    clientTimeoutMs: given["client-timeout"] ?? CLIENT_TIMEOUT_MS_DEFAULT,
    workerTimeoutMs: given["worker-timeout"] ?? WORKER_TIMEOUT_MS_DEFAULT,
    connectionsMax: Math.max(1, Math.min(connectionsWanted, machine.filesMax - FILES_RESERVED)),
    connectionsWanted,
    backlog: given.backlog ?? BACKLOG_DEFAULT,
    isOpen: isOpen(sources),
    authFailuresMax: given["auth-failures"] ?? AUTH_FAILURES_DEFAULT,
    http2: given.http2 ?? false,
    http3: given.http3 ?? false,
    allowOrigin: given["allow-origin"] ?? [],
    allowHost: given["allow-host"] ?? [],
    protectMetrics: given["protect-metrics"] ?? false,
    servesPage: !given["no-page"],
    dialects: DIALECTS.filter((name) => !given[`no-${name}`]),
    drainTimeoutMs: given["drain-timeout"] ?? 10_000,
    logLevel: given["log-level"] ?? "info",
  });
}

function originSettings(given: Given): OriginSettings | null {
  const { origin } = given;
  if (origin === undefined) {
    for (const name of ORIGIN_FLAGS)
      if (given[name] !== undefined)
        throw new UsageError(`--${name} needs --origin: without it this server is the store of record`);
    return null;
  }
  if (given["data-dir"] !== undefined)
    throw new UsageError("--data-dir contradicts --origin: what is kept would be copies of unknown age");
  if (given["origin-ca"] !== undefined && !origin.isTls)
    throw new UsageError(
      "--origin-ca needs an --origin that begins with rediss://: without TLS nothing is verified",
    );
  return {
    address: origin,
    caFile: given["origin-ca"],
    namespace: given["origin-namespace"] ?? "bb",
    timeoutMs: given["origin-timeout"] ?? ORIGIN_TIMEOUT_MS_DEFAULT,
    maxAgeMs: given["l1-max-age"] ?? L1_MAX_AGE_MS_DEFAULT,
    staleMaxMs: given["l1-stale-max"] ?? 0,
  };
}

/** Tokens leave this place as digests only. */
function credentialSources(given: Given): CredentialSources {
  const full = given.token ?? [];
  const read = given["read-token"] ?? [];
  if (read.length > 0 && full.length === 0 && given["token-file"] === undefined)
    throw new UsageError("--read-token needs --token or --token-file: without one nobody may write");
  if (read.some((token) => full.includes(token)))
    throw new UsageError("--read-token is the same as --token: who has it could write");
  if ((given["tls-cert"] === undefined) !== (given["tls-key"] === undefined))
    throw new UsageError("--tls-cert and --tls-key need each other");
  const tokens: Token[] = [
    ...full.map((token) => tokenOf(token, "all")),
    ...read.map((token) => tokenOf(token, "read")),
  ];
  return {
    tokens,
    tokenFile: given["token-file"],
    tokenSecretFile: given["token-secret-file"],
    tlsCert: given["tls-cert"],
    tlsKey: given["tls-key"],
  };
}
