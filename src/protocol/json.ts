/**
 * Requests and answers as JSON objects: text messages of a WebSocket and the items of POST /batch.
 */
import { isUtf8 } from "node:buffer";
import { type ErrorKind, RequestError } from "./errors";
import { checkJsonShape } from "./json-shape";
import type { Limits } from "./limits";
import type * as Schemas from "./schemas";

export type { JsonRequest } from "./schemas";

let loaded: typeof Schemas | undefined;

/** The schemas. Loading them takes longer than everything else that a worker loads, so it begins to serve first and loads them afterwards. */
export function schemas(): typeof Schemas {
  return (loaded ??= require("./schemas") as typeof Schemas);
}

/** An answer; `id` is put in by whoever read the request. */
export type JsonAnswer = { status: string; [field: string]: unknown };

/** Values that requests may have on average over a message: the request, its fields, and the parts of an id. */
const VALUES_PER_REQUEST = 16;
/** An `id` comes back with the answer; its JSON text is at most this long. */
export const ID_BYTES_MAX = 4096;

/** Parses JSON text; MALFORMED when it isn't JSON, or (413) nests too deep or has too many values. */
export function parseJson(textOrBytes: string | Uint8Array, what: string, limits: Limits): unknown {
  try {
    const text = typeof textOrBytes === "string" ? textOrBytes : UTF8.decode(textOrBytes);
    checkJsonShape(text, limits.batchRequestsMax * VALUES_PER_REQUEST);
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof RequestError) throw error;
    throw new RequestError("MALFORMED", `${what} is not valid JSON`);
  }
}

export function errorAnswer(kind: ErrorKind, message: string): JsonAnswer {
  return { status: "ERROR", code: kind, message };
}

/** What is wrong with a request's id, or null. */
export function idProblem(request: unknown): string | null {
  const id = idOf(request);
  if (id === undefined) return null;
  const bytes = Buffer.byteLength(JSON.stringify(id));
  return bytes <= ID_BYTES_MAX
    ? null
    : `id: ${bytes} bytes as JSON text, at most ${ID_BYTES_MAX} are allowed`;
}

/** The id of what may be a request; undefined where there is none. */
export function idOf(request: unknown): unknown {
  return typeof request === "object" && request !== null ? (request as { id?: unknown }).id : undefined;
}

/** A value's bytes as the fields of an answer: text where it is valid UTF-8, base64 otherwise. */
export function valueFields(value: Buffer): { value: string; encoding?: "base64" } {
  if (isUtf8(value)) return { value: value.toString("utf8") };
  return { value: value.toString("base64"), encoding: "base64" };
}

/** The bytes of a value that came as JSON. */
export function valueBytes(request: { value: string; encoding?: "utf8" | "base64" | undefined }): Buffer {
  if (request.encoding !== "base64") return Buffer.from(request.value, "utf8");
  if (!isBase64(request.value)) throw new RequestError("MALFORMED", "value: is not valid base64");
  return Buffer.from(request.value, "base64");
}

function isBase64(value: string): boolean {
  return value.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(value);
}

const UTF8 = new TextDecoder("utf-8", { fatal: true });
