/**
 * The Settings: what was given, and defaults that adapt to it and to the machine. Only what the user set can contradict,
 * and then the message has the numbers.
 */
import { type CredentialSources, isOpen } from "../access/credentials";
import { type Token, tokenOf } from "../access/tokens";
import type { LogLevel } from "../log";
import type { Machine } from "../machine";
import { SHARD_BYTES_MAX, SHARD_BYTES_MIN, valueBytesMaxFor } from "../store/layout";
import type { Given } from "./flags";
import { UsageError } from "./parse";
import { GB, MB } from "./values";

export interface Settings extends CredentialSources {
  readonly host: string;
  readonly port: number;
  readonly workers: number;
  readonly shards: number;
  readonly shardBytes: number;
  readonly memoryBytes: number;
  readonly keyBytesMax: number;
  readonly valueBytesMax: number;
  readonly messageBytesMax: number;
  /** Requests in a JSON array. */
  readonly batchRequestsMax: number;
  /** Bytes that one worker's WebSockets may hold together. */
  readonly bufferedBytesMax: number;
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
  readonly drainTimeoutMs: number;
  readonly logLevel: LogLevel;
}

const MEMORY_DEFAULT = GB;
const SHARD_BYTES_WANTED = 32 * MB;
const SHARDS_WANTED_MAX = 64;
const VALUE_BYTES_DEFAULT = 8 * MB;
const MESSAGE_BYTES_DEFAULT = 16 * MB;
const KEY_BYTES_DEFAULT = 1024;
const BATCH_REQUESTS_DEFAULT = 10_000;
const BUFFERED_BYTES_DEFAULT = 256 * MB;
const CLIENT_TIMEOUT_MS_DEFAULT = 60_000;
const WORKER_TIMEOUT_MS_DEFAULT = 10_000;
const CONNECTIONS_DEFAULT = 16_384;
const BACKLOG_DEFAULT = 4096;
/** Open files that are no connections of clients: listeners, event queues, logs, and what Bun opens for itself. */
export const FILES_RESERVED = 256;
const AUTH_FAILURES_DEFAULT = 10;
/** The longest head of a request: op, flags, lengths, ttl, version. */
const REQUEST_HEAD_BYTES_MAX = 24;

/** Fills in what was not given, so that everything fits; refuses what was given and does not. */
export function settle(given: Given, machine: Machine): Settings {
  const memoryBytes = memoryOf(given, machine);
  const shards = given.shards ?? shardsFor(memoryBytes, given["max-value"]);
  const shardBytes = Math.floor(memoryBytes / shards / 4096) * 4096;
  if (shardBytes < SHARD_BYTES_MIN)
    throw new UsageError(
      `--memory ${memoryBytes} in --shards ${shards} leaves ${shardBytes} bytes a shard; at least ${SHARD_BYTES_MIN} are needed: fewer shards or more memory`,
    );
  if (shardBytes > SHARD_BYTES_MAX)
    throw new UsageError(
      `--memory ${memoryBytes} in --shards ${shards} makes ${shardBytes} bytes a shard; at most ${SHARD_BYTES_MAX} are possible: more shards`,
    );
  const keyBytesMax = given["max-key"] ?? KEY_BYTES_DEFAULT;
  const overhead = keyBytesMax + REQUEST_HEAD_BYTES_MAX;
  const shardAllows = valueBytesMaxFor(shardBytes);
  const messageAllows = given["max-message"] === undefined ? Infinity : given["max-message"] - overhead;
  if (messageAllows < 1)
    throw new UsageError(
      `--max-message ${given["max-message"]} is too small for a key of ${keyBytesMax} bytes (--max-key); at least ${overhead + 1}`,
    );
  const valueBytesMax = given["max-value"] ?? Math.min(VALUE_BYTES_DEFAULT, shardAllows, messageAllows);
  if (valueBytesMax > shardAllows)
    throw new UsageError(
      `--max-value ${valueBytesMax} is more than a quarter of a shard: --memory ${memoryBytes} in --shards ${shards} makes ${shardBytes} bytes a shard, which takes values of at most ${shardAllows}`,
    );
  if (valueBytesMax > messageAllows)
    throw new UsageError(
      `--max-value ${valueBytesMax} does not fit --max-message ${given["max-message"]}, which takes values of at most ${messageAllows}`,
    );
  const sources = credentialSources(given);
  if (given["protect-metrics"] && isOpen(sources))
    throw new UsageError("--protect-metrics needs --token: without it nobody could be told from others");
  if (given.http3 && given["tls-cert"] === undefined)
    throw new UsageError("--http3 needs --tls-cert and --tls-key: there is no HTTP/3 without TLS");
  const connectionsWanted = given["max-connections"] ?? CONNECTIONS_DEFAULT;
  return Object.freeze({
    ...sources,
    host: given.host ?? "127.0.0.1",
    port: given.port ?? 7171,
    workers: given.workers ?? machine.cores,
    shards,
    shardBytes,
    memoryBytes,
    keyBytesMax,
    valueBytesMax,
    messageBytesMax: given["max-message"] ?? Math.max(MESSAGE_BYTES_DEFAULT, valueBytesMax + overhead),
    batchRequestsMax: given["max-batch"] ?? BATCH_REQUESTS_DEFAULT,
    bufferedBytesMax: given["max-buffered"] ?? BUFFERED_BYTES_DEFAULT,
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
    drainTimeoutMs: given["drain-timeout"] ?? 10_000,
    logLevel: given["log-level"] ?? "info",
  });
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

function memoryOf(given: Given, machine: Machine): number {
  const { memory } = given;
  if (memory === undefined) return Math.min(MEMORY_DEFAULT, Math.floor(machine.memoryBytes / 2));
  if (typeof memory !== "number") return Math.floor(machine.memoryBytes * memory.share);
  if (memory > machine.memoryBytes)
    throw new UsageError(
      `--memory ${memory} is more than the ${machine.memoryBytes} bytes that this machine or its cgroup allows`,
    );
  return memory;
}

/** Shards of about 32 MiB, so that locks are many and tables small, as long as the largest value still fits one. */
function shardsFor(memoryBytes: number, valueBytesMax: number | undefined): number {
  const wanted = Math.min(SHARDS_WANTED_MAX, memoryBytes / SHARD_BYTES_WANTED);
  let shards = 2 ** Math.max(0, Math.floor(Math.log2(wanted)));
  while (memoryBytes / shards > SHARD_BYTES_MAX / 2) shards *= 2;
  while (
    shards > 1 &&
    valueBytesMax !== undefined &&
    valueBytesMaxFor(memoryBytes / shards) < valueBytesMax + 4096
  ) {
    if (memoryBytes / (shards / 2) > SHARD_BYTES_MAX) break;
    shards /= 2;
  }
  return shards;
}
