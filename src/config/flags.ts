/**
 * The one table of flags: what each is called, what its help says, how its text is read and what is allowed, in words.
 * Every flag is also an environment variable; parse.ts reads both by this table.
 */
import { z } from "zod";
import { TOKEN_FORM, TOKEN_PATTERN } from "../access/tokens";
import { LOG_LEVELS } from "../system/log";
import { KEY_BYTES_CEILING } from "../protocol/limits";
import {
  address,
  directory,
  file,
  GB,
  host,
  hosts,
  MB,
  origins,
  percent,
  size,
  time,
  whole,
  yesOrNo,
} from "./values";

export interface Flag {
  /** What stands for the value in the help; absent for a switch. */
  value?: string;
  help: string;
  /** It may be given several times; its variable separates the values by spaces. */
  repeats?: true;
  /** Its value must not be shown. */
  secret?: true;
}

export const FLAGS = {
  host: { value: "ADDRESS", help: "address to listen on (127.0.0.1; 0.0.0.0 for every IPv4 interface)" },
  port: { value: "N", help: "port to listen on (7171; 0 lets the system choose); also PORT" },
  workers: { value: "N", help: "worker threads (the cores the process may use)" },
  shards: { value: "N", help: "parts of the store, a power of two (one for each 32mb, at most 64)" },
  memory: {
    value: "SIZE",
    help: "memory of the store: 512mb, 4gb, or 60% of what the machine or cgroup allows (1gb, or half of that)",
  },
  "data-dir": {
    value: "DIR",
    help: "keep the memory of the store in a file here, over restarts of the server: /dev/shm/breadbox, or on a disk",
  },
  "data-max-age": {
    value: "TIME",
    help: "drop what is kept when the server was down for longer, 2s to 30d (5m); needs --data-dir",
  },
  origin: {
    value: "URL",
    help: "a Valkey or Redis Cluster is the store of record: redis://user:password@host:port,host:port or rediss://",
    secret: true,
  },
  "origin-ca": {
    value: "FILE",
    help: "certificates to trust at rediss:// instead of the system's (PEM); needs --origin",
  },
  "origin-namespace": { value: "NAME", help: "its keys begin with this and a colon (bb); needs --origin" },
  "origin-timeout": {
    value: "TIME",
    help: "how long the origin may take for an answer, 10ms to 60s (250ms); needs --origin",
  },
  "l1-max-age": {
    value: "TIME",
    help: "no read gives a value that is older, 100ms to 1h (1s); needs --origin",
  },
  "l1-stale-max": {
    value: "TIME",
    help: "when the origin does not answer, serve values that are older by so much, and say so, up to 1d (0); needs --origin",
  },
  "max-key": { value: "SIZE", help: "longest key, at most 65535 bytes (1024)" },
  "max-value": { value: "SIZE", help: "longest value (8mb, or a quarter of a shard where that is less)" },
  "max-message": { value: "SIZE", help: "largest WebSocket message or JSON body (16mb)" },
  "max-batch": { value: "N", help: "requests in a JSON array (10000)" },
  "max-connections": { value: "N", help: "open WebSockets and event streams (16384)" },
  "max-buffered": {
    value: "SIZE",
    help: "bodies, unread replies, unread answers: what a worker may hold of each (256mb, or as memory allows)",
  },
  "watch-memory": { value: "SIZE", help: "what the watches of a worker's connections may take (16mb)" },
  "client-timeout": { value: "TIME", help: "how long a connection waits for its client, 8s to 240s (60s)" },
  "worker-timeout": {
    value: "TIME",
    help: "a worker that has been silent for so long hangs and is replaced, 1s to 1h (10s)",
  },
  backlog: { value: "N", help: "new connections that may wait for a worker (4096)" },
  token: {
    value: "TOKEN",
    help: "clients must send this token; may be given several times; prefer --token-file",
    secret: true,
    repeats: true,
  },
  "read-token": {
    value: "TOKEN",
    help: "with this token a client may only read; may be given several times",
    secret: true,
    repeats: true,
  },
  "token-file": {
    value: "FILE",
    help: "tokens, one a line: `TOKEN` or `all TOKEN`, `read TOKEN`; read again on SIGHUP",
  },
  "token-secret-file": {
    value: "FILE",
    help: "secrets that sign scoped tokens (breadbox token), one a line; read again on SIGHUP",
  },
  "auth-failures": {
    value: "N",
    help: "wrong tokens an address may try in a minute before their answers are held back (10)",
  },
  "tls-cert": {
    value: "FILE",
    help: "serve https and wss with this certificate (PEM); read again on SIGHUP; needs --tls-key",
  },
  "tls-key": { value: "FILE", help: "its private key (PEM)" },
  http2: { help: "speak HTTP/2 too (experimental in Bun; WebSockets stay on HTTP/1.1)" },
  http3: { help: "speak HTTP/3 too, over UDP at the same port (experimental in Bun); needs --tls-cert" },
  "allow-origin": {
    value: "ORIGINS",
    help: "browser origins that may use the server, comma-separated, or *",
  },
  "allow-host": {
    value: "NAMES",
    help: "host names it is reached by beside those of loopback, comma-separated",
  },
  "protect-metrics": { help: "/metrics needs a token that may see the stats" },
  "no-page": { help: "close the page for browsers at /" },
  "no-turborepo": { help: "close the paths of Turborepo's remote cache" },
  "no-nx": { help: "close the paths of Nx's remote cache" },
  "no-webdav": { help: "close PROPFIND and MKCOL on /kv, which sccache sends" },
  "no-unstorage": { help: "close /unstorage, for unstorage's http driver" },
  "no-upstash": { help: "close /upstash, for @upstash/redis and other clients of its REST API" },
  "drain-timeout": { value: "TIME", help: "at most this long from SIGTERM to the end: 10s, 500ms (10s)" },
  "log-level": { value: "LEVEL", help: `one of ${LOG_LEVELS.join(", ")} (info)` },
} satisfies Record<string, Flag>;

