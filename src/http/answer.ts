/**
 * One request's way from Bun to its handler and back: host, page, readiness, token and verb are looked at, in this order,
 * before the handler runs, and whatever goes wrong becomes an answer of the one form that errors have.
 *
 * A handler that answers at once is answered without a promise: Bun sends that for less, and goes on with requests that are
 * pipelined behind.
 */
import type { Server } from "bun";
import { mayDo, NOBODY } from "../commands/access";
import { execute } from "../commands/calls";
import type { Op } from "../protocol/wire";
import type { Session } from "../ws/session";
import { discardBody } from "./body";
import type { Answer, Handler, HttpContext } from "./context";
import type { Description } from "./descriptions";
import type { Verdict } from "./guard";
import { HOST_MESSAGE } from "./host";
import { isNavigation, ORIGIN_MESSAGE, share } from "./origin";
import { refuse, type RefusedRequest, refuseToken } from "./refuse";
import { type ErrorForm, errorResponse, lengthOf, responseFor, waitOf } from "./respond";

/** A verb's op, or "open" for what needs no token, or "token" for what any token may. */
export type Right = Op | "open" | "token";

/** What a method does on a path. */
export interface Route {
  readonly right: Right;
  readonly handle: Handler;
  /** What an error looks like here; this server's own form where it is absent. */
  readonly errors?: ErrorForm;
  /** Links of other sites may lead here: there is nothing in the answer that anybody may not see. */
  readonly opensFromLinks?: boolean;
  /** A token that clients may send elsewhere than in the headers; null where there is none. */
  readonly tokenOf?: (request: Request) => string | null;
}

/** One that GET /openapi.json describes. */
export interface Endpoint extends Route {
  readonly about: Description;
}

type ByPathAndMethod<Item> = Readonly<Record<string, Readonly<Record<string, Item>>>>;

/** By path and method; a path that ends with `*` stands for all that begin as it does. */
export type Routes = ByPathAndMethod<Route>;

/** The same, of endpoints. */
export type Table = ByPathAndMethod<Endpoint>;

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
  const failed = (error: unknown) => responseFor(error, onFault, endpoint.errors);
  const start = traffic.begin(0);
  garbage.note(REQUEST_GARBAGE_BYTES);
  const response = answerSafely(context, endpoint, request, server);
  // Bun does not say which version of HTTP a request came in.
  if (speaksHttp2 && mayHaveBody(request))
    return afterBody(context, request, Promise.resolve(response).catch(failed), start);
  if (!(response instanceof Promise)) return finished(context, request, response, start);
  unsent.unanswered++;
  return response.catch(failed).then((late) => {
    unsent.unanswered--;
    return finished(context, request, late, start);
  });
}

function mayHaveBody({ method }: Request): boolean {
  return method !== "GET" && method !== "HEAD";
}

/** Answers when what is left of the body has come in. */
async function afterBody(
  context: HttpContext,
  request: Request,
  response: Promise<Response | undefined>,
  start: number,
) {
  const { unsent } = context;
  unsent.unanswered++;
  const answered = await response;
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
  const { right, errors, tokenOf, opensFromLinks = false } = endpoint;
  try {
    if (!context.hosts.allows(request))
      return refuse(context, refusedOf(request, server, errors), 403, HOST_MESSAGE);
    if (!context.origins.admits(request.headers) && !(opensFromLinks && isNavigation(request.headers)))
      return refuse(context, refusedOf(request, server, errors), 403, ORIGIN_MESSAGE);
    if (!context.isReady()) return errorResponse(503, NOT_READY, errors);
    if (right === "open") return endpoint.handle(context, request, NOBODY, server);
    const verdict = context.guard.verdictOn(request.headers, tokenOf && (() => tokenOf(request)));
    return verdict instanceof Promise
      ? verdict.then((late) => authorized(context, endpoint, request, server, late))
      : authorized(context, endpoint, request, server, verdict);
  } catch (error) {
    return responseFor(error, context.onFault, errors);
  }
}

function authorized(
  context: HttpContext,
  { right, handle, errors }: Route,
  request: Request,
  server: Server<Session>,
  verdict: Verdict,
): Answer {
  if (typeof verdict === "string")
    return refuseToken(context, refusedOf(request, server, errors), verdict, TOKEN_HELP);
  if (typeof right === "number" && !mayDo(verdict, right))
    return refuse(context, refusedOf(request, server, errors), 403, verdict.refusal);
  return execute(context.commands, () => handle(context, request, verdict, server));
}

export function refusedOf(request: Request, server: Server<Session>, errors?: ErrorForm): RefusedRequest {
  return { address: server.requestIP(request)?.address ?? "", method: request.method, errors };
}
