/**
 * Turborepo's remote cache, as its client speaks with it (TURBO_API; the paths are those of Vercel's API, v8).
 *
 * An artifact is the key `turborepo:TEAM:HASH`. What its PUT says beside the bytes (how long the task took, and the signature) has
 * to come back with them, and is kept as parameters of the value's type.
 */
import type { Server } from "bun";
import type { Access } from "../../commands/access";
import { drive, step } from "../../commands/calls";
import { type HashedKey, TYPE_TEXT_BYTES_MAX, type ValueType } from "../../commands/commands";
import { RequestError } from "../../protocol/errors";
import { parseJson } from "../../protocol/json";
import { Op } from "../../protocol/wire";
import type { Session } from "../../ws/session";
import type { Route, Routes } from "../answer";
import { withBody } from "../body";
import { BYTES_TYPE } from "../content-type";
import type { Handler, HttpContext } from "../context";
import { preflightResponse } from "../origin";
import { looseQuery, pathOf, pathRest, pathStart } from "../query";
import { type ErrorForm, errorResponse, headersWith, json, ofText } from "../respond";
import { scratchValue } from "../scratch";
import { readValue, valueResponse, withValue } from "../value";
import { dialectSchemas } from "./load";
import type { ArtifactFacts } from "./schemas";

const PREFIX = "/v8/artifacts/";
const ROOM = "turborepo:";
/** With its parameters, the type of what a PUT stores. */
const ARTIFACT_TYPE = "application/vnd.turborepo.artifact";
/** The headers that come back, by the names of their parameters; what does not fit is left out from the end. */
const FACTS = ["duration", "tag", "sha", "dirty-hash"] as const;
const NAME = /^[A-Za-z0-9_-]+$/;
/** Artifacts that are looked for in a row. */
const LOOKED_FOR_IN_A_ROW = 256;

const FOUND = { headers: headersWith({ "Content-Type": BYTES_TYPE }) };
const STORED = { status: 202, headers: headersWith({ "Content-Type": "application/json" }) };

/** Its client shows the message; a code that begins with remote_caching_ would make it give up. */
const ERRORS: ErrorForm = {
  contentType: "application/json",
  body: (status, message) => JSON.stringify({ error: { code: codeOf(status), message } }),
};

function codeOf(status: number): string {
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  if (status === 404) return "not_found";
  return status < 500 ? "bad_request" : "internal_server_error";
}

const route = (right: Route["right"], handle: Handler): Route => ({ right, handle, errors: ERRORS });
/** With `--preflight`, its client asks before each request where to send it, and whether with its token; it is no page. */
const preflight = (...methods: string[]) => route("open", () => preflightResponse(methods));

export const turborepo: Routes = {
  "/v8/artifacts": { POST: route("token", handleQuery), OPTIONS: preflight("POST") },
  "/v8/artifacts/status": {
    GET: route("token", () => json('{"status":"enabled"}')),
    OPTIONS: preflight("GET", "HEAD"),
  },
  "/v8/artifacts/events": { POST: route("token", handleEvents), OPTIONS: preflight("POST") },
  [`${PREFIX}*`]: {
    GET: route(Op.GET, handleGet),
    PUT: route(Op.PUT, handlePut),
    OPTIONS: preflight("GET", "HEAD", "PUT"),
  },
};

function handleGet(
  context: HttpContext,
  { url }: Request,
  access: Access,
  server: Server<Session>,
): Response {
  const key = keyOf(context, url, pathRest(url, PREFIX));
  if (!readValue(context, access, key)) return errorResponse(404, "Artifact not found", ERRORS);
  const facts = factsIn(scratchValue.type);
  const response = valueResponse(context, server, FOUND);
  for (const [name, value] of facts) response.headers.set(`x-artifact-${name}`, value);
  return response;
}

function handlePut(context: HttpContext, request: Request, access: Access): Promise<Response> {
  const { commands } = context;
  const { url } = request;
  const key = keyOf(context, url, pathRest(url, PREFIX));
  commands.check(access, Op.PUT, key);
  const type = typeOf(request.headers);
  return withValue(context, request, (write) => {
    write.type = type;
    commands.put(access, key, write);
    return ofText(JSON.stringify({ urls: [url.slice(0, pathStart(url)) + pathOf(url)] }), STORED);
  });
}

