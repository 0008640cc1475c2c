/** Raw values: GET, HEAD, PUT and DELETE /kv/{key}, with ETags for versions (RFC 9110, 13.1). */
import { checkKey } from "../commands/access";
import { ANY_VERSION, type Commands, Condition, Outcome } from "../commands/commands";
import { type Key, keyOf } from "../commands/json";
import type { Connection } from "../net/connection";
import { RequestError } from "../protocol/errors";
import { BYTES_TYPE, FoundBytes } from "./found";
import { Header } from "./message/header-names";
import { PLAIN_IN_PATH, plainUntil } from "./plain";
import { pathRest, queryTtl } from "./query";
import { empty, errorReply, type Reply } from "./message/reply";
import type { HttpRequest } from "./request";
import { PreparedHead, writeDecimal } from "./message/write";

export const KV_PREFIX = "/kv/";
const NOT_FOUND = errorReply(404, "Key not found.");
const CONDITION_FAILED = errorReply(412, "the condition does not hold");
const STORED_HEAD = new PreparedHead(204, "", 'ETag: "');
const STORED_END = Buffer.from('"\r\n\r\n');
/** More than a stored key's answer takes. */
const STORED_BYTES_MAX = 256;

const found = new FoundBytes();

export function handleKvGet(commands: Commands, request: HttpRequest, connection: Connection): Reply | null {
  const key = keyInPath(request);
  commands.refreshClock();
  found.open(connection);
  if (!commands.get(commands.keyAt(...key), found)) return NOT_FOUND;
  const { version } = found;
  request.copiedBytes = found.byteCount;
  if (request.has(Header.IF_MATCH) && !matches(request.text(Header.IF_MATCH), version, "strong"))
    return CONDITION_FAILED;
  if (request.has(Header.IF_NONE_MATCH) && matches(request.text(Header.IF_NONE_MATCH), version, "weak"))
    return empty(304, etag(version));
  if (request.isPlain && found.isWritten()) return null;
  return { status: 200, headers: BYTES_TYPE + etag(version), body: found.value() };
}

export function handleKvPut(commands: Commands, request: HttpRequest, connection: Connection): Reply | null {
  const key = keyInPath(request);
  const ttl = request.pathEnd === request.targetEnd ? Infinity : queryTtl(request.targetText());
  commands.refreshClock();
  const condition = conditionOf(commands, request, key);
  if (condition === null) return CONDITION_FAILED;
  const { body, bodyStart, bodyEnd } = request;
  const outcome = commands.put(
    commands.keyAt(...key),
    body,
    bodyStart,
    bodyEnd,
    ttl,
    condition.when,
    condition.version,
  );
  if (outcome !== Outcome.DONE) return CONDITION_FAILED;
  if (!request.isPlain) return empty(204, etag(commands.lastVersion));
  writeStored(connection, commands.lastVersion);
  return null;
}

export function handleKvDelete(commands: Commands, request: HttpRequest): Reply {
  const key = keyInPath(request);
  commands.refreshClock();
  const condition = conditionOf(commands, request, key);
  if (condition === null || condition.when === Condition.IF_ABSENT) return CONDITION_FAILED;
  const outcome = commands.delete(commands.keyAt(...key), condition.version);
  if (outcome === Outcome.DONE) return empty(204);
  const conditional = condition.when !== Condition.NONE || condition.version !== ANY_VERSION;
  return conditional ? CONDITION_FAILED : NOT_FOUND;
}

function etag(version: number): string {
  return `ETag: "${version}"\r\n`;
}

function writeStored(connection: Connection, version: number): void {
  const outbox = connection.room(STORED_BYTES_MAX);
  const { bytes } = outbox;
  let at = outbox.length + STORED_HEAD.current().copy(bytes, outbox.length);
  at = writeDecimal(bytes, at, version);
  outbox.length = at + STORED_END.copy(bytes, at);
}

/** The key of /kv/{key}, checked against what the token may name. A plain one is read where it stands. */
function keyInPath(request: HttpRequest): Key {
  const { bytes, view, pathEnd } = request;
  const keyStart = request.targetStart + KV_PREFIX.length;
  const isPlain = plainUntil(bytes, keyStart, pathEnd, PLAIN_IN_PATH) === pathEnd;
  const key: Key = isPlain ? [bytes, view, keyStart, pathEnd] : decodedKey(request);
  checkKey(request.access, key[0], key[2], key[3]);
  return key;
}

function decodedKey(request: HttpRequest): Key {
  // Throws where the bytes are no text.
  request.targetText();
  return keyOf(pathRest(request.path, KV_PREFIX));
}

interface WriteCondition {
  when: Condition;
  version: number;
}

const UNCONDITIONAL: WriteCondition = { when: Condition.NONE, version: ANY_VERSION };

/** What If-Match and If-None-Match ask of a write; null when it is known already that they do not hold. */
function conditionOf(commands: Commands, request: HttpRequest, key: Key): WriteCondition | null {
  const ifMatch = request.text(Header.IF_MATCH);
  const ifNoneMatch = request.text(Header.IF_NONE_MATCH);
  if (ifNoneMatch !== null) {
    if (ifNoneMatch.trim() !== "*")
      throw new RequestError("MALFORMED", "If-None-Match: only * is understood for a write");
    if (ifMatch !== null) throw new RequestError("MALFORMED", "If-Match: contradicts If-None-Match");
    return { when: Condition.IF_ABSENT, version: ANY_VERSION };
  }
  if (ifMatch === null) return UNCONDITIONAL;
  if (ifMatch.trim() === "*") return { when: Condition.IF_PRESENT, version: ANY_VERSION };
  // One tag is checked with the write itself; of several, the one that holds now is.
  const present = commands.info(commands.keyAt(...key));
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
