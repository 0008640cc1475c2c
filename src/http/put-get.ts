/** The two endpoints everyone starts with: POST /put and GET /get?key=…. */
import type { Server } from "bun";
import { isUtf8 } from "node:buffer";
import type { Access } from "../commands/access";
import { ANY_VERSION, type Commands, Outcome } from "../commands/commands";
import { execute } from "../commands/calls";
import { conditionNamed } from "../commands/json";
import { RequestError } from "../protocol/errors";
import { parseJson, schemas, valueBytes, valueFields } from "../protocol/json";
import { asBuffer, withBody } from "./body";
import type { HttpContext } from "./context";
import { queryFields, queryStart } from "./query";
import { errorResponse, json } from "./respond";
import {
  characters,
  scratch,
  SCRATCH_AT,
  SCRATCH_BODY_BYTES_MAX,
  scratchValue,
  scratchView,
  unescapedUntil,
  writePlain,
} from "./scratch";
import type { Session } from "../ws/session";
import { marked } from "./value";

const PUT_DONE = '{"status":"OK","message":"Key inserted/updated successfully."}';
/** Stands in the scratch for good, right before the key. */
const GET_START = Buffer.from('{"status":"OK","key":"');
const GET_START_AT = SCRATCH_AT - GET_START.length;
const GET_MIDDLE = Buffer.from('","value":"');
GET_START.copy(scratch, GET_START_AT);
/** Separates fields, or stands for another character. */
const NOT_IN_PLAIN_QUERY = characters("&+%");
const QUOTE = 0x22;
const BRACE = 0x7d;
const SPACE = 0x20;
/** Spaces may stand before each of these. */
const PUT_START = ["{", '"key"', ":", '"'].map((token) => Buffer.from(token));
const PUT_MIDDLE = ['"', ",", '"value"', ":", '"'].map((token) => Buffer.from(token));
const PUT_END = ['"', "}"].map((token) => Buffer.from(token));

export function handlePut(context: HttpContext, request: Request, access: Access): Promise<Response> {
  const { commands, messageBody, garbage } = context;
  const { headers } = request;
  queryFields(request.url, []);
  // A page on an allowed origin must say that it sends JSON; a form post from elsewhere cannot.
  if (headers.get("origin") !== null && !isJsonType(headers.get("content-type")))
    throw new RequestError("MALFORMED", "Content-Type: must be application/json from a page with an Origin");
  return withBody(context, request, messageBody, (body) => {
    garbage.note(body.length);
    return execute(commands, () => {
      commands.refreshClock();
      const outcome = putPlain(commands, body, access) ?? putParsed(commands, asBuffer(body), access);
      return outcome === Outcome.DONE ? json(PUT_DONE) : errorResponse(412, "the condition does not hold");
    });
  });
}

/**
 * The usual request has one plain key and finds a short plain value: its answer is put together as bytes. All others
 * are decoded and escaped as they need.
 */
export function handleGet(
  context: HttpContext,
  request: Request,
  access: Access,
  server: Server<Session>,
): Response {
  const { commands } = context;
  const { url } = request;
  const keyEnd = writePlainKey(url);
  if (keyEnd < 0) return getDecoded(context, url, access, server);
  const key = commands.keyAt(scratch, scratchView, SCRATCH_AT, keyEnd);
  scratchValue.at = keyEnd + GET_MIDDLE.length;
  commands.refreshClock();
  if (!commands.get(access, key, scratchValue)) return errorResponse(404, "Key not found.");
  if (!scratchValue.isPlain())
    return foundResponse(context, scratch.toString("latin1", SCRATCH_AT, keyEnd), server);
  for (let i = 0; i < GET_MIDDLE.length; i++) scratch[keyEnd + i] = GET_MIDDLE[i]!;
  const { end } = scratchValue;
  scratch[end] = QUOTE;
  scratch[end + 1] = BRACE;
  return marked(json(scratch.toString("latin1", GET_START_AT, end + 2)));
}

/** Copies the key of `…?key=KEY` into the scratch; its end there, or -1 for every other query. */
function writePlainKey(url: string): number {
  const query = queryStart(url);
  if (query < 0 || !url.startsWith("key=", query + 1)) return -1;
  return writePlain(url, query + "?key=".length, SCRATCH_AT, NOT_IN_PLAIN_QUERY);
}

function getDecoded(context: HttpContext, url: string, access: Access, server: Server<Session>): Response {
  const { commands } = context;
  const { key: text } = queryFields(url, ["key"]);
  if (text === undefined) throw new RequestError("MALFORMED", "key: is missing in the query");
  scratchValue.at = SCRATCH_AT;
  commands.refreshClock();
  const key = commands.keyOf(text);
  if (!commands.get(access, key, scratchValue)) return errorResponse(404, "Key not found.");
  return foundResponse(context, text, server);
}

/** The answer with the value that was taken, decoded and escaped as it needs. */
function foundResponse({ unsent, garbage }: HttpContext, key: string, server: Server<Session>): Response {
  const value = scratchValue.taken();
  unsent.check(value.length, server);
  const fields = valueFields(value);
  const encoding = fields.encoding === undefined ? "" : ',"encoding":"base64"';
  const text = `{"status":"OK","key":${JSON.stringify(key)},"value":${JSON.stringify(fields.value)}${encoding}}`;
  unsent.admit(text.length, server);
  garbage.note(value.length + text.length);
  return marked(json(text));
}

/** Any body, by JSON.parse and the schema. */
function putParsed(commands: Commands, body: Buffer, access: Access): Outcome {
  const { checked, PUT_BODY } = schemas();
  const put = checked(PUT_BODY, parseJson(body, "the body", commands.limits));
  const key = commands.keyOf(put.key);
  const write = commands.writeOf(valueBytes(put));
  write.condition = conditionNamed(put.if);
  write.ifVersion = put.ifVersion ?? ANY_VERSION;
  return commands.put(access, key, write, put.ttl);
}

/** The usual body, {"key":"…","value":"…"} without escapes, straight from its bytes; null for every other shape. */
function putPlain(commands: Commands, body: Uint8Array, access: Access): Outcome | null {
  if (body.length > SCRATCH_BODY_BYTES_MAX) return null;
  scratch.set(body, SCRATCH_AT);
  const end = SCRATCH_AT + body.length;
  const keyStart = after(SCRATCH_AT, PUT_START);
  if (keyStart < 0) return null;
  const keyEnd = unescapedUntil(scratch, keyStart, end);
  const valueStart = after(keyEnd, PUT_MIDDLE);
  if (valueStart < 0) return null;
  const valueEnd = unescapedUntil(scratch, valueStart, end);
  if (after(valueEnd, PUT_END) !== end || !isUtf8(body)) return null;
  const key = commands.keyAt(scratch, scratchView, keyStart, keyEnd);
  return commands.put(access, key, commands.writeOf(scratch, valueStart, valueEnd));
}

/** The index in the scratch behind the tokens, which may have spaces between them; -1 when something else stands there. */
function after(at: number, tokens: readonly Uint8Array[]): number {
  for (const token of tokens) {
    while (scratch[at] === SPACE) at++;
    for (let i = 0; i < token.length; i++, at++) if (scratch[at] !== token[i]) return -1;
  }
  return at;
}

function isJsonType(contentType: string | null): boolean {
  return contentType !== null && /^application\/([\w.+-]+\+)?json\s*(;|$)/i.test(contentType);
}
