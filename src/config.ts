/**
 * Flags and environment in, one frozen Settings object out. Defaults adapt to each other and to the machine;
 * only what the user set can contradict, and then the message has the numbers.
 */
import { parseArgs } from "node:util";
import { z } from "zod";
import { LOG_LEVELS, type LogLevel } from "./log";
import type { Machine } from "./machine";
import { KEY_BYTES_CEILING } from "./protocol/limits";
import { SHARD_BYTES_MAX, SHARD_BYTES_MIN, valueBytesMaxFor } from "./store/layout";

const KB = 1024;
const MB = KB * KB;
const GB = MB * KB;

export interface Settings {
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
  /** Open connections; as many as were wanted, or as the open-file limit allows beside FILES_RESERVED. */
  readonly connectionsMax: number;
  readonly connectionsWanted: number;
  /** New connections that wait for a worker. */
  readonly backlog: number;
  readonly token: string | undefined;
  readonly readToken: string | undefined;
  readonly allowOrigin: readonly string[];
  readonly drainTimeoutMs: number;
  readonly logLevel: LogLevel;
}

/** Wrong usage: one line for the user; the process ends with EXIT_USAGE. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** Exit codes of sysexits.h. */
export const EXIT_USAGE = 64;
export const EXIT_OS_ERROR = 71;

interface Flag {
  /** What stands for the value in the help. */
  value: string;
  help: string;
  /** Its value must not be shown. */
  secret?: true;
}

const FLAGS = {
  host: { value: "ADDRESS", help: "address to listen on (127.0.0.1; 0.0.0.0 for every IPv4 interface)" },
  port: { value: "N", help: "port to listen on (7171; 0 lets the system choose); also PORT" },
  workers: { value: "N", help: "worker threads (the cores the process may use)" },
  shards: { value: "N", help: "parts of the store, a power of two (one for each 32mb, at most 64)" },
  memory: {
    value: "SIZE",
    help: "memory of the store: 512mb, 4gb, or 60% of what the machine or cgroup allows (1gb, or half of that)",
  },
  "max-key": { value: "SIZE", help: "longest key, at most 65535 bytes (1024)" },
  "max-value": { value: "SIZE", help: "longest value (8mb, or a quarter of a shard where that is less)" },
  "max-message": { value: "SIZE", help: "largest WebSocket message or JSON body (16mb)" },
  "max-batch": { value: "N", help: "requests in a JSON array (10000)" },
  "max-connections": { value: "N", help: "open connections (16384)" },
  "max-buffered": {
    value: "SIZE",
    help: "requests and replies that wait in the WebSockets of one worker, together (256mb)",
  },
  "client-timeout": { value: "TIME", help: "how long a connection waits for its client, 8s to 240s (60s)" },
  backlog: { value: "N", help: "new connections that may wait for a worker (4096)" },
  token: { value: "TOKEN", help: "clients must send this token; prefer BREADBOX_TOKEN", secret: true },
  "read-token": {
    value: "TOKEN",
    help: "with this token a client may only read; needs --token",
    secret: true,
  },
  "allow-origin": {
    value: "ORIGINS",
    help: "browser origins that may use the server, comma-separated, or *",
  },
  "drain-timeout": { value: "TIME", help: "at most this long from SIGTERM to the end: 10s, 500ms (10s)" },
  "log-level": { value: "LEVEL", help: `one of ${LOG_LEVELS.join(", ")} (info)` },
} satisfies Record<string, Flag>;

type FlagName = keyof typeof FLAGS;
const FLAG_NAMES = Object.keys(FLAGS) as FlagName[];

/** A whole number in a range, from its text. */
function whole(min: number, max: number) {
  return z
    .string()
    .regex(/^[0-9]{1,9}$/)
    .transform(Number)
    .refine((n) => n >= min && n <= max);
}

const SIZE = /^([0-9]+(?:\.[0-9]+)?)(b|kb|mb|gb|tb)?$/;
const UNITS: Record<string, number> = { b: 1, kb: KB, mb: MB, gb: GB, tb: GB * KB };

/** `512mb` or a plain number of bytes. */
const size = z
  .string()
  .transform((text) => SIZE.exec(text.trim().toLowerCase()))
  .refine((match) => match !== null)
  .transform((match) => Math.floor(Number(match![1]) * UNITS[match![2] ?? "b"]!))
  .refine((bytes) => bytes > 0 && Number.isSafeInteger(bytes));

