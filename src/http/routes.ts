/**
 * Every path of the HTTP API, its methods, who may use them and who handles them. Bun routes by this table; what it
 * does not find comes to `answerOther`, which tells a wrong path from a wrong method.
 */
import type { Server } from "bun";
import { Op } from "../protocol/wire";
import type { Session } from "../ws/session";
import { answer, type Endpoint, type Right, type Route, type Table } from "./answer";
import { handleBatch } from "./batch";
import type { Handler, HttpContext } from "./context";
import { ABOUT, type Description } from "./descriptions";
import { handleEvents } from "./events";
import { handleKvDelete, handleKvGet, handleKvPut, KV_PREFIX } from "./kv";
import { METRICS_TYPE, metricsText } from "./metrics";
import { openApiText } from "./openapi";
import { isPreflight, preflightResponse } from "./origin";
import { handleGet, handlePut } from "./put-get";
import { pathOf, queryFields } from "./query";
import { errorResponse, headersWith, json, methodNotAllowed, NO_PATH, ofText } from "./respond";
import { upgrade } from "./upgrade";

const KV_PATHS = `${KV_PREFIX}*`;
const METRICS_OK = { headers: headersWith({ "Content-Type": METRICS_TYPE }) };

/** The `routes` and `fetch` of Bun.serve. */
export function createRoutes(context: HttpContext) {
  const table = tableFor(context.protectMetrics);
  const handlerOf = (endpoint: Route) => (request: Request, server: Server<Session>) =>
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
  const put = { right: Op.PUT, handle: handlePut, about: ABOUT.put };
  const table: Table = {
    "/": { GET: withoutQuery("open", ABOUT.index, ({ version }) => json(indexText(version))) },
    "/put": { POST: put, PUT: put },
    "/get": { GET: { right: Op.GET, handle: handleGet, about: ABOUT.get } },
    [KV_PATHS]: {
      GET: { right: Op.GET, handle: handleKvGet, about: ABOUT.kvGet },
      PUT: { right: Op.PUT, handle: handleKvPut, about: ABOUT.kvPut },
      DELETE: { right: Op.DELETE, handle: handleKvDelete, about: ABOUT.kvDelete },
    },
    "/batch": { POST: withoutQuery("token", ABOUT.batch, handleBatch) },
    "/events": { GET: { right: Op.WATCH, handle: handleEvents, about: ABOUT.events } },
    "/ws": { GET: withoutQuery("open", ABOUT.socket, upgrade) },
    "/healthz": { GET: withoutQuery("open", ABOUT.health, () => json('{"status":"OK"}')) },
    "/stats": {
      GET: withoutQuery(Op.STATS, ABOUT.stats, ({ commands }) => json(JSON.stringify(commands.report()))),
    },
    "/metrics": {
      GET: withoutQuery(protectMetrics ? Op.STATS : "open", ABOUT.metrics, ({ commands, tally }) =>
        ofText(metricsText(commands.report(), tally), METRICS_OK),
      ),
    },
    "/openapi.json": { GET: withoutQuery("open", ABOUT.openapi, (context) => json(documentOf(context))) },
  };
  /** Made at the first request: it never changes. */
  let document: string | undefined;
  const documentOf = ({ version, commands }: HttpContext) =>
    (document ??= openApiText(table, version, commands.report()));
  return table;
}

/** An endpoint that takes no query parameters. */
function withoutQuery(right: Right, about: Description, handle: Handler): Endpoint {
  return {
    right,
    about,
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
      "GET /openapi.json": "all of this as an OpenAPI document",
    },
  });
}
