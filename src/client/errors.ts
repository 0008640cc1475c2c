/** What can go wrong for a caller, by one stable code each. */
import { STATUS_ERROR_MIN } from "../protocol/wire";

/** Stable: new ones may come, none changes its meaning. CLIENT.md says what to do about each. */
export type CacheErrorCode =
  /** An argument or option that no server would take; nothing was sent. */
  | "invalid-argument"
  /** No answer within `timeoutMs`; of `connect`, no connection within `connectTimeoutMs`. */
  | "timeout"
  /** The connection broke while a write was in flight; with `failFast`, while anything was. */
  | "disconnected"
  /** With `failFast`: there is no connection now; nothing was sent. */
  | "not-connected"
  /** Given up by the caller's signal. */
  | "aborted"
  /** `close` was called. */
  | "closed"
  /** `waitingMax` requests wait already. */
  | "overloaded"
  /** No connection: nobody listens there, or what listens is no Breadbox. */
  | "refused"
  /** No connection: the server's certificate is not trusted here. */
  | "untrusted"
  /** A token is needed, or this one is not accepted, or no more. */
  | "unauthorized"
  /** The sum of `add` is beyond 2^53; it was added. */
  | "number-too-large"
  /** The entry that a JsonView reads holds no JSON. */
  | "not-json"
  | ServerErrorCode;

/** What the server answers; a request that is answered with an error has changed nothing. */
export type ServerErrorCode =
  /** The server could not read the request; client and server do not fit. */
  | "malformed"
  /** The server does not know the verb; it is older than the client. */
  | "unknown-op"
  /** A key that is empty or too long. */
  | "bad-key"
  /** A value beyond the server's --max-value, or a request beyond `messageBytesMax`. */
  | "value-too-large"
  /** `add` to what is no whole number, or beyond 64 bits. */
  | "not-a-number"
  /** This token may not do this; of `connect`, pages of this origin, or this host name, are not allowed. */
  | "forbidden"
  /** The server is overloaded; of `connect`, it starts, stops, or has as many connections as it may have. */
  | "busy"
  /** A fault of the server; its log says more. */
  | "internal";

/** In the order of their statuses, from STATUS_ERROR_MIN on. */
const SERVER_CODES: readonly ServerErrorCode[] = [
  "malformed",
  "unknown-op",
  "bad-key",
  "value-too-large",
  "not-a-number",
  "forbidden",
  "busy",
  "internal",
];

export function serverCode(status: number): ServerErrorCode {
  return SERVER_CODES[status - STATUS_ERROR_MIN] ?? "internal";
}

/**
 * What all promises of the client reject with.
 * @example
 * await cache.put("word", "bread");
 * const error = await cache.add("word").catch((error) => error);
 * error instanceof CacheError; // true
 * error.code; // "not-a-number"
 */
export class CacheError extends Error {
  override name = "CacheError";
  constructor(
    /** What went wrong, for programs; `message` is for people. */
    readonly code: CacheErrorCode,
    message: string,
    /** A write left and its answer never came: it may have happened. */
    readonly mayHaveHappened = false,
  ) {
    super(message);
  }
}

/** Replies that can't be what was asked for. It ends the connection; requests only notice that it broke. */
export class ProtocolFault extends Error {}
