/**
 * Every path of the HTTP API, its methods, who may use them and who handles them. Bun routes by this table; what it
 * does not find comes to `handleOther`, which tells a wrong path from a wrong method.
 */
import type { BunRequest, Server } from "bun";
import type { Throttle } from "../access/throttle";
import { type Access, mayDo, NOBODY } from "../commands/access";
import type { Commands } from "../commands/commands";
import { Count, type Tally } from "../commands/tally";
import { Op, SUBPROTOCOL } from "../protocol/wire";
import type { Session } from "../ws/session";
import { handleBatch } from "./batch";
import { type Guard, offeredSubprotocols, subprotocolFor, type Verdict } from "./guard";
import { HOST_MESSAGE, type Hosts } from "./host";
import { handleKvDelete, handleKvGet, handleKvPut, KV_PREFIX } from "./kv";
import { METRICS_TYPE, metricsText } from "./metrics";
import { isPreflight, type Origins, preflightResponse, share } from "./origin";
import { handleGet, handlePut } from "./put-get";
import { pathOf } from "./query";
import { refuse, refuseToken } from "./refuse";
import { errorResponse, json, methodNotAllowed, responseFor } from "./respond";

export interface HttpContext {
  readonly commands: Commands;
  readonly guard: Guard;
  readonly throttle: Throttle;
  readonly hosts: Hosts;
  readonly origins: Origins;
  /** Whether the metrics are for those who may see the stats only. */
  readonly protectMetrics: boolean;
  readonly tally: Tally;
  readonly version: string;
  /** Open WebSockets over all workers; what comes beyond is refused. */
  readonly connectionsMax: number;
  readonly isReady: () => boolean;
  readonly onFault: (error: unknown) => void;
  readonly newSession: (access: Access) => Session;
}

/** Undefined once the request has become a WebSocket. */
type Answer = Response | undefined | Promise<Response | undefined>;
type Handler = (request: Request, server: Server<Session>, access: Access) => Answer;
/** A verb's op, or "open" for what needs no token, or "token" for what any token may. */
type Right = Op | "open" | "token";
type Routes = Record<string, Record<string, [right: Right, handler: Handler]>>;

const ORIGIN_MESSAGE = "Origin: this origin is not allowed (--allow-origin)";
const TOKEN_HELP = "Authorization: Bearer TOKEN";
const UPGRADE_TOKEN_HELP = `${TOKEN_HELP}, or subprotocol bearer.BASE64URL(TOKEN)`;
const KV_PATHS = `${KV_PREFIX}*`;
const DRAINING = "the server is starting or shutting down; try again";

export function createRoutes(context: HttpContext) {
  const { commands } = context;
  const put: [Right, Handler] = [Op.PUT, (request, _, access) => handlePut(commands, request, access)];
  const table: Routes = {
    "/": { GET: ["open", () => json(indexText(context.version))] },
    "/put": { POST: put, PUT: put },
    "/get": { GET: [Op.GET, (request, _, access) => handleGet(commands, request, access)] },
    [KV_PATHS]: {
      GET: [Op.GET, (request, _, access) => handleKvGet(commands, request, access)],
      PUT: [Op.PUT, (request, _, access) => handleKvPut(commands, request, access)],
      DELETE: [Op.DELETE, (request, _, access) => handleKvDelete(commands, request, access)],
    },
    "/batch": {
      POST: ["token", (request, _, access) => handleBatch(commands, request, access, context.onFault)],
    },
    "/ws": { GET: ["open", (request, server) => upgrade(context, request, server)] },
    "/healthz": { GET: ["open", () => json('{"status":"OK"}')] },
    "/stats": { GET: [Op.STATS, () => json(JSON.stringify(commands.report()))] },
    "/metrics": {
      GET: [
        context.protectMetrics ? Op.STATS : "open",
        () => new Response(metricsText(commands.report()), { headers: { "Content-Type": METRICS_TYPE } }),
      ],
    },
  };
  const routes = Object.fromEntries(
    Object.entries(table).map(([path, methods]) => [
      path,
      Object.fromEntries(
        Object.entries(methods).map(([method, [right, handler]]) => [
          method,
          (request: BunRequest, server: Server<Session>) => answer(context, right, handler, request, server),
        ]),
      ),
    ]),
  );
  const fetch = (request: Request) => admitted(context, request, () => handleOther(table, request));
  return { routes, fetch };
}

