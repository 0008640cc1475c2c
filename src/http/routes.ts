/**
 * Every path of the HTTP API, its methods, who may use them and who handles them. Bun routes by this table; what it
 * does not find comes to `answerOther`, which tells a wrong path from a wrong method.
 */
import type { Server } from "bun";
import { type Access, mayDo } from "../commands/access";
import { VERB_NAMES } from "../commands/tally";
import { Op } from "../protocol/wire";
import type { Session } from "../ws/session";
import { answer, type Endpoint, type Right, type Route, type Routes, type Table } from "./answer";
import { handleBatch } from "./batch";
import type { Handler, HttpContext } from "./context";
import { ABOUT, type Description } from "./descriptions";
import { handleEvents } from "./events";
import { handleKvDelete, handleKvGet, handleKvPut, KV_PATHS } from "./kv";
import { METRICS_TYPE, metricsText } from "./metrics";
import type { DialectName } from "./dialects/names";
import { DIALECT_TABLES } from "./dialects/tables";
import { openApiText } from "./openapi";
import { isPreflight, preflightResponse } from "./origin";
import { handleGet, handlePut } from "./put-get";
import { Page, PAGE_FILES, wantsPage } from "./page";
import { pathOf, pathRest, queryFields } from "./query";
import { errorResponse, headersWith, json, methodNotAllowed, NO_PATH, ofText } from "./respond";
import { upgrade } from "./upgrade";

/** Methods that Bun's table can have; others come to `fetch`. */
const ROUTED = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
/** What is answered at `/` depends on who asks. */
const INDEX_OK = { headers: headersWith({ "Content-Type": "application/json", Vary: "Accept" }) };
const METRICS_OK = { headers: headersWith({ "Content-Type": METRICS_TYPE }) };

/** The `routes` and `fetch` of Bun.serve. */
export function createRoutes(context: HttpContext) {
  const page = context.servesPage ? new Page() : null;
  const own = tableFor(context.protectMetrics, page);
  const table = withDialects(page === null ? own : { ...own, ...filesOf(page) }, context.dialects);
  const handlerOf = (route: Route) => (request: Request, server: Server<Session>) =>
    answer(context, route, request, server);
  const routes = Object.fromEntries(
    Object.entries(table).map(([path, methods]) => [
      path,
      Object.fromEntries(
        Object.entries(methods)
          .filter(([method]) => ROUTED.includes(method))
          .map(([method, route]) => [method, handlerOf(route)]),
      ),
    ]),
  );
  const fetch = (request: Request, server: Server<Session>) =>
    answer(context, otherRoute(table, request), request, server);
  return { routes, fetch };
}

/** The table with the paths of these dialects, and with the methods that they add to paths of before. */
function withDialects(table: Routes, dialects: readonly DialectName[]): Routes {
  const whole: Record<string, Routes[string]> = { ...table };
  for (const name of dialects)
    for (const [path, methods] of Object.entries(DIALECT_TABLES[name]))
      whole[path] = { ...whole[path], ...methods };
  return whole;
}

/** What the page consists of; no part of what programs use, so not in their document. */
function filesOf(page: Page): Routes {
  const handle: Handler = ({ unsent }, { url, headers }, _, server) =>
    page.file(pathRest(url, PAGE_FILES), headers, (bytes) => unsent.admit(bytes, server));
  return { [`${PAGE_FILES}*`]: { GET: { right: "open", handle } } };
}

function tableFor(protectMetrics: boolean, page: Page | null): Table {
  const put = { right: Op.PUT, handle: handlePut, about: ABOUT.put };
  const table: Table = {
    "/": {
      GET: {
        ...withoutQuery("open", ABOUT.index, (context, { headers }, _, server) =>
          page !== null && wantsPage(headers)
            ? page.start(headers, (bytes) => context.unsent.admit(bytes, server))
            : ofText(indexText(context), INDEX_OK),
        ),
        opensFromLinks: page !== null,
      },
    },
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
    "/access": {
      GET: withoutQuery("token", ABOUT.access, (_context, _request, access) => json(accessText(access))),
    },
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

/** What Bun found no route for: a method that its table cannot have, or one that is answered by `answerOther`. */
function otherRoute(table: Routes, request: Request): Route {
  const methods = methodsAt(table, pathOf(request.url));
  const found = ROUTED.includes(request.method) ? undefined : methods?.[request.method];
  return found ?? { right: "open", handle: () => answerOther(methods, request) };
}

function methodsAt(table: Routes, path: string): Routes[string] | undefined {
  const known = Object.keys(table).find((name) => name.endsWith("*") && path.startsWith(name.slice(0, -1)));
  return table[path] ?? (known === undefined ? undefined : table[known]);
}

/** Known path with another method: 405, or what a page may do there. Else 404. */
function answerOther(methods: Routes[string] | undefined, request: Request): Response {
  if (methods === undefined) return errorResponse(404, NO_PATH);
  const allowed = Object.keys(methods).flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method]));
  // Bun looked for the path as it was sent, with dot segments or a backslash, and did not find that.
  if (allowed.includes(request.method)) return errorResponse(404, NO_PATH);
  if (request.headers.has("origin") && isPreflight(request)) return preflightResponse(allowed);
  return methodNotAllowed(request.method, allowed);
}

/** What the bearer of a token may do, for those who would rather know than be refused. */
function accessText(access: Access): string {
  const { prefix, expiresAt } = access;
  return JSON.stringify({
    verbs: [...VERB_NAMES].filter(([, op]) => mayDo(access, op)).map(([name]) => name),
    prefix: prefix === null ? null : prefix.toString("utf8"),
    expiresAt: expiresAt === Infinity ? null : new Date(expiresAt).toISOString(),
  });
}

function indexText({ version, dialects, guard }: HttpContext): string {
  return JSON.stringify({
    name: "breadbox",
    version,
    needsToken: !guard.isOpen,
    endpoints: {
      "POST /put": 'stores {"key":"…","value":"…"}; optional ttl (ms), if, ifVersion',
      "GET /get?key=…": "answers the value as JSON",
      "GET, HEAD, PUT, DELETE /kv/{key}":
        "raw bytes; ?ttl=60s, ?if=absent|present, ?lease=…, ETag, If-Match, If-None-Match",
      "POST /batch": "a JSON array of requests",
      "GET /events?prefix=…": "changes under a prefix, as server-sent events",
      "GET /ws": "WebSocket: binary frames of breadbox.v1, or JSON text",
      "GET /stats, /metrics, /healthz": "the server itself",
      "GET /access": "what your token may do",
      "GET /openapi.json": "all of this as an OpenAPI document",
    },
    dialects,
  });
}
