/**
 * One request's way from Bun to its handler and back: host, page, readiness, token and verb are looked at, in this order,
 * before the handler runs, and whatever goes wrong becomes an answer of the one form that errors have.
 *
 * A handler that answers at once is answered without a promise: Bun sends that for less, and goes on with requests that are
 * pipelined behind.
 */
import type { Server } from "bun";
import { mayDo, NOBODY } from "../commands/access";
import type { Op } from "../protocol/wire";
import type { Session } from "../ws/session";
import { discardBody } from "./body";
import type { Answer, Handler, HttpContext } from "./context";
import type { Description } from "./descriptions";
import type { Verdict } from "./guard";
import { HOST_MESSAGE } from "./host";
import { ORIGIN_MESSAGE, share } from "./origin";
import type { Refused } from "./refusal-log";
import { refuse, refuseToken } from "./refuse";
import { errorResponse, lengthOf, responseFor, waitOf } from "./respond";

/** A verb's op, or "open" for what needs no token, or "token" for what any token may. */
export type Right = Op | "open" | "token";

/** What a method does on a path. */
export interface Endpoint {
  readonly right: Right;
  readonly handle: Handler;
  /** For GET /openapi.json. */
  readonly about: Description;
}

/** Endpoints by path and method. */
export type Table = Readonly<Record<string, Readonly<Record<string, Endpoint>>>>;

/** What of an endpoint answers requests. */
export type Route = Pick<Endpoint, "right" | "handle">;

/** Request, Response, Headers, strings and what Bun has for them, about. */
const REQUEST_GARBAGE_BYTES = 4096;
const TOKEN_HELP = "Authorization: Bearer TOKEN";
const SWITCHED = 101;
const NOT_READY = "the server is starting or shutting down; try again";

export function answer(
  context: HttpContext,
  endpoint: Route,
  request: Request,
  server: Server<Session>,
): Answer {
  const { traffic, garbage, unsent, onFault, speaksHttp2 } = context;
  const start = traffic.begin(0);
  garbage.note(REQUEST_GARBAGE_BYTES);
  const response = answerSafely(context, endpoint, request, server);
  // Bun does not say which version of HTTP a request came in.
  if (speaksHttp2 && mayHaveBody(request)) return afterBody(context, request, response, start);
  if (!(response instanceof Promise)) return finished(context, request, response, start);
  unsent.unanswered++;
  return response
    .catch((error) => responseFor(error, onFault))
    .then((late) => {
      unsent.unanswered--;
      return finished(context, request, late, start);
    });
}

function mayHaveBody({ method }: Request): boolean {
  return method !== "GET" && method !== "HEAD";
}

/** Answers when what is left of the body has come in. */
async function afterBody(context: HttpContext, request: Request, response: Answer, start: number) {
  const { unsent, onFault } = context;
  unsent.unanswered++;
  const answered = await Promise.resolve(response).catch((error) => responseFor(error, onFault));
  await discardBody(request, context.messageBody);
  unsent.unanswered--;
  return finished(context, request, answered, start);
}

/** The answer is there, or the request has become a WebSocket. */
function finished(context: HttpContext, request: Request, response: Response | undefined, start: number) {
  const { tally, traffic, origins } = context;
  if (response === undefined) {
    traffic.end(start);
    tally.response(SWITCHED);
    return undefined;
  }
  traffic.end(start + waitOf(response));
  tally.response(response.status);
  if (request.method !== "HEAD") traffic.sent(lengthOf(response));
  return origins.isEmpty ? response : share(response, request, origins);
}

function answerSafely(
  context: HttpContext,
  endpoint: Route,
  request: Request,
  server: Server<Session>,
): Answer {
  try {
    if (!context.hosts.allows(request)) return refuse(context, refusedOf(request, server), 403, HOST_MESSAGE);
    if (!context.origins.admits(request.headers))
      return refuse(context, refusedOf(request, server), 403, ORIGIN_MESSAGE);
    if (!context.isReady()) return errorResponse(503, NOT_READY);
    if (endpoint.right === "open") return endpoint.handle(context, request, NOBODY, server);
    const verdict = context.guard.verdictOn(request.headers);
    return verdict instanceof Promise
      ? verdict.then((late) => authorized(context, endpoint, request, server, late))
      : authorized(context, endpoint, request, server, verdict);
  } catch (error) {
    return responseFor(error, context.onFault);
  }
}

function authorized(
  context: HttpContext,
  { right, handle }: Route,
  request: Request,
  server: Server<Session>,
  verdict: Verdict,
): Answer {
  if (typeof verdict === "string")
    return refuseToken(context, refusedOf(request, server), verdict, TOKEN_HELP);
  if (typeof right === "number" && !mayDo(verdict, right))
    return refuse(context, refusedOf(request, server), 403, verdict.refusal);
  return handle(context, request, verdict, server);
}

export function refusedOf(request: Request, server: Server<Session>): Refused {
  return { address: server.requestIP(request)?.address ?? "", method: request.method };
}