/** POST /v8/artifacts: which of these are there? */
function handleQuery(context: HttpContext, request: Request, access: Access): Promise<Response> {
  const { messageBody, commands, turns } = context;
  return withBody(context, request, messageBody, (body) => {
    const { parseAs, artifactQuery } = dialectSchemas();
    const { hashes } = parseAs(artifactQuery, parseJson(body, "the body", commands.limits), "body");
    const most = commands.limits.batchRequestsMax;
    if (hashes.length > most)
      throw new RequestError(
        "MALFORMED",
        `hashes: ${hashes.length} in one request, at most ${most} are allowed (--max-batch)`,
        413,
      );
    const keys = hashes.map((hash) => [hash, keyOf(context, request.url, hash)] as const);
    return drive(commands, turns, lookFor(context, access, keys));
  });
}

function* lookFor(
  context: HttpContext,
  access: Access,
  keys: readonly (readonly [hash: string, key: HashedKey])[],
): Generator<void, Response> {
  const { commands } = context;
  const found: [string, object | null][] = [];
  for (const [i, [hash, key]] of keys.entries()) {
    if (i % LOOKED_FOR_IN_A_ROW === 0) {
      const next = keys.slice(i, i + LOOKED_FOR_IN_A_ROW);
      commands.expect(
        access,
        next.map(([, coming]) => coming),
      );
      if (i > 0) yield;
    }
    found.push([hash, yield* step(commands, () => artifactInfo(context, access, key))]);
  }
  return json(JSON.stringify(Object.fromEntries(found)));
}

function artifactInfo({ commands }: HttpContext, access: Access, key: HashedKey): object | null {
  commands.refreshClock();
  if (!commands.info(access, key)) return null;
  const { valueLength, type } = commands.entryInfo;
  const facts = Object.fromEntries(factsIn(type));
  return {
    size: valueLength,
    taskDurationMs: Number(facts["duration"] ?? 0),
    ...(facts["tag"] !== undefined && { tag: facts["tag"] }),
  };
}

/** POST /v8/artifacts/events: hits and misses of its client's caches. Ours are in /stats. */
function handleEvents(context: HttpContext, request: Request): Promise<Response> {
  return withBody(context, request, context.messageBody, (body) => {
    const { parseAs, artifactEvents } = dialectSchemas();
    parseAs(artifactEvents, parseJson(body, "the body", context.commands.limits), "body");
    return json("{}");
  });
}

/**
 * The team is what its client was told by TURBO_TEAMID or TURBO_TEAM; without either, it is empty. Neither it nor the hash may hold a
 * colon, so that no key of one team is one of another's.
 */
function keyOf({ commands }: HttpContext, url: string, hash: string): HashedKey {
  const query = looseQuery(url);
  const team = query.get("teamId") ?? query.get("slug") ?? "";
  if (team.includes(":")) throw new RequestError("BAD_KEY", "teamId, slug: must not have a colon");
  if (!NAME.test(hash))
    throw new RequestError("BAD_KEY", "hash: must be letters, digits, hyphens and underscores");
  return commands.keyOf(`${ROOM}${team}:${hash}`);
}

/** What a PUT says of its artifact, as the type of the value. */
function typeOf(headers: Headers): ValueType {
  const given = FACTS.map((name) => [name, headers.get(`x-artifact-${name}`) ?? undefined] as const);
  const { parseAs, artifactFacts } = dialectSchemas();
  const facts: ArtifactFacts = parseAs(artifactFacts, Object.fromEntries(given), "x-artifact");
  let text = ARTIFACT_TYPE;
  for (const name of FACTS) {
    const parameter = facts[name] === undefined ? "" : `;${name}="${facts[name]}"`;
    if (text.length + parameter.length <= TYPE_TEXT_BYTES_MAX) text += parameter;
  }
  return { number: 0, text };
}

function factsIn({ text }: ValueType): [string, string][] {
  if (!text.startsWith(ARTIFACT_TYPE)) return [];
  return [...text.matchAll(/;([a-z-]+)="([^"]*)"/g)].map(([, name, value]) => [name!, value!]);
}
