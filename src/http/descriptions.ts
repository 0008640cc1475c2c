/**
 * What each endpoint takes and answers, for GET /openapi.json. Only what is the endpoint's own: what holds for all of them is added
 * in openapi.ts, and schemas of requests come from those that check them.
 *
 * Plain objects, put into the document as they are; `$ref` names what openapi.ts has among its components.
 */

import { FORM } from "../system/duration";
import { LEASE_TOKEN } from "./query";

/** A schema, or part of one, in JSON Schema 2020-12. */
export type JsonSchema = { readonly [keyword: string]: unknown };

export interface Parameter {
  readonly description: string;
  readonly schema: JsonSchema;
  readonly required?: true;
  readonly example?: unknown;
}

/** Bytes of one media type. */
export interface Content {
  readonly type: string;
  readonly schema: JsonSchema;
}

export interface AnswerDescription {
  readonly description: string;
  readonly content?: Content;
  /** Names of headers that it has beside those of every answer, and of those that it may have. */
  readonly headers?: readonly string[];
  readonly optionalHeaders?: readonly string[];
}

export interface Description {
  readonly summary: string;
  readonly details?: string;
  readonly query?: Readonly<Record<string, Parameter>>;
  readonly headers?: Readonly<Record<string, Parameter>>;
  readonly body?: { readonly description: string; readonly content: Content };
  /** By status, beside those that openapi.ts adds to every endpoint. */
  readonly answers: Readonly<Record<number, AnswerDescription>>;
  /** The handler asks for the token by itself: any token will do. */
  readonly asksForToken?: true;
}

const JSON_TYPE = "application/json";
const ANY_TYPE = "*/*";

export const refTo = (schema: string): JsonSchema => ({ $ref: `#/components/schemas/${schema}` });
export const jsonOf = (schema: string): Content => ({ type: JSON_TYPE, schema: refTo(schema) });

/** An error has one form. */
export const errorAnswer = (description: string, headers: readonly string[] = []): AnswerDescription => ({
  description,
  content: jsonOf("Error"),
  headers,
});

const KEY_TOO_LONG = errorAnswer("The key is longer than --max-key.");
const NO_ENTRY = errorAnswer("There is no entry with this key.");
const CONDITION = errorAnswer("The condition does not hold; nothing was changed.");

const text = { type: "string" };
const bytes: Content = { type: ANY_TYPE, schema: {} };
const TAGS = 'One or several versions in quotes, such as `"41"`, or `*` for any.';
const TIME = "milliseconds, or a whole number with a unit (ms, s, m, h, d)";
const time = { type: "string", pattern: FORM.source };
const ifMatch: Parameter = { description: `Only if the entry has this ETag. ${TAGS}`, schema: text };

const put: Description = {
  summary: "Stores a key and a value given as JSON",
  details: "The Content-Type does not matter, except that a page of a browser must say application/json.",
  body: { description: "One JSON object.", content: jsonOf("PutBody") },
  answers: {
    200: { description: "The value is stored.", content: jsonOf("Done") },
    412: CONDITION,
    413: errorAnswer("Key, value or body is longer than --max-key, --max-value or --max-message."),
  },
};

