/** The options of connecting, and of single requests, with their defaults and bounds. */
import { checkNames, checkTimeout, checkTtl, checkWhole, invalid, TIMEOUT_MS_MAX, utf8 } from "./check";
import type { ConnectionOptions } from "./connection";
import type { WebSocketClass } from "./socket";

/** Of `connect`. Times are in milliseconds, sizes in bytes; the defaults stand in brackets. */
export interface ConnectOptions {
  /** The server's token (none). Sent as a subprotocol, so that it works from browsers, too. */
  token?: string;
  /** The class to connect with (the global one): for Node before 22 that of the `ws` package. */
  WebSocket?: WebSocketClass;
  /** Without a connection, requests fail at once with `not-connected`, and do not wait for one (false). */
  failFast?: boolean;
  /** The time to live of entries that are written without one; null: they never expire (null). */
  ttlMs?: number | null;
  /** How long a request may take, from the call to its answer (5000). */
  timeoutMs?: number;
  /** How long an attempt to connect may take (5000). */
  connectTimeoutMs?: number;
  /** How long `close` waits for answers to requests in flight (5000). */
  closeTimeoutMs?: number;
  /** A PING is sent when nothing came for so long (5000, or `timeoutMs` if that is more); 0 for none. */
  heartbeatMs?: number;
  /** The delay before the first attempt to connect again (50). It doubles with each attempt. */
  reconnectMinMs?: number;
  /** The longest delay before an attempt to connect again (5000). */
  reconnectMaxMs?: number;
  /** Requests in flight at once (65536); further ones wait. */
  inFlightRequestsMax?: number;
  /** Bytes of requests in flight at once (8 MiB); further ones wait. */
  inFlightBytesMax?: number;
  /** Requests that wait (1000000); one more fails with `overloaded`. */
  waitingMax?: number;
  /** The largest message (16 MiB), as the server's --max-message. A larger request fails with `value-too-large`. */
  messageBytesMax?: number;
  /** Keeps copies of what was read, and serves them while they are provably young enough (no copies). */
  near?: NearOptions;
}

/** Of the near cache. */
export interface NearOptions {
  /** What all copies may take, in bytes (32 MiB): keys, values, and 224 bytes for each. */
  maxBytes?: number;
  /** How old a value that is served may be, in milliseconds (1000). */
  maxAgeMs?: number;
}

/** Of every request. */
export interface RequestOptions {
  /** How long it may take, in milliseconds (`timeoutMs` of `connect`). */
  timeoutMs?: number;
  /** Gives it up, with `aborted`. A write that has left may still happen. */
  signal?: AbortSignal;
}

/** Of every write. */
export interface WriteOptions extends RequestOptions {
  /** Send it again when the connection breaks, though it may have happened already (false). */
  retry?: boolean;
}

/** Of writes that may give an entry a time to live. */
export interface TtlOptions extends WriteOptions {
  /** The entry expires after so many milliseconds, a whole number from 1 to 2^53-1; null: never (that of the namespace). */
  ttlMs?: number | null;
}

/** Of `delete`. */
export interface DeleteOptions extends WriteOptions {
  /** Only if the entry has this version. */
  ifVersion?: number;
}

/** Of `getOrCompute`. */
export interface ComputeOptions extends RequestOptions {
  /** How long it may take from the call to the value, in milliseconds (`leaseMs` and `timeoutMs` of `connect` together). */
  timeoutMs?: number;
  /** A computed value expires after so many milliseconds, a whole number from 1 to 2^53-1; null: never (that of the namespace). */
  ttlMs?: number | null;
  /** How long others wait for the value to be computed, in milliseconds (10000), at most 60,000. */
  leaseMs?: number;
  /** An entry that expires within so many milliseconds is computed anew by one caller, while all still get it (0). */
  earlyMs?: number;
}

/** A condition of a put: only if there is no entry, or only if there is one, or only if it has this version. */
export type PutCondition =
  | { ifAbsent?: boolean; ifPresent?: false; ifVersion?: undefined }
  | { ifAbsent?: false; ifPresent?: boolean; ifVersion?: number };

/** Of `put`. */
export type PutOptions = TtlOptions & PutCondition;

/** Of `putMany`: a version would be that of one entry. */
export type PutManyOptions = TtlOptions &
  ({ ifAbsent?: boolean; ifPresent?: false } | { ifAbsent?: false; ifPresent?: boolean });

/** Of `namespace`. */
export interface NamespaceOptions {
  /** The time to live of entries that are written without one; null: they never expire (that of the cache or namespace). */
  ttlMs?: number | null;
}

/** [default, least, most] */
const BOUNDS = {
  timeoutMs: [5000, 1, TIMEOUT_MS_MAX],
  connectTimeoutMs: [5000, 1, TIMEOUT_MS_MAX],
  closeTimeoutMs: [5000, 1, TIMEOUT_MS_MAX],
  heartbeatMs: [5000, 0, TIMEOUT_MS_MAX],
  reconnectMinMs: [50, 1, TIMEOUT_MS_MAX],
  reconnectMaxMs: [5000, 1, TIMEOUT_MS_MAX],
  inFlightRequestsMax: [65_536, 1, 1e9],
  inFlightBytesMax: [8 << 20, 1, 1e12],
  waitingMax: [1_000_000, 1, 1e9],
  messageBytesMax: [16 << 20, 1024, 2 ** 32 - 1],
} as const;
/** Of the near cache: [default, least, most] */
const NEAR_BOUNDS = {
  maxBytes: [32 << 20, 1024, 2 ** 40],
  maxAgeMs: [1000, 1, TIMEOUT_MS_MAX],
} as const;
const LEASE_MS_MAX = 60_000;
const WS_PATH = "/ws";

