/** Answers: what a handler returns, before it is bytes. */
import { ShardBusyError } from "../../commands/commands";
import { RequestError } from "../../protocol/errors";
import type { Session } from "../../ws/session";

export interface Reply {
  readonly status: number;
  /** Header lines beside those that every answer has, each with its CR LF. */
  readonly headers: string;
  readonly body: string | Buffer;
  /** With 101: who goes on with the connection. */
  readonly session?: Session;
}

export const JSON_TYPE = "Content-Type: application/json\r\n";
export const NO_BODY = Buffer.alloc(0);
/** Seconds a client should wait when the server sheds load, starts or drains. */
const RETRY_AFTER_S = "1";

/** 200 with JSON text. */
export function json(text: string): Reply {
  return { status: 200, headers: JSON_TYPE, body: text };
}

/** An answer without a body. */
export function empty(status: number, headers = ""): Reply {
  return { status, headers, body: NO_BODY };
}

/** An error, always of the same form. */
export function errorReply(status: number, message: string, headers = ""): Reply {
  return {
    status,
    headers: JSON_TYPE + errorHeaders(status) + headers,
    body: JSON.stringify({ status: "ERROR", message }),
  };
}

export function methodNotAllowed(method: string, allowed: readonly string[]): Reply {
  const allow = allowed.join(", ");
  return errorReply(405, `method ${method} is not allowed here, only ${allow}`, `Allow: ${allow}\r\n`);
}

/** The answer to whatever a handler threw. */
export function replyFor(error: unknown, onFault: (error: unknown) => void): Reply {
  if (error instanceof RequestError) return errorReply(error.http, error.message);
  if (error instanceof ShardBusyError) return errorReply(503, "the shard of this key is busy; try again");
  onFault(error);
  return errorReply(500, "internal error; it is in the server's log");
}

function errorHeaders(status: number): string {
  if (status === 401) return "WWW-Authenticate: Bearer\r\n";
  return status === 503 || status === 429 ? `Retry-After: ${RETRY_AFTER_S}\r\n` : "";
}
