/** The two endpoints everyone starts with: POST /put and GET /get?key=…. */
import { isUtf8 } from "node:buffer";
import { checkKey } from "../commands/access";
import { ANY_VERSION, type Commands, Condition, Outcome } from "../commands/commands";
import { conditionNamed, keyOf } from "../commands/json";
import type { Connection } from "../net/connection";
import { RequestError } from "../protocol/errors";
import { parseJson, schemas, valueBytes, valueFields } from "../protocol/json";
import { FoundJson } from "./found";
import { SPACE } from "./message/bytes";
import { viewOf } from "./message/head";
import { Header } from "./message/header-names";
import { PLAIN_IN_QUERY, PlainText, plainUntil } from "./plain";
import { queryField } from "./query";
import { errorReply, json, JSON_TYPE, type Reply } from "./message/reply";
import type { HttpRequest } from "./request";
import { PreparedHead } from "./message/write";

const PUT_DONE = '{"status":"OK","message":"Key inserted/updated successfully."}';
const PUT_ANSWER = new PreparedHead(200, JSON_TYPE, `Content-Length: ${PUT_DONE.length}\r\n\r\n${PUT_DONE}`);
const NOT_FOUND = errorReply(404, "Key not found.");
const KEY_QUERY = Buffer.from("?key=");
/** Spaces may stand before each of these. */
const PUT_START = ["{", '"key"', ":", '"'].map((token) => Buffer.from(token));
const PUT_MIDDLE = ['"', ",", '"value"', ":", '"'].map((token) => Buffer.from(token));
const PUT_END = ['"', "}"].map((token) => Buffer.from(token));

const found = new FoundJson();
const text = new PlainText();

export function handlePut(commands: Commands, request: HttpRequest, connection: Connection): Reply | null {
  // A page on an allowed origin must say that it sends JSON; a form post from elsewhere cannot.
  if (request.has(Header.ORIGIN) && !isJsonType(request.text(Header.CONTENT_TYPE)))
    throw new RequestError("MALFORMED", "Content-Type: must be application/json from a page with an Origin");
  commands.refreshClock();
  const outcome = putPlain(commands, request) ?? putParsed(commands, request);
  if (outcome !== Outcome.DONE) return errorReply(412, "the condition does not hold");
  if (!request.isPlain) return json(PUT_DONE);
  const answer = PUT_ANSWER.current();
  connection.write(answer, 0, answer.length);
  return null;
}

/**
 * The usual request has one plain key and finds a plain value: its answer is put together where it leaves from. All others
 * are decoded and escaped as they need.
 */
export function handleGet(commands: Commands, request: HttpRequest, connection: Connection): Reply | null {
  commands.refreshClock();
  const keyStart = request.isPlain ? plainKeyStart(request) : -1;
  if (keyStart < 0) return getDecoded(commands, request, connection);
  const { bytes, view, targetEnd: keyEnd } = request;
  checkKey(request.access, bytes, keyStart, keyEnd);
  found.openWith(connection, bytes, keyStart, keyEnd);
  if (!commands.get(commands.keyAt(bytes, view, keyStart, keyEnd), found)) return NOT_FOUND;
  request.copiedBytes = found.byteCount;
  return found.isWritten() ? null : foundReply(bytes.toString("latin1", keyStart, keyEnd), found.value());
}

/** Where the key of `…?key=KEY` begins; -1 for every other query, and for keys that have to be decoded. */
function plainKeyStart({ bytes, pathEnd, targetEnd }: HttpRequest): number {
  for (let i = 0; i < KEY_QUERY.length; i++) if (bytes[pathEnd + i] !== KEY_QUERY[i]) return -1;
  const start = pathEnd + KEY_QUERY.length;
  return start <= targetEnd && plainUntil(bytes, start, targetEnd, PLAIN_IN_QUERY) === targetEnd ? start : -1;
}

function getDecoded(commands: Commands, request: HttpRequest, connection: Connection): Reply {
  const key = queryField(request.targetText(), "key");
  if (key === undefined) throw new RequestError("MALFORMED", "key: is missing in the query");
  const [bytes, view, start, end] = keyOf(key);
  checkKey(request.access, bytes, start, end);
  found.openWith(connection, bytes, start, end);
  if (!commands.get(commands.keyAt(bytes, view, start, end), found)) return NOT_FOUND;
  request.copiedBytes = found.byteCount;
  return foundReply(key, found.value());
}

function foundReply(key: string, value: Buffer): Reply {
  const fields = valueFields(value);
  const encoding = fields.encoding === undefined ? "" : ',"encoding":"base64"';
  return json(
    `{"status":"OK","key":${JSON.stringify(key)},"value":${JSON.stringify(fields.value)}${encoding}}`,
  );
}

/** Any body, by JSON.parse and the schema. */
function putParsed(commands: Commands, request: HttpRequest): Outcome {
  const { checked, PUT_BODY } = schemas();
  const put = checked(PUT_BODY, parseJson(request.bodyBytes(), "the body", commands.limits));
  const [bytes, view, start, end] = keyOf(put.key);
  checkKey(request.access, bytes, start, end);
  const value = valueBytes(put);
  return commands.put(
    commands.keyAt(bytes, view, start, end),
    value,
    0,
    value.length,
    put.ttl ?? Infinity,
    conditionNamed(put.if),
    put.ifVersion ?? ANY_VERSION,
  );
}

/** The usual body, {"key":"…","value":"…"} without escapes, straight from its bytes; null for every other shape. */
function putPlain(commands: Commands, request: HttpRequest): Outcome | null {
  const { body, bodyStart, bodyEnd } = request;
  const keyStart = after(body, bodyStart, bodyEnd, PUT_START);
  if (keyStart < 0) return null;
  const keyEnd = text.until(body, keyStart, bodyEnd);
  let isWide = text.isWide;
  const valueStart = after(body, keyEnd, bodyEnd, PUT_MIDDLE);
  if (valueStart < 0) return null;
  const valueEnd = text.until(body, valueStart, bodyEnd);
  isWide ||= text.isWide;
  if (after(body, valueEnd, bodyEnd, PUT_END) !== bodyEnd) return null;
  if (isWide && !isUtf8(request.bodyBytes())) return null;
  checkKey(request.access, body, keyStart, keyEnd);
  return commands.put(
    commands.keyAt(body, request.bodyView ?? viewOf(body), keyStart, keyEnd),
    body,
    valueStart,
    valueEnd,
    Infinity,
    Condition.NONE,
    ANY_VERSION,
  );
}

/** Where bytes[at, end) go on behind the tokens, with any spaces between them; -1 when something else stands there. */
function after(bytes: Buffer, at: number, end: number, tokens: readonly Uint8Array[]): number {
  for (const token of tokens) {
    while (at < end && bytes[at] === SPACE) at++;
    if (end - at < token.length) return -1;
    for (let i = 0; i < token.length; i++, at++) if (bytes[at] !== token[i]) return -1;
  }
  return at;
}

function isJsonType(contentType: string | null): boolean {
  return contentType !== null && /^application\/([\w.+-]+\+)?json\s*(;|$)/i.test(contentType);
}
