/** Raw values: GET, HEAD, PUT and DELETE /kv/{key}, with ETags for versions (RFC 9110, 13.1). */
import { type Access, checkKey } from "../commands/access";
import { ANY_VERSION, type Commands, Condition, Outcome } from "../commands/commands";
import { type Key, keyOf } from "../commands/json";
import { RequestError } from "../protocol/errors";
import { asBuffer, readBody } from "./body";
import { pathRest, queryTtl, SCHEME_END } from "./query";
import { errorResponse } from "./respond";
import { characters, scratch, SCRATCH_AT, scratchValue, scratchView, writePlain } from "./scratch";

export const KV_PREFIX = "/kv/";
const BYTES_TYPE = "application/octet-stream";
/** One for all answers: a Response copies its headers, and making new ones costs more. */
const FOUND = { headers: new Headers({ "Content-Type": BYTES_TYPE, ETag: "" }) };
/** Ends the path, or stands for another character. */
const NOT_IN_PLAIN_PATH = characters("?%");
const KEY_END = 3;
const CONDITION_FAILED = "the condition does not hold";

export function handleKvGet(commands: Commands, request: Request, access: Access): Response {
  const key = keyInPath(request.url, access);
  scratchValue.at = SCRATCH_AT + key[KEY_END];
  commands.refreshClock();
  if (!commands.get(...key, scratchValue)) return errorResponse(404, "Key not found.");
  const { version } = scratchValue;
  const etag = `"${version}"`;
  const ifMatch = request.headers.get("if-match");
  if (ifMatch !== null && !matches(ifMatch, version, "strong")) return errorResponse(412, CONDITION_FAILED);
  if (matches(request.headers.get("if-none-match"), version, "weak"))
    return new Response(null, { status: 304, headers: { ETag: etag } });
  FOUND.headers.set("ETag", etag);
  return new Response(body(), FOUND);
}

/** The value that was taken. Plain ones as text: Bun sends that for less than it copies bytes. */
function body(): string | Uint8Array<ArrayBuffer> {
  const value = scratchValue.taken() as Buffer<ArrayBuffer>;
  return scratchValue.isPlain() ? value.toString("latin1") : value;
}

export async function handleKvPut(commands: Commands, request: Request, access: Access): Promise<Response> {
  const key = ownKeyInPath(request.url, access);
  const ttl = queryTtl(request.url);
  const value = asBuffer(await readBody(request, commands.limits.valueBytesMax, "--max-value"));
  commands.refreshClock();
  const condition = conditionOf(commands, request, key);
  if (condition === null) return errorResponse(412, CONDITION_FAILED);
  const outcome = commands.put(...key, value, 0, value.length, ttl, condition.when, condition.version);
  if (outcome !== Outcome.DONE) return errorResponse(412, CONDITION_FAILED);
  return new Response(null, { status: 204, headers: { ETag: `"${commands.lastVersion}"` } });
}

export function handleKvDelete(commands: Commands, request: Request, access: Access): Response {
  const key = keyInPath(request.url, access);
  commands.refreshClock();
  const condition = conditionOf(commands, request, key);
  if (condition === null || condition.when === Condition.IF_ABSENT)
    return errorResponse(412, CONDITION_FAILED);
  const outcome = commands.delete(...key, condition.version);
  if (outcome === Outcome.DONE) return new Response(null, { status: 204 });
  const conditional = condition.when !== Condition.NONE || condition.version !== ANY_VERSION;
  return conditional ? errorResponse(412, CONDITION_FAILED) : errorResponse(404, "Key not found.");
}

/**
 * The key of /kv/{key}, checked against what the token may name. Plain characters are put into the scratch: good until
 * the handler returns, and no longer.
 */
function keyInPath(url: string, access: Access): Key {
  const start = url.indexOf("/", SCHEME_END) + KV_PREFIX.length;
  const end = writePlain(url, start, SCRATCH_AT, NOT_IN_PLAIN_PATH);
  if (end < 0) return ownKeyInPath(url, access);
  checkKey(access, scratch, SCRATCH_AT, end);
  return [scratch, scratchView, SCRATCH_AT, end];
}

/** The same in bytes of its own, for who has to wait before it is used. */
function ownKeyInPath(url: string, access: Access): Key {
  const key = keyOf(pathRest(url, KV_PREFIX));
  const [bytes, , start, end] = key;
  checkKey(access, bytes, start, end);
  return key;
}

interface WriteCondition {
  when: Condition;
  version: number;
}

/** What If-Match and If-None-Match ask of a write; null when it is known already that they do not hold. */
function conditionOf(commands: Commands, request: Request, key: Key): WriteCondition | null {
  const ifMatch = request.headers.get("if-match");
  const ifNoneMatch = request.headers.get("if-none-match");
  if (ifNoneMatch !== null) {
    if (ifNoneMatch.trim() !== "*")
      throw new RequestError("MALFORMED", "If-None-Match: only * is understood for a write");
    if (ifMatch !== null) throw new RequestError("MALFORMED", "If-Match: contradicts If-None-Match");
    return { when: Condition.IF_ABSENT, version: ANY_VERSION };
  }
  if (ifMatch === null) return { when: Condition.NONE, version: ANY_VERSION };
  if (ifMatch.trim() === "*") return { when: Condition.IF_PRESENT, version: ANY_VERSION };
  // One tag is checked with the write itself; of several, the one that holds now is.
  const present = commands.info(...key);
  const { version } = commands.entryInfo;
  if (!present || !matches(ifMatch, version, "strong")) return null;
  return { when: Condition.IF_PRESENT, version };
}

/** Whether a list of entity tags has this version; in a strong comparison weak tags match nothing. */
function matches(header: string | null, version: number, comparison: "strong" | "weak"): boolean {
  if (header === null) return false;
  return header.split(",").some((tag) => {
    const bare = comparison === "weak" ? tag.trim().replace(/^W\//, "") : tag.trim();
    return bare === "*" || bare === `"${version}"`;
  });
}
