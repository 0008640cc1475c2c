/**
 * Responses. One prebuilt Headers object for each kind of answer is the cheapest form that Bun offers; a Response copies it.
 *
 * Every answer, errors included, forbids a browser to run it or to show it to another page: a value may hold anything, and
 * whether a key exists is nobody else's business either (Fetch standard, nosniff and Cross-Origin-Resource-Policy; CSP 3, sandbox).
 */
import { RequestError } from "../protocol/errors";
import { ShardBusyError } from "../commands/commands";

export const NO_PATH = "there is no such path; GET / lists the endpoints";

const JSON_TYPE = "application/json";
/** Seconds a client should wait when the server sheds load, starts or drains. */
const RETRY_AFTER_S = "1";

/** Those of every answer. */
export const SAFE_HEADERS = {
  "X-Content-Type-Options": "nosniff",
  "Content-Security-Policy": "sandbox; default-src 'none'",
  "Cross-Origin-Resource-Policy": "same-origin",
};

/** What an error looks like to those who ask in somebody else's protocol (dialects/). */
export interface ErrorForm {
  readonly contentType: string;
  body(status: number, message: string): string;
}

/** This server's own. */
export const OWN_ERRORS: ErrorForm = {
  contentType: JSON_TYPE,
  body: (_, message) => JSON.stringify({ status: "ERROR", message }),
};

const JSON_OK: ResponseInit = { headers: headersWith({ "Content-Type": JSON_TYPE }) };
/** By form, and then by status. */
const ERROR_INITS = new Map<ErrorForm, Map<number, ResponseInit>>();

/** The headers of an answer: those that every answer has, and its own. */
export function headersWith(own: Record<string, string>): Headers {
  return new Headers({ ...SAFE_HEADERS, ...own });
}

/** What is measured lies beside a response: the platform does not tell its length, nor what it waited for. */
type Measured = Response & { bodyBytes?: number; waitedMs?: number };

/** The same response, which knows the length of its body. */
export function ofLength(bodyBytes: number, response: Response): Response {
  (response as Measured).bodyBytes = bodyBytes;
  return response;
}

/** Bytes of the response's body: 0 where it has none, or one that leaves in pieces and is counted with these. */
export function lengthOf(response: Response): number {
  return (response as Measured).bodyBytes ?? 0;
}

/** The same response, put off for so long until somebody else had done something: which is not the server's time. */
export function afterWait(waitedMs: number, response: Response): Response {
  (response as Measured).waitedMs = waitedMs;
  return response;
}

/** How long the response was put off, ms. */
export function waitOf(response: Response): number {
  return (response as Measured).waitedMs ?? 0;
}

/** 200 with JSON text. */
export function json(text: string): Response {
  return ofText(text, JSON_OK);
}

/** 200 with JSON text in pieces. Whoever makes the pieces counts their bytes. */
export function jsonStream(pieces: ReadableStream): Response {
  return new Response(pieces, JSON_OK);
}

/** A response with a text for its body. */
export function ofText(text: string, init: ResponseInit): Response {
  return ofLength(Buffer.byteLength(text), new Response(text, init));
}

/** An error, always of the same form for the same clients. */
export function errorResponse(status: number, message: string, form = OWN_ERRORS): Response {
  return ofText(form.body(status, message), errorInit(status, form));
}

function errorInit(status: number, form: ErrorForm): ResponseInit {
  let inits = ERROR_INITS.get(form);
  if (inits === undefined) ERROR_INITS.set(form, (inits = new Map()));
  let init = inits.get(status);
  if (init === undefined) inits.set(status, (init = { status, headers: errorHeaders(status, form) }));
  return init;
}

export function methodNotAllowed(method: string, allowed: readonly string[]): Response {
  const allow = allowed.join(", ");
  return ofText(
    JSON.stringify({ status: "ERROR", message: `method ${method} is not allowed here, only ${allow}` }),
    { status: 405, headers: headersWith({ "Content-Type": JSON_TYPE, Allow: allow }) },
  );
}

/** The response for whatever a handler threw. */
export function responseFor(error: unknown, onFault: (error: unknown) => void, form = OWN_ERRORS): Response {
  if (error instanceof RequestError) return errorResponse(error.http, error.message, form);
  if (error instanceof ShardBusyError)
    return errorResponse(503, "the shard of this key is busy; try again", form);
  onFault(error);
  return errorResponse(500, "internal error; it is in the server's log", form);
}

function errorHeaders(status: number, { contentType }: ErrorForm): Headers {
  const headers = headersWith({ "Content-Type": contentType });
  if (status === 401) headers.set("WWW-Authenticate", "Bearer");
  if (status === 503 || status === 429) headers.set("Retry-After", RETRY_AFTER_S);
  return headers;
}
