/** Raw values: GET, HEAD, PUT and DELETE /kv/{key}, with their Content-Type, and ETags for versions (RFC 9110, 13.1). */
import type { Server } from "bun";
import type { Access } from "../commands/access";
import {
  ANY_VERSION,
  type Commands,
  Condition,
  type HashedKey,
  NO_LEASE,
  Outcome,
} from "../commands/commands";
import { conditionNamed } from "../commands/json";
import { RequestError } from "../protocol/errors";
import { Op } from "../protocol/wire";
import { foundInit, typeOf } from "./content-type";
import type { Answer, HttpContext } from "./context";
import { answerLease, tokenOf } from "./lease";
import { pathRest, pathStart, queryFields, ttlOf } from "./query";
import { errorResponse, headersWith, NO_PATH } from "./respond";
import { characters, scratch, SCRATCH_AT, scratchValue, scratchView, writePlain } from "./scratch";
import type { Session } from "../ws/session";
import { readValue, valueResponse, withValue } from "./value";

const KV_PREFIX = "/kv/";
export const KV_PATHS = `${KV_PREFIX}*`;
const STORED = { status: 204, headers: headersWith({}) };
/** Ends the path, or stands for another character. */
const NOT_IN_PLAIN_PATH = characters("?%");
const CONDITION_FAILED = "the condition does not hold";

export function handleKvGet(
  context: HttpContext,
  request: Request,
  access: Access,
  server: Server<Session>,
): Answer {
  const { commands } = context;
  const { url } = request;
  const { lease, wait } = queryFields(url, ["lease", "wait"]);
  const found = () => foundResponse(context, request, server);
  if (lease !== undefined)
    return answerLease(
      context,
      ownKeyInPath(commands, url),
      { lease, wait },
      { request, access, server, found },
    );
  if (wait !== undefined) throw new RequestError("MALFORMED", "wait: needs lease");
  const key = keyInPath(commands, url);
  return readValue(context, access, key, SCRATCH_AT + key.end)
    ? found()
    : errorResponse(404, "Key not found.");
}

/** The answer with the value that was taken, or what its conditions make of it. */
function foundResponse(context: HttpContext, request: Request, server: Server<Session>): Response {
  const { version, type } = scratchValue;
  const etag = `"${version}"`;
  const { headers } = request;
  const ifMatch = headers.get("if-match");
  if (ifMatch !== null && !matches(ifMatch, version, "strong")) return errorResponse(412, CONDITION_FAILED);
  if (matches(headers.get("if-none-match"), version, "weak"))
    return new Response(null, { status: 304, headers: headersWith({ ETag: etag }) });
  const response = valueResponse(context, server, foundInit(type));
  response.headers.set("ETag", etag);
  return response;
}

export function handleKvPut(context: HttpContext, request: Request, access: Access): Promise<Response> {
  const { commands } = context;
  const { url } = request;
  // Read before the body is there, so that a wrong one costs nobody a body.
  const key = ownKeyInPath(commands, url);
  commands.check(access, Op.PUT, key);
  const fields = queryFields(url, ["ttl", "if", "lease"]);
  const ttlMs = ttlOf(fields.ttl);
  const ifQuery = ifOf(fields.if);
  const token = fields.lease === undefined ? NO_LEASE : tokenOf(fields.lease);
  const type = typeOf(request.headers);
  if (token !== NO_LEASE && (fields.if !== undefined || hasCondition(request.headers)))
    throw new RequestError("MALFORMED", "lease: contradicts if, If-Match and If-None-Match");
  return withValue(context, request, (write) => {
    const condition = conditionOf(request.headers, versionNow(commands, access, key), ifQuery);
    if (condition === null) return errorResponse(412, CONDITION_FAILED);
    write.condition = condition.when;
    write.ifVersion = condition.version;
    write.type = type;
    write.lease = token;
    const outcome = commands.put(access, key, write, ttlMs);
    return outcome === Outcome.DONE ? stored(commands.lastVersion) : errorResponse(412, CONDITION_FAILED);
  });
}

function hasCondition(headers: Headers): boolean {
  return headers.has("if-match") || headers.has("if-none-match");
}

function stored(version: number): Response {
  const response = new Response(null, STORED);
  response.headers.set("ETag", `"${version}"`);
  return response;
}