export type FlagName = keyof typeof FLAGS;
export const FLAG_NAMES = Object.keys(FLAGS) as FlagName[];

/** The environment variable of a flag. */
export function variableOf(name: FlagName): string {
  return `BREADBOX_${name.toUpperCase().replaceAll("-", "_")}`;
}

/** Bun's timers tick every four seconds, and end at 255. */
const CLIENT_TIMEOUT_MS_MIN = 8000;
const CLIENT_TIMEOUT_MS_MAX = 240_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const token = z.string().regex(TOKEN_PATTERN);

/** Each flag's text to its value, and what is allowed, in words. */
export const VALUES = {
  host: [host, "an address or host name (the port is given by --port)"],
  port: [whole(0, 65_535), "a port number from 0 to 65535"],
  workers: [whole(1, 256), "a whole number from 1 to 256"],
  shards: [whole(1, 4096).refine((n) => Number.isInteger(Math.log2(n))), "a power of two from 1 to 4096"],
  memory: [
    z.union([size, percent.transform((share) => ({ share }))]),
    "a size such as 512mb or 4gb, or a share such as 60%",
  ],
  "data-dir": [directory, "a path (the shell has to expand ~ before)"],
  "data-max-age": [time(2000, 30 * DAY_MS), "a time from 2s to 30d"],
  origin: [address, "the address of a Valkey or Redis server"],
  "origin-ca": [file, "a path"],
  "origin-namespace": [
    z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/),
    "1 to 64 letters, digits, dots, hyphens and underscores",
  ],
  "origin-timeout": [time(10, 60_000), "a time from 10ms to 60s"],
  "l1-max-age": [time(100, HOUR_MS), "a time from 100ms to 1h"],
  "l1-stale-max": [time(0, DAY_MS), "a time of at most 1d"],
  "max-key": [size.refine((n) => n <= KEY_BYTES_CEILING), `a size from 1 to ${KEY_BYTES_CEILING} bytes`],
  "max-value": [size, "a size such as 8mb"],
  "max-message": [size.refine((n) => n <= GB), "a size such as 16mb, at most 1gb"],
  "max-batch": [whole(1, 10_000_000), "a whole number from 1 to 10000000"],
  "max-connections": [whole(1, 10_000_000), "a whole number from 1 to 10000000"],
  "max-buffered": [size, "a size such as 256mb"],
  "watch-memory": [size.refine((n) => n >= MB && n <= GB), "a size from 1mb to 1gb"],
  "client-timeout": [time(CLIENT_TIMEOUT_MS_MIN, CLIENT_TIMEOUT_MS_MAX), "a time from 8s to 240s"],
  "worker-timeout": [time(1000, HOUR_MS), "a time from 1s to 1h"],
  backlog: [whole(1, 1_000_000), "a whole number from 1 to 1000000"],
  token: [token, TOKEN_FORM],
  "read-token": [token, TOKEN_FORM],
  "token-file": [file, "a path"],
  "token-secret-file": [file, "a path"],
  "auth-failures": [whole(1, 1_000_000), "a whole number from 1 to 1000000"],
  "tls-cert": [file, "a path"],
  "tls-key": [file, "a path"],
  http2: [yesOrNo, "1, 0, true or false"],
  http3: [yesOrNo, "1, 0, true or false"],
  "allow-origin": [origins, "origins such as https://example.org, comma-separated, or *"],
  "allow-host": [hosts, "host names without ports, comma-separated"],
  "protect-metrics": [yesOrNo, "1, 0, true or false"],
  "no-page": [yesOrNo, "1, 0, true or false"],
  "no-turborepo": [yesOrNo, "1, 0, true or false"],
  "no-nx": [yesOrNo, "1, 0, true or false"],
  "no-webdav": [yesOrNo, "1, 0, true or false"],
  "no-unstorage": [yesOrNo, "1, 0, true or false"],
  "no-upstash": [yesOrNo, "1, 0, true or false"],
  "drain-timeout": [time(0, HOUR_MS), "a time of at most 1h, such as 10s or 500ms"],
  "log-level": [z.string().toLowerCase().pipe(z.enum(LOG_LEVELS)), `one of ${LOG_LEVELS.join(", ")}`],
} as const satisfies Record<FlagName, readonly [z.ZodType, string]>;

/** What was given, checked; settle.ts fills in the rest. */
export type Given = {
  [Name in FlagName]?: (typeof FLAGS)[Name] extends { repeats: true }
    ? z.output<(typeof VALUES)[Name][0]>[]
    : z.output<(typeof VALUES)[Name][0]>;
};
