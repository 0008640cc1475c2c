/** The options of connecting, and of single requests, with their defaults and bounds. */
import { checkNames, checkTimeout, checkWhole, invalid, TIMEOUT_MS_MAX } from "./check";
import { CacheError } from "./errors";
import type { ConnectionOptions, WebSocketClass } from "./connection";

export interface ConnectOptions {
  /** Sent as a subprotocol, so that it works from browsers too. */
  token?: string;
  /** Where there is no global WebSocket (Node before 22): the class of the `ws` package. */
  WebSocket?: WebSocketClass;
  /** Deadline of a request, ms (5000). */
  timeoutMs?: number;
  /** Deadline of an attempt to connect, ms (5000). */
  connectTimeoutMs?: number;
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
  inFlightRequestsMax: [65_536, 1, 1e9],
  inFlightBytesMax: [8 << 20, 1, 1e12],
  waitingMax: [1_000_000, 1, 1e9],
  messageBytesMax: [16 << 20, 1024, 2 ** 32 - 1],
  reconnectMinMs: [50, 1, TIMEOUT_MS_MAX],
  reconnectMaxMs: [5000, 1, TIMEOUT_MS_MAX],
} as const;
const TIMEOUTS = { timeoutMs: 5000, connectTimeoutMs: 5000 };
const NAMES = ["token", "WebSocket", ...Object.keys(TIMEOUTS), ...Object.keys(BOUNDS)];
const WS_PATH = "/ws";

/** What a connection needs, from what the caller gave. Throws `invalid-argument`. */
export function settle(url: string, options: ConnectOptions): ConnectionOptions {
  checkNames("connect", options, NAMES);
  const WebSocket = options.WebSocket ?? (globalThis as { WebSocket?: WebSocketClass }).WebSocket;
  if (WebSocket === undefined)
    throw new CacheError(
      "invalid-argument",
      "there is no global WebSocket here: pass the class of the ws package as WebSocket",
    );
  const settled: Record<string, unknown> = { ...TIMEOUTS };
  for (const [name, [preset, min, max]] of Object.entries(BOUNDS)) {
    checkWhole(name, options[name as keyof typeof BOUNDS], min, max);
    settled[name] = preset;
  }
  for (const name of Object.keys(TIMEOUTS)) checkTimeout(name, options[name as keyof typeof TIMEOUTS]);
  for (const [name, value] of Object.entries(options)) if (value !== undefined) settled[name] = value;
  return { ...settled, token: options.token, WebSocket, url: socketUrl(url) } as unknown as ConnectionOptions;
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

const READ = ["timeoutMs", "signal", "retry"];
const TTL = [...READ, "ttlMs"];
const PUT = [...TTL, "ifAbsent", "ifPresent", "ifVersion"];
const DELETE = [...READ, "ifVersion"];

/** Checks the options of a verb that takes no others than every request does. */
export function checkRequest(verb: string, options: RequestOptions, known = READ): void {
  checkNames(verb, options, known);
  checkTimeout("timeoutMs", options.timeoutMs);
}

export function checkTtl(verb: string, options: TtlOptions, known = TTL): void {
  checkRequest(verb, options, known);
  checkWhole("ttlMs", options.ttlMs, 1, Number.MAX_SAFE_INTEGER);
}

export function checkPut(options: PutOptions): void {
  checkTtl("put", options, PUT);
  checkVersion(options.ifVersion);
  const { ifAbsent, ifPresent, ifVersion } = options as { [Name in keyof PutOptions]: unknown };
  if (ifAbsent && (ifPresent || ifVersion !== undefined))
    throw invalid("ifAbsent", "contradicts ifPresent and ifVersion");
}

export function checkDelete(options: DeleteOptions): void {
  checkRequest("delete", options, DELETE);
  checkVersion(options.ifVersion);
}

/** Versions are never 0. */
function checkVersion(version: number | undefined): void {
  checkWhole("ifVersion", version, 1, Number.MAX_SAFE_INTEGER);
}
