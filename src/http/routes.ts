/**
 * Every path of the HTTP API, its methods, who may use them and who handles them. Bun routes by this table; what it
 * does not find comes to `answerOther`, which tells a wrong path from a wrong method.
 */
import type { Server } from "bun";
import { Op } from "../protocol/wire";
import type { Session } from "../ws/session";
import { answer, type Endpoint, type Right } from "./answer";
import { handleBatch } from "./batch";
import type { Handler, HttpContext } from "./context";
import { handleEvents } from "./events";
import { handleKvDelete, handleKvGet, handleKvPut, KV_PREFIX } from "./kv";
import { METRICS_TYPE, metricsText } from "./metrics";
import { isPreflight, preflightResponse } from "./origin";
import { handleGet, handlePut } from "./put-get";
import { pathOf, queryFields } from "./query";
import { errorResponse, headersWith, json, methodNotAllowed, NO_PATH } from "./respond";
import { upgrade } from "./upgrade";

type Table = Record<string, Record<string, Endpoint>>;

const KV_PATHS = `${KV_PREFIX}*`;
const METRICS_OK = { headers: headersWith({ "Content-Type": METRICS_TYPE }) };

/** The `routes` and `fetch` of Bun.serve. */
export function createRoutes(context: HttpContext) {
  const table = tableFor(context.protectMetrics);
  const handlerOf = (endpoint: Endpoint) => (request: Request, server: Server<Session>) =>
    answer(context, endpoint, request, server);
  const routes = Object.fromEntries(
    Object.entries(table).map(([path, methods]) => [
      path,
      Object.fromEntries(Object.entries(methods).map(([method, endpoint]) => [method, handlerOf(endpoint)])),
    ]),
  );
  const fetch = handlerOf({ right: "open", handle: (_, request) => answerOther(table, request) });
  return { routes, fetch };
}

function tableFor(protectMetrics: boolean): Table {
  const put = { right: Op.PUT, handle: handlePut };
  return {
    "/": { GET: withoutQuery("open", ({ version }) => json(indexText(version))) },
    "/put": { POST: put, PUT: put },
    "/get": { GET: { right: Op.GET, handle: handleGet } },
    [KV_PATHS]: {
      GET: { right: Op.GET, handle: handleKvGet },
      PUT: { right: Op.PUT, handle: handleKvPut },
      DELETE: { right: Op.DELETE, handle: handleKvDelete },
    },
    "/batch": { POST: withoutQuery("token", handleBatch) },
    "/events": { GET: { right: Op.WATCH, handle: handleEvents } },
    "/ws": { GET: withoutQuery("open", upgrade) },
    "/healthz": { GET: withoutQuery("open", () => json('{"status":"OK"}')) },
    "/stats": { GET: withoutQuery(Op.STATS, ({ commands }) => json(JSON.stringify(commands.report()))) },
    "/metrics": {
      GET: withoutQuery(
        protectMetrics ? Op.STATS : "open",
        ({ commands }) => new Response(metricsText(commands.report()), METRICS_OK),
      ),
    },
  };
}

/** An endpoint that takes no query parameters. */
function withoutQuery(right: Right, handle: Handler): Endpoint {
  return {
    right,
    handle(context, request, access, server) {
      queryFields(request.url, []);
      return handle(context, request, access, server);
    },
  };
}

/** Known path with another method: 405, or what a page may do there. Else 404. */
function answerOther(table: Table, request: Request): Response {
  const path = pathOf(request.url);
  const methods = table[path] ?? (path.startsWith(KV_PREFIX) ? table[KV_PATHS] : undefined);
  if (methods === undefined) return errorResponse(404, NO_PATH);
  const allowed = Object.keys(methods).flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method]));
  // Bun looked for the path as it was sent, with dot segments or a backslash, and did not find that.
  if (allowed.includes(request.method)) return errorResponse(404, NO_PATH);
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
      "GET, HEAD, PUT, DELETE /kv/{key}":
        "raw bytes; ?ttl=60s, ?if=absent|present, ?lease=…, ETag, If-Match, If-None-Match",
      "POST /batch": "a JSON array of requests",
      "GET /events?prefix=…": "changes under a prefix, as server-sent events",
      "GET /ws": "WebSocket: binary frames of breadbox.v1, or JSON text",
      "GET /stats, /metrics, /healthz": "the server itself",
    },
  });
}
