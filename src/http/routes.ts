/**
 * Every path of the HTTP API, its methods, who may use them and who handles them; and whether a request is let in at all,
 * which is decided from its head, before any of its body is read.
 */
import { mayDo, NOBODY } from "../commands/access";
import type { Commands } from "../commands/commands";
import { Count } from "../commands/tally";
import type { Connection } from "../net/connection";
import { Op } from "../protocol/wire";
import { handleBatch } from "./batch";
import type { Answer, HttpContext } from "./context";
import type { Verdict } from "./guard";
import { Header } from "./message/header-names";
import { METHOD_NAMES } from "./message/head";
import { HOST_MESSAGE } from "./host";
import { handleKvDelete, handleKvGet, handleKvPut, KV_PREFIX } from "./kv";
import { METRICS_TYPE, metricsText } from "./metrics";
import { isPreflight, preflightReply, sharing } from "./origin";
import { handleGet, handlePut } from "./put-get";
import { refuse, refuseToken } from "./refuse";
import { errorReply, json, methodNotAllowed, type Reply } from "./message/reply";
import type { HttpRequest } from "./request";
import { upgrade } from "./upgrade";

/** A verb's op, or "open" for what needs no token, or "token" for what any token may. */
type Right = Op | "open" | "token";

/** What a method does on a path. */
export class Endpoint {
  constructor(
    readonly right: Right,
    readonly handle: (request: HttpRequest, connection: Connection) => Answer,
    /** How large a body may be, and the flag that says so; null where none is read. */
    readonly body: { readonly bytesMax: number; readonly flag: string } | null = null,
    /** What it is beyond most, in requests. */
    readonly extraWork = 0,
  ) {}
}

export type Admission = Endpoint | Reply;

interface Path {
  readonly bytes: Buffer;
  /** Anything may follow. */
  readonly isPrefix: boolean;
  /** By Method. */
  readonly endpoints: readonly (Endpoint | undefined)[];
  readonly methods: readonly string[];
}

/** Every shard is looked at. */
const REPORT_WORK = 128;
const ORIGIN_MESSAGE = "Origin: this origin is not allowed (--allow-origin)";
const TOKEN_HELP = "Authorization: Bearer TOKEN";
const NOT_READY = errorReply(503, "the server is starting or shutting down; try again");
const NO_PATH = errorReply(404, "there is no such path; GET / lists the endpoints");
const HEALTHY = json('{"status":"OK"}');

export class Routes {
  private readonly paths: readonly Path[];
  /** What an empty path means, of http://host. */
  private readonly root: Path;

  constructor(private readonly context: HttpContext) {
    this.paths = pathsOf(context);
    this.root = this.paths.find(({ bytes }) => bytes.toString() === "/")!;
  }

  /**
   * Who handles a request, or why nobody does. Called when its head is there.
   * @param isLate it came when the server was shutting down
   */
  admit(request: HttpRequest, connection: Connection, isLate: boolean): Admission | Promise<Admission> {
    const { tally, hosts } = this.context;
    tally.add(Count.HTTP_REQUESTS, 1);
    request.extraHeaders = "";
    request.access = NOBODY;
    if (!hosts.allows(request)) return refuse(tally, 403, HOST_MESSAGE);
    if (request.has(Header.ORIGIN) && !this.admitsOrigin(request)) return refuse(tally, 403, ORIGIN_MESSAGE);
    const path = this.find(request);
    if (path === undefined) return NO_PATH;
    const endpoint = path.endpoints[request.method];
    if (endpoint === undefined) return withoutEndpoint(path, request);
    if (isLate) return NOT_READY;
    return endpoint.right === "open" ? endpoint : this.authorize(endpoint, request, connection);
  }

  /** Pages of listed origins may read the answer; those of strangers get none. */
  private admitsOrigin(request: HttpRequest): boolean {
    const origin = request.text(Header.ORIGIN)!;
    const standing = this.context.origins.standingOf(origin, request.host());
    if (standing === "listed") {
      request.extraHeaders = sharing(origin);
      request.isPlain = false;
    }
    return standing !== "stranger";
  }

  private find({ bytes, targetStart, pathEnd }: HttpRequest): Path | undefined {
    if (targetStart === pathEnd) return this.root;
    for (const path of this.paths) if (matches(path, bytes, targetStart, pathEnd)) return path;
    return undefined;
  }