export type NearBounds = Required<NearOptions>;

/** What `connect` needs. */
interface Settled extends ConnectionOptions {
  /** Null for none. */
  near: NearBounds | null;
  /** Null: entries never expire unless a write says otherwise. */
  ttlMs: number | null;
}

/** Everything that is needed, from what the caller gave. Throws `invalid-argument`. */
export function settle(url: string, options: ConnectOptions): Settled {
  checkNames("connect", options, ["token", "WebSocket", "near", "ttlMs", "failFast", ...Object.keys(BOUNDS)]);
  const { token, WebSocket = (globalThis as { WebSocket?: WebSocketClass }).WebSocket } = options;
  if (typeof WebSocket !== "function")
    throw invalid("WebSocket", "there is none here: pass the class of the ws package");
  if (token !== undefined && typeof token !== "string") throw invalid("token", "must be a string");
  const bounded = boundedBy(BOUNDS, options, "");
  checkTtl(options.ttlMs);
  // A caller that waits longer for answers does not want the connection given up before they are due.
  if (options.heartbeatMs === undefined)
    bounded.heartbeatMs = Math.max(bounded.heartbeatMs, bounded.timeoutMs);
  const { near, ttlMs = null, failFast = false } = options;
  if (typeof failFast !== "boolean") throw invalid("failFast", "must be true or false");
  return { ...bounded, token, WebSocket, url: socketUrl(url), near: nearBounds(near), ttlMs, failFast };
}

function nearBounds(near: NearOptions | undefined): NearBounds | null {
  if (near === undefined) return null;
  if (typeof near !== "object" || near === null)
    throw invalid("near", "must be an object; {} for all defaults");
  checkNames("near", near, Object.keys(NEAR_BOUNDS));
  return boundedBy(NEAR_BOUNDS, near, "near.");
}

/** Each number as it is given, or its default. */
function boundedBy<Name extends string>(
  bounds: Record<Name, readonly [preset: number, min: number, max: number]>,
  given: { [name in NoInfer<Name>]?: number },
  path: string,
): Record<Name, number> {
  const bounded = {} as Record<Name, number>;
  for (const name in bounds) {
    const [preset, min, max] = bounds[name];
    checkWhole(path + name, given[name], min, max);
    bounded[name] = given[name] ?? preset;
  }
  return bounded;
}

function socketUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw invalid("url", `"${String(text)}" is none; one is ws://localhost:7171`);
  }
  url.protocol = url.protocol.replace(/^http/, "ws");
  if (url.protocol !== "ws:" && url.protocol !== "wss:")
    throw invalid("url", `must begin with ws:, wss:, http: or https:, not ${url.protocol}`);
  if (url.hash !== "") throw invalid("url", "must have no #fragment");
  if (url.pathname === "/") url.pathname = WS_PATH;
  return url.href;
}

export type Verb =
  | "get"
  | "getWithMeta"
  | "put"
  | "putMany"
  | "delete"
  | "deleteMany"
  | "touch"
  | "getAndDelete"
  | "getAndTouch"
  | "add"
  | "append"
  | "info"
  | "scan"
  | "clear"
  | "ping"
  | "stats"
  | "watch"
  | "getOrCompute";
export type AnyOptions = WriteOptions & {
  ttlMs?: number | null;
  ifAbsent?: boolean;
  ifPresent?: boolean;
  ifVersion?: number;
  leaseMs?: number;
  earlyMs?: number;
};
const EVERY_VERB = ["timeoutMs", "signal", "retry"];
const TTL = ["ttlMs"];
/** What a verb takes beside. */
const OWN: { [Name in Verb]?: readonly string[] } = {
  put: [...TTL, "ifAbsent", "ifPresent", "ifVersion"],
  putMany: [...TTL, "ifAbsent", "ifPresent"],
  delete: ["ifVersion"],
  touch: TTL,
  getAndTouch: TTL,
  add: TTL,
  getOrCompute: [...TTL, "leaseMs", "earlyMs"],
};

/** Throws `invalid-argument` for what no server takes. */
export function checkOptions(verb: Verb, options: AnyOptions): void {
  checkNames(verb, options, EVERY_VERB, OWN[verb]);
  const { timeoutMs, signal, ttlMs, ifAbsent, ifPresent, ifVersion, leaseMs, earlyMs } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw invalid("signal", "must be an AbortSignal");
  checkTimeout("timeoutMs", timeoutMs);
  checkTtl(ttlMs);
  checkWhole("ifVersion", ifVersion, 1, Number.MAX_SAFE_INTEGER);
  checkWhole("leaseMs", leaseMs, 1, LEASE_MS_MAX);
  checkWhole("earlyMs", earlyMs, 0, Number.MAX_SAFE_INTEGER);
  if (ifAbsent && (ifPresent || ifVersion !== undefined))
    throw invalid("ifAbsent", "contradicts ifPresent and ifVersion");
}

/** Throws `invalid-argument` for what no namespace can be. */
export function checkNamespace(prefix: string, options: NamespaceOptions): void {
  // A half of a surrogate pair would become whole with the other half in a key.
  utf8("prefix", prefix);
  checkNames("namespace", options, TTL);
  checkTtl(options.ttlMs);
}