/** Counts, checks, handles, and turns whatever goes wrong into the error's form. */
function answer(
  context: HttpContext,
  right: Right,
  handler: Handler,
  request: Request,
  server: Server<Session>,
): Answer {
  context.tally.add(Count.HTTP_REQUESTS, 1);
  return admitted(context, request, () => {
    try {
      if (!context.isReady()) return errorResponse(503, DRAINING);
      const response =
        right === "open"
          ? handler(request, server, NOBODY)
          : judged(context.guard.verdictOn(request.headers), (verdict) =>
              authorized(context, right, handler, request, server, verdict),
            );
      return response instanceof Promise
        ? response.catch((error) => responseFor(error, context.onFault))
        : response;
    } catch (error) {
      return responseFor(error, context.onFault);
    }
  });
}

/** Refuses requests for another host and from pages of strangers; lets pages of listed origins read the answer. */
function admitted(context: HttpContext, request: Request, handle: () => Answer): Answer {
  const host = request.headers.get("host");
  if (!context.hosts.allows(host)) return refuse(context.tally, 403, HOST_MESSAGE);
  const origin = request.headers.get("origin");
  if (origin === null) return handle();
  const standing = context.origins.standingOf(origin, host);
  if (standing === "stranger") return refuse(context.tally, 403, ORIGIN_MESSAGE);
  const response = handle();
  if (standing === "own" || response === undefined) return response;
  if (response instanceof Response) return share(response, origin);
  return response.then((settled) => settled && share(settled, origin));
}

/** Goes on with a verdict, at once where it is there: a handler that is pending would end HTTP pipelining. */
function judged(verdict: Verdict | Promise<Verdict>, next: (verdict: Verdict) => Answer): Answer {
  return verdict instanceof Promise ? verdict.then(next) : next(verdict);
}

function authorized(
  context: HttpContext,
  right: Right,
  handler: Handler,
  request: Request,
  server: Server<Session>,
  verdict: Verdict,
): Answer {
  if (typeof verdict === "string") return refuseToken(context, request, server, verdict, TOKEN_HELP);
  if (typeof right === "number" && !mayDo(verdict, right)) return refuse(context.tally, 403, verdict.refusal);
  return handler(request, server, verdict);
}

/** GET /ws: becomes a WebSocket, or says why not. */
function upgrade(context: HttpContext, request: Request, server: Server<Session>): Answer {
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket")
    return errorResponse(400, "Upgrade: this path speaks WebSocket only");
  const offered = offeredSubprotocols(request.headers.get("sec-websocket-protocol"));
  return judged(context.guard.verdictOnUpgrade(request.headers, offered), (verdict) => {
    if (typeof verdict === "string")
      return refuseToken(context, request, server, verdict, UPGRADE_TOKEN_HELP);
    const choice = subprotocolFor(offered);
    if (choice === "refuse")
      return errorResponse(400, `Sec-WebSocket-Protocol: only ${SUBPROTOCOL} is spoken here`);
    // Workers may accept at the same moment, so there can be one too many for each of them.
    if (context.tally.sum(Count.CONNECTIONS) >= context.connectionsMax) {
      context.tally.add(Count.REFUSED_CONNECTIONS, 1);
      return errorResponse(503, `all ${context.connectionsMax} connections are in use (--max-connections)`);
    }
    // Left to itself Bun would select the first that is offered, be it a token; an empty name selects none.
    const headers = { "Sec-WebSocket-Protocol": choice === "select" ? SUBPROTOCOL : "" };
    if (server.upgrade(request, { data: context.newSession(verdict), headers })) return undefined;
    return errorResponse(400, "Upgrade: this is not a valid WebSocket handshake");
  });
}

/** Known path with another method: 405, or what a page may do there. Else 404. */
function handleOther(table: Routes, request: Request): Response {
  const path = pathOf(request.url);
  const methods = table[path] ?? (path.startsWith(KV_PREFIX) ? table[KV_PATHS] : undefined);
  if (methods === undefined) return errorResponse(404, "there is no such path; GET / lists the endpoints");
  const allowed = Object.keys(methods).flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method]));
  if (request.headers.has("origin") && isPreflight(request)) return preflightResponse(allowed);
  return methodNotAllowed(request.method, allowed);
}

function indexText(version: string): string {
  return JSON.stringify({
    name: "breadbox",
    version,
    endpoints: {
      "POST /put": 'stores {"key":"…","value":"…"}; optional ttl (ms), if, ifVersion',
      "GET /get?key=…": "answers the value as JSON",
      "GET, HEAD, PUT, DELETE /kv/{key}": "raw bytes; ?ttl=MS, ETag, If-Match, If-None-Match",
      "POST /batch": "a JSON array of requests",
      "GET /ws": "WebSocket: binary frames of breadbox.v1, or JSON text",
      "GET /stats, /metrics, /healthz": "the server itself",
    },
  });
}
