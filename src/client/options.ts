/** The options of connecting, and of single requests, with their defaults and bounds. */
import { checkNames, checkTimeout, checkWhole, invalid, TIMEOUT_MS_MAX } from "./check";
import type { ConnectionOptions } from "./connection";
import type { WebSocketClass } from "./socket";

export interface ConnectOptions {
  /** Sent as a subprotocol, so that it works from browsers too. */
  token?: string;
  /** Where there is no global WebSocket (Node before 22): the class of the `ws` package. */
  WebSocket?: WebSocketClass;
  /** Deadline of a request, ms (5000). */
  timeoutMs?: number;
  /** Deadline of an attempt to connect, ms (5000). */
  connectTimeoutMs?: number;
  /** How long `close` waits for answers that are under way, ms (5000). */
  closeTimeoutMs?: number;
  /** A PING is sent when nothing came for so long, ms (5000, or timeoutMs if that is more); 0 for none. */
  heartbeatMs?: number;
  /** Delay before the first attempt to connect again, ms (50); it doubles with each, up to reconnectMaxMs (5000). */
  reconnectMinMs?: number;
  reconnectMaxMs?: number;
  /** Requests and bytes that may be on their way at once (65536, 8 MiB); callers beyond wait. */
  inFlightRequestsMax?: number;
  inFlightBytesMax?: number;
  /** Requests that may wait (1,000,000); one more fails with `overloaded`. */
  waitingMax?: number;
  /** Largest message, bytes (16 MiB): the server's --max-message. A request beyond it fails with `value-too-large`. */
  messageBytesMax?: number;
}

export interface RequestOptions {
  /** Deadline, ms. */
  timeoutMs?: number;
  /** Gives the request up; a write that was sent may still happen. */
  signal?: AbortSignal;
}

export interface WriteOptions extends RequestOptions {
  /** Send it again after a broken connection, though it may have happened already. */
  retry?: boolean;
}

export interface TtlOptions extends WriteOptions {
  /** The entry expires after so many ms, a whole number from 1 to 2^53-1. */
  ttlMs?: number;
}

export interface DeleteOptions extends WriteOptions {
  /** Only if the entry has this version. */
  ifVersion?: number;
}

/** A condition of a put: only if there is no entry, or only if there is one, or only if it has this version. */
export type PutCondition =
  | { ifAbsent?: boolean; ifPresent?: false; ifVersion?: undefined }
  | { ifAbsent?: false; ifPresent?: boolean; ifVersion?: number };

export type PutOptions = TtlOptions & PutCondition;

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
type Bounded = keyof typeof BOUNDS;
const WS_PATH = "/ws";

/** What a connection needs, from what the caller gave. Throws `invalid-argument`. */
export function settle(url: string, options: ConnectOptions): ConnectionOptions {
  checkNames("connect", options, ["token", "WebSocket", ...Object.keys(BOUNDS)]);
  const { token, WebSocket = (globalThis as { WebSocket?: WebSocketClass }).WebSocket } = options;
  if (WebSocket === undefined)
    throw invalid("WebSocket", "there is none here: pass the class of the ws package");
  const bounded = {} as Record<Bounded, number>;
  for (const [name, [preset, min, max]] of Object.entries(BOUNDS)) {
    const given = options[name as Bounded];
    checkWhole(name, given, min, max);
    bounded[name as Bounded] = given ?? preset;
  }
  // Who is patient with answers would not have the connection given up before them.
  if (options.heartbeatMs === undefined)
    bounded.heartbeatMs = Math.max(bounded.heartbeatMs, bounded.timeoutMs);
  return { ...bounded, token, WebSocket, url: socketUrl(url) };
}

function socketUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw invalid("url", `${JSON.stringify(text)} is none; one is ws://localhost:7171`);
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
  | "delete"
  | "touch"
  | "add"
  | "append"
  | "info"
  | "scan"
  | "clear"
  | "ping"
  | "stats";
export type AnyOptions = WriteOptions & {
  ttlMs?: number;
  ifAbsent?: boolean;
  ifPresent?: boolean;
  ifVersion?: number;
};
const EVERY_VERB = ["timeoutMs", "signal", "retry"];
const TTL = ["ttlMs"];
/** What a verb takes beside. */
const OWN: { [Name in Verb]?: readonly string[] } = {
  put: [...TTL, "ifAbsent", "ifPresent", "ifVersion"],
  delete: ["ifVersion"],
  touch: TTL,
  add: TTL,
};

/** Throws `invalid-argument` for what no server takes. */
export function checkOptions(verb: Verb, options: AnyOptions): void {
  const { timeoutMs, ttlMs, ifAbsent, ifPresent, ifVersion } = options;
  checkNames(verb, options, EVERY_VERB, OWN[verb]);
  checkTimeout("timeoutMs", timeoutMs);
  checkWhole("ttlMs", ttlMs, 1, Number.MAX_SAFE_INTEGER);
  checkWhole("ifVersion", ifVersion, 1, Number.MAX_SAFE_INTEGER);
  if (ifAbsent && (ifPresent || ifVersion !== undefined))
    throw invalid("ifAbsent", "contradicts ifPresent and ifVersion");
}