const percent = z
  .string()
  .regex(/^[0-9]{1,3}(\.[0-9]+)?%$/)
  .transform((text) => Number(text.slice(0, -1)) / 100)
  .refine((share) => share > 0 && share <= 1);

const duration = z
  .string()
  .regex(/^[0-9]{1,6}(ms|s)?$/)
  .transform((text) => (text.endsWith("ms") ? Number(text.slice(0, -2)) : Number.parseInt(text, 10) * 1000));

/** Bun's timers tick every four seconds, and end at 255. */
const CLIENT_TIMEOUT_MS_MIN = 8000;
const CLIENT_TIMEOUT_MS_MAX = 240_000;

const token = z.string().regex(/^[\x21-\x7e]{1,512}$/);

const origins = z
  .string()
  .transform((text) => text.split(",").map((origin) => origin.trim()))
  .refine((list) =>
    list.every((origin) => origin === "*" || /^[a-z][a-z0-9+.-]*:\/\/[^/\s,*]+$/i.test(origin)),
  );

/** Each flag's text to its value, and what is allowed, in words. */
const VALUES = {
  host: [z.string().regex(/^[0-9A-Za-z.:_-]+$/), "an address or host name"],
  port: [whole(0, 65_535), "a port number from 0 to 65535"],
  workers: [whole(1, 256), "a whole number from 1 to 256"],
  shards: [whole(1, 4096).refine((n) => Number.isInteger(Math.log2(n))), "a power of two from 1 to 4096"],
  memory: [
    z.union([size, percent.transform((share) => ({ share }))]),
    "a size such as 512mb or 4gb, or a share such as 60%",
  ],
  "max-key": [size.refine((n) => n <= KEY_BYTES_CEILING), `a size from 1 to ${KEY_BYTES_CEILING} bytes`],
  "max-value": [size, "a size such as 8mb"],
  "max-message": [size.refine((n) => n <= GB), "a size such as 16mb, at most 1gb"],
  "max-batch": [whole(1, 10_000_000), "a whole number from 1 to 10000000"],
  "max-connections": [whole(1, 10_000_000), "a whole number from 1 to 10000000"],
  "max-buffered": [size, "a size such as 256mb"],
  "client-timeout": [
    duration.refine((ms) => ms >= CLIENT_TIMEOUT_MS_MIN && ms <= CLIENT_TIMEOUT_MS_MAX),
    "a time from 8s to 240s",
  ],
  backlog: [whole(1, 1_000_000), "a whole number from 1 to 1000000"],
  token: [token, "1 to 512 visible ASCII characters without spaces"],
  "read-token": [token, "1 to 512 visible ASCII characters without spaces"],
  "allow-origin": [origins, "origins such as https://example.org, comma-separated, or *"],
  "drain-timeout": [duration, "a time such as 10s or 500ms"],
  "log-level": [z.enum(LOG_LEVELS), `one of ${LOG_LEVELS.join(", ")}`],
} as const satisfies Record<FlagName, readonly [z.ZodType, string]>;

type Given = { [Name in FlagName]?: z.output<(typeof VALUES)[Name][0]> };

export type Invocation = { kind: "serve"; settings: Settings } | { kind: "help" } | { kind: "version" };

/** Reads the command line and environment. Throws UsageError. */
export function readInvocation(
  args: readonly string[],
  environment: Record<string, string | undefined>,
  machine: Machine,
): Invocation {
  const flags = parseFlags(args);
  if (flags.help) return { kind: "help" };
  if (flags.version) return { kind: "version" };
  return { kind: "serve", settings: settle(readGiven(flags, environment), machine) };
}

