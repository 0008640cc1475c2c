/**
 * Every path of the HTTP API, its methods, who may use them and who handles them. Bun routes by this table; what it
 * does not find comes to `handleOther`, which tells a wrong path from a wrong method.
 */
import type { BunRequest, Server } from "bun";
import { Access, FORBIDDEN_MESSAGE, mayDo } from "../commands/access";
import type { Commands } from "../commands/commands";
import { Count, type Tally } from "../commands/tally";
import { Op, SUBPROTOCOL } from "../protocol/wire";
import type { Session } from "../ws/session";
import { handleBatch } from "./batch";
import { type Guard, offeredSubprotocols, subprotocolFor } from "./guard";
import { handleKvDelete, handleKvGet, handleKvPut } from "./kv";
import { METRICS_TYPE, metricsText } from "./metrics";
import { handleGet, handlePut } from "./put-get";
import { pathOf } from "./query";
import { errorResponse, json, methodNotAllowed, responseFor } from "./respond";

export interface HttpContext {
  readonly commands: Commands;
  readonly guard: Guard;
  readonly tally: Tally;
  readonly version: string;
  /** Open WebSockets over all workers; what comes beyond is refused. */
  readonly connectionsMax: number;
  readonly isReady: () => boolean;
  readonly onFault: (error: unknown) => void;
  readonly newSession: (access: Access) => Session;
}

type Handler = (
  request: Request,
  server: Server<Session>,
  access: Access,
) => Response | Promise<Response> | undefined;
/** A verb's op, or "open" for what needs no token, or "token" for what any token may. */
type Right = Op | "open" | "token";
type Routes = Record<string, Record<string, [right: Right, handler: Handler]>>;

const DRAINING = "the server is starting or shutting down; try again";

export function createRoutes(context: HttpContext) {
  const { commands } = context;
  const put: [Right, Handler] = [Op.PUT, (request) => handlePut(commands, request)];
  const table: Routes = {
    "/": { GET: ["open", () => json(indexText(context.version))] },
    "/put": { POST: put, PUT: put },
    "/get": { GET: [Op.GET, (request) => handleGet(commands, request)] },
    "/kv/*": {
      GET: [Op.GET, (request) => handleKvGet(commands, request)],
      PUT: [Op.PUT, (request) => handleKvPut(commands, request)],
      DELETE: [Op.DELETE, (request) => handleKvDelete(commands, request)],
    },
    "/batch": {
      POST: ["token", (request, _, access) => handleBatch(commands, request, access, context.onFault)],
    },
    "/ws": { GET: ["open", (request, server) => upgrade(context, request, server)] },
    "/healthz": { GET: ["open", () => json('{"status":"OK"}')] },
    "/stats": { GET: [Op.STATS, () => json(JSON.stringify(commands.report()))] },
    "/metrics": {
      GET: [
        "open",
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
  return { routes, fetch: (request: Request) => handleOther(table, request) };
}

/** Checks, handles, and turns whatever goes wrong into the error's form. */
function answer(
  context: HttpContext,
  right: Right,
  handler: Handler,
  request: Request,
  server: Server<Session>,
): Response | Promise<Response> | undefined {
  context.tally.add(Count.HTTP_REQUESTS, 1);
  try {
    if (!context.isReady()) return errorResponse(503, DRAINING);
    const refusal = originRefusal(context, request);
    if (refusal !== null) return refusal;
    let access: Access = Access.NONE;
    if (right !== "open") {
      access = context.guard.accessOf(request.headers);
      if (access === Access.NONE)
        return refuse(context, 401, "a valid token is needed: Authorization: Bearer TOKEN");
      if (right !== "token" && !mayDo(access, right)) return refuse(context, 403, FORBIDDEN_MESSAGE);
    }
    const response = handler(request, server, access);
    return response instanceof Promise
      ? response.catch((error) => responseFor(error, context.onFault))
      : response;
  } catch (error) {
    return responseFor(error, context.onFault);
  }
}

function originRefusal(context: HttpContext, request: Request): Response | null {
  const origin = request.headers.get("origin");
  if (origin === null || context.guard.allowsOrigin(origin, request.headers.get("host"))) return null;
  return refuse(context, 403, "Origin: this origin is not allowed (--allow-origin)");
}

function refuse(context: HttpContext, status: number, message: string): Response {
  context.tally.add(Count.REFUSED_ACCESS, 1);
  return errorResponse(status, message);
}

/** GET /ws: becomes a WebSocket, or says why not. */
function upgrade(context: HttpContext, request: Request, server: Server<Session>): Response | undefined {
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket")
    return errorResponse(400, "Upgrade: this path speaks WebSocket only");
  const offered = offeredSubprotocols(request.headers.get("sec-websocket-protocol"));
  const access = context.guard.accessOfUpgrade(request.headers, offered);
  if (access === Access.NONE)
    return refuse(
      context,
      401,
      `a valid token is needed: Authorization: Bearer TOKEN, or subprotocol bearer.BASE64URL(TOKEN)`,
    );
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
  if (server.upgrade(request, { data: context.newSession(access), headers })) return undefined;
  return errorResponse(400, "Upgrade: this is not a valid WebSocket handshake");
}

/** Known path with another method: 405. Else 404. */
function handleOther(table: Routes, request: Request): Response {
  const path = pathOf(request.url);
  const methods = table[path] ?? (path.startsWith("/kv/") ? table["/kv/*"] : undefined);
  if (methods === undefined) return errorResponse(404, "there is no such path; GET / lists the endpoints");
  const allowed = Object.keys(methods).flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method]));
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
