/** The two endpoints everyone starts with: POST /put and GET /get?key=…. */
import { isUtf8 } from "node:buffer";
import { ANY_VERSION, type Commands, Condition, Outcome } from "../commands/commands";
import { conditionNamed, keyOf, OwnedValue } from "../commands/json";
import { RequestError } from "../protocol/errors";
import { checked, parseJson, PUT_BODY, valueBytes, valueFields } from "../protocol/json";
import { readBody } from "./body";
import { queryField } from "./query";
import { errorResponse, json } from "./respond";

const PUT_DONE = '{"status":"OK","message":"Key inserted/updated successfully."}';
const GET_START = '{"status":"OK","key":';
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;

export async function handlePut(commands: Commands, request: Request): Promise<Response> {
  const body = await readBody(request, commands.limits.messageBytesMax, "--max-message");
  // A page on an allowed origin must say that it sends JSON; a form post from elsewhere cannot.
  if (request.headers.get("origin") !== null && !isJsonType(request.headers.get("content-type")))
    throw new RequestError("MALFORMED", "Content-Type: must be application/json from a page with an Origin");
  commands.refreshClock();
  const outcome = putPlain(commands, body) ?? putParsed(commands, body);
  return outcome === Outcome.DONE ? json(PUT_DONE) : errorResponse(412, "the condition does not hold");
}

export function handleGet(commands: Commands, request: Request): Response {
  const key = queryField(request.url, "key");
  if (key === undefined) throw new RequestError("MALFORMED", "key: is missing in the query");
  const value = new OwnedValue();
  commands.refreshClock();
  if (!commands.get(...keyOf(key), value)) return errorResponse(404, "Key not found.");
  const fields = valueFields(value.bytes);
  const encoding = fields.encoding === undefined ? "" : ',"encoding":"base64"';
  return json(`${GET_START}${JSON.stringify(key)},"value":${JSON.stringify(fields.value)}${encoding}}`);
}

/** Any body, by JSON.parse and the schema. */
function putParsed(commands: Commands, body: Buffer): Outcome {
  const put = checked(PUT_BODY, parseJson(body, "the body", commands.limits));
  const value = valueBytes(put);
  return commands.put(
    ...keyOf(put.key),
    value,
    0,
    value.length,
    put.ttl ?? Infinity,
    conditionNamed(put.if),
    put.ifVersion ?? ANY_VERSION,
  );
}

/** The usual body, {"key":"…","value":"…"} without escapes, straight from its bytes; null for every other shape. */
function putPlain(commands: Commands, body: Buffer): Outcome | null {
  const keyStart = afterName(body, 0, '{"key":"');
  if (keyStart < 0) return null;
  const keyEnd = plainEnd(body, keyStart);
  if (keyEnd < 0) return null;
  const valueStart = afterName(body, keyEnd + 1, ',"value":"');
  if (valueStart < 0) return null;
  const valueEnd = plainEnd(body, valueStart);
  if (valueEnd < 0 || afterName(body, valueEnd + 1, "}") !== body.length) return null;
  if (!isUtf8(body)) return null;
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  return commands.put(
    body,
    view,
    keyStart,
    keyEnd,
    body,
    valueStart,
    valueEnd,
    Infinity,
    Condition.NONE,
    ANY_VERSION,
  );
}

/** Offset after `name`, whose characters may have spaces between tokens; -1 when something else stands there. */
function afterName(body: Buffer, at: number, name: string): number {
  for (let i = 0; i < name.length; i++, at++) {
    const wanted = name.charCodeAt(i);
    if (body[at] === SPACE && isTokenStart(name, i)) while (body[at] === SPACE) at++;
    if (body[at] !== wanted) return -1;
  }
  return at;
}

/** Spaces may stand before a brace, comma, colon, and before a quote that opens. */
function isTokenStart(name: string, i: number): boolean {
  return (
    i === 0 ||
    name[i] === ":" ||
    (name[i] === '"' && (name[i - 1] === ":" || name[i - 1] === "," || name[i - 1] === "{"))
  );
}

/** Where a JSON string without escapes ends; -1 when it has any, or never ends. */
function plainEnd(body: Buffer, at: number): number {
  const end = body.indexOf(QUOTE, at);
  if (end < 0) return -1;
  for (let i = at; i < end; i++) {
    const byte = body[i]!;
    if (byte < SPACE || byte === BACKSLASH) return -1;
  }
  return end;
}

function isJsonType(contentType: string | null): boolean {
  return contentType !== null && /^application\/([\w.+-]+\+)?json\s*(;|$)/i.test(contentType);
}
