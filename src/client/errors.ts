/** What can go wrong for a caller, by one stable code each. */
import { Status } from "../protocol/wire";

export type CacheErrorCode =
  /** No answer within the deadline; a write may have happened. */
  | "timeout"
  /** The connection broke while a write was under way; it may have happened. */
  | "disconnected"
  /** No connection could be made: nobody listens there, or what listens is no Breadbox. */
  | "refused"
  /** The server's certificate is not trusted here. */
  | "untrusted"
  /** A token is needed, or this one is not accepted, or no more. */
  | "unauthorized"
  /** The caller's signal. */
  | "aborted"
  /** `close` was called. */
  | "closed"
  /** More requests wait than `waitingMax` allows. */
  | "overloaded"
  /** An argument that no server would take. */
  | "invalid-argument"
  /** A sum beyond 2^53: ask with a bigint. */
  | "number-too-large"
  /** The server broke the protocol. */
  | "protocol"
  | ServerErrorCode;

/** The server's own errors. */
export type ServerErrorCode =
  | "malformed"
  | "unknown-op"
  | "bad-key"
  | "value-too-large"
  | "not-a-number"
  | "forbidden"
  | "busy"
  | "internal";

const SERVER_CODES: Record<number, ServerErrorCode> = {
  [Status.MALFORMED]: "malformed",
  [Status.UNKNOWN_OP]: "unknown-op",
  [Status.BAD_KEY]: "bad-key",
  [Status.VALUE_TOO_LARGE]: "value-too-large",
  [Status.NOT_A_NUMBER]: "not-a-number",
  [Status.FORBIDDEN]: "forbidden",
  [Status.BUSY]: "busy",
  [Status.INTERNAL]: "internal",
};

export function serverCode(status: number): ServerErrorCode {
  return SERVER_CODES[status] ?? "internal";
}

export class CacheError extends Error {
  override name = "CacheError";
  constructor(
    readonly code: CacheErrorCode,
    message: string,
    /** True when a write was sent and its answer never came: it may have happened. */
    readonly mayHaveHappened = false,
  ) {
    super(message);
  }
}