/** The text of --help. */
export function helpText(): string {
  const rows = FLAG_NAMES.map((name) => [`--${name} ${FLAGS[name].value}`, FLAGS[name].help] as const);
  const width = Math.max(...rows.map(([flag]) => flag.length));
  const lines = rows.map(([flag, help]) => `  ${flag.padEnd(width)}  ${help}`);
  return `Breadbox: a cache server for the web, over HTTP and WebSocket.

Usage: bun src/main.ts [flags]

${lines.join("\n")}
  ${"--help".padEnd(width)}  this text
  ${"--version".padEnd(width)}  the version

Every flag is also an environment variable: --max-key is BREADBOX_MAX_KEY. Flags win.

Examples:
  bun src/main.ts --memory 4gb
  BREADBOX_TOKEN=secret bun src/main.ts --host 0.0.0.0 --port 8080
  curl -X POST http://localhost:7171/put -d '{"key":"name","value":"Breadbox"}'
`;
}

type RawFlags = Partial<Record<FlagName, string>> & { help?: boolean; version?: boolean };

function parseFlags(args: readonly string[]): RawFlags {
  const options = Object.fromEntries(FLAG_NAMES.map((name) => [name, { type: "string" as const }]));
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...options,
        help: { type: "boolean", short: "h" },
        version: { type: "boolean", short: "v" },
      },
      allowPositionals: false,
    });
    return values as RawFlags;
  } catch (error) {
    throw new UsageError(`${usageProblem(args, error as Error)}; --help lists the flags`);
  }
}

/** In our words, without the value: it may be a token. */
function usageProblem(args: readonly string[], error: Error): string {
  const unknown = args.find((arg) => {
    if (!arg.startsWith("-")) return false;
    const name = arg.replace(/^--?/, "").split("=", 1)[0]!;
    return !Object.hasOwn(FLAGS, name) && !["help", "version", "h", "v"].includes(name);
  });
  if (unknown !== undefined) return `unknown flag ${unknown.split("=", 1)[0]}`;
  const code = (error as { code?: string }).code;
  if (code === "ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL") return "unexpected argument: everything is a flag";
  const valueless = args.find(
    (arg, i) => Object.hasOwn(FLAGS, arg.replace(/^--/, "")) && (args[i + 1] ?? "-").startsWith("-"),
  );
  return valueless === undefined ? "the flags can't be read" : `${valueless} needs a value`;
}

function readGiven(flags: RawFlags, environment: Record<string, string | undefined>): Given {
  const given: Record<string, unknown> = {};
  for (const name of FLAG_NAMES) {
    const variables = [
      `BREADBOX_${name.toUpperCase().replaceAll("-", "_")}`,
      ...(name === "port" ? ["PORT"] : []),
    ];
    const variable = variables.find((candidate) => (environment[candidate] ?? "") !== "");
    const text = flags[name] ?? (variable === undefined ? undefined : environment[variable]);
    if (text === undefined) continue;
    const source = flags[name] !== undefined ? `--${name}` : variable!;
    const [schema, allowed] = VALUES[name];
    const result = schema.safeParse(text);
    if (!result.success) {
      const shown = "secret" in FLAGS[name] ? "its value" : JSON.stringify(text);
      throw new UsageError(`${source}: ${shown} is not ${allowed}`);
    }
    given[name] = result.data;
  }
  return given as Given;
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
const CONNECTIONS_DEFAULT = 16_384;
const BACKLOG_DEFAULT = 4096;
/** Open files that are no connections of clients: listeners, event queues, logs, and what Bun opens for itself. */
export const FILES_RESERVED = 256;
/** The longest head of a request: op, flags, lengths, ttl, version. */
const REQUEST_HEAD_BYTES_MAX = 24;

/** Fills in what was not given, so that everything fits; refuses what was given and does not. */
function settle(given: Given, machine: Machine): Settings {
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
  if (given["read-token"] !== undefined && given.token === undefined)
    throw new UsageError("--read-token needs --token: without it everybody may write");
  if (given["read-token"] !== undefined && given["read-token"] === given.token)
    throw new UsageError("--read-token is the same as --token: who has it could write");
  const connectionsWanted = given["max-connections"] ?? CONNECTIONS_DEFAULT;
  return Object.freeze({
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
    connectionsMax: Math.max(1, Math.min(connectionsWanted, machine.filesMax - FILES_RESERVED)),
    connectionsWanted,
    backlog: given.backlog ?? BACKLOG_DEFAULT,
    token: given.token,
    readToken: given["read-token"],
    allowOrigin: given["allow-origin"] ?? [],
    drainTimeoutMs: given["drain-timeout"] ?? 10_000,
    logLevel: given["log-level"] ?? "info",
  });
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