export const ABOUT = {
  index: {
    summary: "Name and version of the server, and its endpoints",
    details: "Who accepts text/html gets the page for browsers instead, unless it is closed (--no-page).",
    answers: { 200: { description: "The index.", content: jsonOf("Index"), headers: ["Vary"] } },
  },
  openapi: {
    summary: "This document",
    answers: {
      200: { description: "OpenAPI 3.1.", content: { type: JSON_TYPE, schema: { type: "object" } } },
    },
  },
  put,
  get: {
    summary: "Answers a value as JSON",
    query: { key: { description: "The key, encoded as in a form.", schema: text, required: true } },
    answers: {
      200: { description: "The value.", content: jsonOf("Found") },
      404: NO_ENTRY,
      413: KEY_TOO_LONG,
    },
  },
  kvGet: {
    summary: "Answers a value as its bytes",
    details:
      "With lease, one of many callers computes a value that is missing, and the others wait for it or come again; a token has to allow PUT for that as well.",
    query: {
      lease: {
        description: `Where there is no entry: asks for the lease on it, for so long. A time: ${TIME}; longer ones are cut to 60 seconds.`,
        schema: time,
        example: "5s",
      },
      wait: {
        description: `Where somebody else has the lease: the answer is held until the value is there, the lease is free or so much time is over. Only with lease; ${TIME}, cut to 60 seconds.`,
        schema: time,
        example: "5s",
      },
    },
    headers: {
      "If-Match": ifMatch,
      "If-None-Match": { description: `Only if the entry has another ETag, else 304. ${TAGS}`, schema: text },
    },
    answers: {
      200: {
        description:
          "The bytes, with the Content-Type that they were stored with; without one, application/octet-stream.",
        content: bytes,
        headers: ["ETag"],
      },
      304: { description: "The entry is the one that If-None-Match names.", headers: ["ETag"] },
      404: {
        ...NO_ENTRY,
        description:
          "There is no entry with this key. Where lease was asked for: compute it, if there is a Lease header; ask again, if there is Retry-After; with neither, go on as without leases.",
        optionalHeaders: ["Lease", "Retry-After"],
      },
      412: CONDITION,
      413: KEY_TOO_LONG,
    },
  },
  kvPut: {
    summary: "Stores the body as it is",
    query: {
      ttl: {
        description: `Time to live: ${TIME}. Without it the entry never expires.`,
        schema: time,
        example: "60s",
      },
      if: {
        description:
          "Only if there is no entry, or only if there is one; else 412. Not together with the headers.",
        schema: { type: "string", enum: ["absent", "present"] },
      },
      lease: {
        description:
          "Only if the lease with this token is still out; else 412. The token is that of a Lease header.",
        schema: { type: "string", pattern: LEASE_TOKEN.source },
      },
    },
    headers: {
      "If-Match": ifMatch,
      "If-None-Match": { description: "Only if there is no entry.", schema: { const: "*" } },
    },
    body: { description: "The value. Its Content-Type is kept with it.", content: bytes },
    answers: {
      204: { description: "The value is stored.", headers: ["ETag"] },
      404: errorAnswer("The path leads out of /kv/ by its dot segments."),
      412: CONDITION,
      413: errorAnswer("Key or value is longer than --max-key or --max-value."),
    },
  },
  kvDelete: {
    summary: "Removes an entry",
    headers: { "If-Match": ifMatch },
    answers: {
      204: { description: "The entry is removed." },
      404: NO_ENTRY,
      412: CONDITION,
      413: KEY_TOO_LONG,
    },
  },
  batch: {
    summary: "Executes an array of requests of every kind",
    details:
      "A long answer is sent in pieces while the batch is executed. A request that is wrong is answered in its place.",
    body: {
      description: "An array of requests, at most --max-batch.",
      content: { type: JSON_TYPE, schema: { type: "array", items: refTo("Request") } },
    },
    answers: {
      200: {
        description: "The answers, in the order of the requests.",
        content: { type: JSON_TYPE, schema: { type: "array", items: refTo("Answer") } },
      },
      413: errorAnswer("The body is longer than --max-message, has too many requests, or nests too deep."),
    },
  },
  events: {
    summary: "The changes under a prefix, as server-sent events",
    details:
      "`ready` when the watch is in force, then `changed` with key and version, and `reset` where every copy under a prefix is to be dropped. It counts among the --max-connections.",
    query: {
      prefix: {
        description: "What the keys begin with. Without it: every key, or every one that the token may name.",
        schema: text,
      },
    },
    answers: {
      200: {
        description: "The stream. It ends with the token and with the server.",
        content: { type: "text/event-stream; charset=utf-8", schema: text },
        headers: ["Cache-Control", "X-Accel-Buffering"],
      },
      413: errorAnswer("The prefix is longer than --max-key."),
    },
  },
  socket: {
    summary: "The WebSocket: binary frames of the protocol breadbox.v1, and JSON text messages",
    details: "HTTP/1.1 only. A browser sends its token as the subprotocol `bearer.BASE64URL(TOKEN)`.",
    headers: {
      Upgrade: {
        description: "What the connection becomes.",
        schema: { const: "websocket" },
        required: true,
      },
      "Sec-WebSocket-Protocol": {
        description: "`breadbox.v1`, a `bearer.` token, both, or none.",
        schema: text,
      },
    },
    answers: { 101: { description: "The connection is a WebSocket from here on." } },
    asksForToken: true,
  },
  health: {
    summary: "Whether the server can serve",
    answers: { 200: { description: "It can.", content: jsonOf("Healthy") } },
  },
  access: {
    summary: "What the bearer of the token may do",
    answers: { 200: { description: "Verbs, keys and time.", content: jsonOf("Access") } },
  },
  stats: {
    summary: "What the server counts",
    answers: { 200: { description: "The same whichever worker answers.", content: jsonOf("Stats") } },
  },
  metrics: {
    summary: "What the server counts, for Prometheus",
    answers: {
      200: {
        description: "Exposition format 0.0.4.",
        content: { type: "text/plain; version=0.0.4; charset=utf-8", schema: text },
      },
    },
  },
} satisfies Record<string, Description>;