export function handleKvDelete({ commands }: HttpContext, request: Request, access: Access): Response {
  const { url } = request;
  const key = keyInPath(commands, url);
  queryFields(url, []);
  commands.refreshClock();
  const condition = conditionOf(request.headers, versionNow(commands, access, key));
  if (condition === null || condition.when === Condition.IF_ABSENT)
    return errorResponse(412, CONDITION_FAILED);
  const outcome = commands.delete(access, key, condition.version);
  if (outcome === Outcome.DONE) return new Response(null, STORED);
  const conditional = condition.when !== Condition.NONE || condition.version !== ANY_VERSION;
  return conditional ? errorResponse(412, CONDITION_FAILED) : errorResponse(404, "Key not found.");
}

/** The key of /kv/{key}. Plain characters are put into the scratch: good until the handler returns, and no longer. */
function keyInPath(commands: Commands, url: string): HashedKey {
  const start = keyStart(url);
  const end = writePlain(url, start, SCRATCH_AT, NOT_IN_PLAIN_PATH);
  return end < 0 ? ownKeyInPath(commands, url) : commands.keyAt(scratch, scratchView, SCRATCH_AT, end);
}

/** The same in bytes of its own, for a handler that has to wait for the body before it uses the key. */
function ownKeyInPath(commands: Commands, url: string): HashedKey {
  return commands.keyOf(kvName(url));
}

/** What a path names, decoded; may be empty. */
export function kvName(url: string): string {
  return pathRest(url, KV_PREFIX);
}

/** Where the key begins; see pathRest for the path that is none of this route. */
function keyStart(url: string): number {
  const start = pathStart(url);
  if (!url.startsWith(KV_PREFIX, start)) throw new RequestError("MALFORMED", NO_PATH, 404);
  return start + KV_PREFIX.length;
}

type IfQuery = "absent" | "present" | undefined;

function ifOf(text: string | undefined): IfQuery {
  if (text === undefined || text === "absent" || text === "present") return text;
  throw new RequestError("MALFORMED", "if: must be absent or present");
}

interface WriteCondition {
  when: Condition;
  version: number;
}

/** What a write is asked to depend on; null when it is known already that this does not hold. */
function conditionOf(
  headers: Headers,
  versionNow: () => number | null,
  ifQuery?: IfQuery,
): WriteCondition | null {
  const ifMatch = headers.get("if-match");
  const ifNoneMatch = headers.get("if-none-match");
  if (ifQuery !== undefined) {
    if (ifMatch !== null || ifNoneMatch !== null)
      throw new RequestError(
        "MALFORMED",
        "if: say it in the query or in If-Match and If-None-Match, not in both",
      );
    return { when: conditionNamed(ifQuery), version: ANY_VERSION };
  }
  if (ifNoneMatch !== null) {
    if (ifNoneMatch.trim() !== "*")
      throw new RequestError("MALFORMED", "If-None-Match: only * is understood for a write");
    if (ifMatch !== null) throw new RequestError("MALFORMED", "If-Match: contradicts If-None-Match");
    return { when: Condition.IF_ABSENT, version: ANY_VERSION };
  }
  if (ifMatch === null) return { when: Condition.NONE, version: ANY_VERSION };
  if (ifMatch.trim() === "*") return { when: Condition.IF_PRESENT, version: ANY_VERSION };
  // One tag is checked with the write itself; of several, the one that holds now is.
  const version = versionNow();
  if (version === null || !matches(ifMatch, version, "strong")) return null;
  return { when: Condition.IF_PRESENT, version };
}

/** Tells the version of the key's entry, or null where there is none. */
function versionNow(commands: Commands, access: Access, key: HashedKey): () => number | null {
  return () => (commands.info(access, key) ? commands.entryInfo.version : null);
}

/** Whether a list of entity tags has this version; in a strong comparison weak tags match nothing. */
function matches(header: string | null, version: number, comparison: "strong" | "weak"): boolean {
  if (header === null) return false;
  return header.split(",").some((tag) => {
    const bare = comparison === "weak" ? tag.trim().replace(/^W\//, "") : tag.trim();
    return bare === "*" || bare === `"${version}"`;
  });
}