  private authorize(
    endpoint: Endpoint,
    request: HttpRequest,
    connection: Connection,
  ): Admission | Promise<Admission> {
    const verdict = this.context.guard.verdictOn(request.text(Header.AUTHORIZATION));
    return verdict instanceof Promise
      ? verdict.then((late) => this.judge(endpoint, request, connection, late))
      : this.judge(endpoint, request, connection, verdict);
  }

  private judge(
    endpoint: Endpoint,
    request: HttpRequest,
    connection: Connection,
    verdict: Verdict,
  ): Admission | Promise<Admission> {
    const { right } = endpoint;
    if (typeof verdict === "string")
      return refuseToken(this.context, connection.remoteAddress, verdict, TOKEN_HELP);
    if (typeof right === "number" && !mayDo(verdict, right))
      return refuse(this.context.tally, 403, verdict.refusal);
    request.access = verdict;
    return endpoint;
  }
}

function pathsOf(context: HttpContext): Path[] {
  const { commands } = context;
  const { limits } = commands;
  const message = { bytesMax: limits.messageBytesMax, flag: "--max-message" };
  const value = { bytesMax: limits.valueBytesMax, flag: "--max-value" };
  const put = new Endpoint(Op.PUT, (request, to) => handlePut(commands, request, to), message);
  // Those asked for most come first.
  return [
    path("/get", { GET: new Endpoint(Op.GET, (request, to) => handleGet(commands, request, to)) }),
    path(`${KV_PREFIX}*`, {
      GET: new Endpoint(Op.GET, (request, to) => handleKvGet(commands, request, to)),
      PUT: new Endpoint(Op.PUT, (request, to) => handleKvPut(commands, request, to), value),
      DELETE: new Endpoint(Op.DELETE, (request) => handleKvDelete(commands, request)),
    }),
    path("/put", { POST: put, PUT: put }),
    path("/batch", {
      POST: new Endpoint("token", (request) => handleBatch(commands, request, context.onFault), message),
    }),
    path("/ws", { GET: new Endpoint("open", (request, to) => upgrade(context, request, to)) }),
    path("/healthz", { GET: new Endpoint("open", () => (context.isReady() ? HEALTHY : NOT_READY)) }),
    path("/stats", {
      GET: new Endpoint(Op.STATS, () => json(JSON.stringify(commands.report())), null, REPORT_WORK),
    }),
    path("/metrics", {
      GET: new Endpoint(
        context.protectMetrics ? Op.STATS : "open",
        () => metrics(commands),
        null,
        REPORT_WORK,
      ),
    }),
    path("/", { GET: new Endpoint("open", () => json(indexText(context.version))) }),
  ];
}

function metrics(commands: Commands): Reply {
  const headers = `Content-Type: ${METRICS_TYPE}\r\n`;
  return { status: 200, headers, body: metricsText(commands.report()) };
}

/** A * at the end stands for anything. HEAD is a GET without the body. */
function path(pattern: string, endpoints: Partial<Record<(typeof METHOD_NAMES)[number], Endpoint>>): Path {
  const withHead = endpoints.GET === undefined ? endpoints : { ...endpoints, HEAD: endpoints.GET };
  const isPrefix = pattern.endsWith("*");
  return {
    bytes: Buffer.from(isPrefix ? pattern.slice(0, -1) : pattern),
    isPrefix,
    endpoints: METHOD_NAMES.map((name) => withHead[name]),
    methods: METHOD_NAMES.filter((name) => withHead[name] !== undefined),
  };
}

function matches({ bytes: path, isPrefix }: Path, bytes: Buffer, start: number, end: number): boolean {
  if (isPrefix ? end - start < path.length : end - start !== path.length) return false;
  for (let i = 0; i < path.length; i++) if (bytes[start + i] !== path[i]) return false;
  return true;
}

/** Known path with another method: 405, or what a page may do there. */
function withoutEndpoint({ methods }: Path, request: HttpRequest): Reply {
  if (request.has(Header.ORIGIN) && isPreflight(request)) return preflightReply(methods);
  return methodNotAllowed(request.methodName, methods);
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
