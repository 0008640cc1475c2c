/**
 * GET /openapi.json: the table of routes as an OpenAPI 3.1 document. Nothing in it is said twice: paths, methods and tokens are the
 * table's, schemas of requests are those that check them, the schema of the stats is that of the stats, and the rest stands
 * beside each endpoint (descriptions.ts). What holds for many endpoints is added here. Dialects are others' protocols, and left to their
 * own documents.
 *
 * https://spec.openapis.org/oas/v3.1.0
 */
import { needsOf } from "../commands/access";
import type { StatsReport } from "../commands/report";
import { VERB_NAMES } from "../commands/tally";
import { ERROR_KINDS } from "../protocol/errors";
import { schemas } from "../protocol/json";
import type { Endpoint, Right, Table } from "./answer";
import {
  type AnswerDescription,
  type Content,
  type Description,
  errorAnswer,
  type JsonSchema,
  type Parameter,
  refTo,
} from "./descriptions";
import { SAFE_HEADERS } from "./respond";

const OPENAPI_VERSION = "3.1.0";
/** The only answer that is the platform's, and has none of our headers. */
const SWITCHED = 101;
const DESCRIPTION = [
  "A cache server: keys and values in memory, with expiry, conditions and a bound on memory.",
  "Every error has a JSON body, and its message names the field or the limit; it has changed nothing.",
  "A query parameter that an endpoint does not know is refused with 400, another method on a known path with 405 and Allow.",
  "Where the server has no tokens, none is needed.",
].join(" ");

/** How a token is sent. */
const SECURITY_SCHEMES = {
  bearer: {
    type: "http",
    scheme: "bearer",
    description: "A token of --token, --token-file or --token-secret-file.",
  },
  basic: {
    type: "http",
    scheme: "basic",
    description: "The password is the token; the user name says nothing.",
  },
};

/** Answers that any endpoint may give, those of one that wants a token, and those of one that reads a body. */
const ANYBODYS: Description["answers"] = {
  400: errorAnswer("A query parameter, header, key or field is missing, wrong or unknown."),
  403: errorAnswer(
    "The Host is not answered, the page may not use the server, or the token does not allow this.",
  ),
  500: errorAnswer("A fault of the server, which is in its log."),
  503: errorAnswer("The server starts, drains, is full, or waited in vain: try again.", ["Retry-After"]),
};
const OF_TOKENS: Description["answers"] = {
  401: errorAnswer("No token, a wrong one, or one that has expired.", ["WWW-Authenticate"]),
  429: errorAnswer("Too many wrong tokens are being tried.", ["Retry-After"]),
};
const OF_BODIES: Description["answers"] = {
  408: errorAnswer("Over HTTP/2 or HTTP/3: the body came in too slowly."),
};

const HEADERS: Record<string, string> = {
  ...Object.fromEntries(
    Object.keys(SAFE_HEADERS).map((name) => [name, "Keeps browsers from running or showing a value."]),
  ),
  ETag: "The version of the entry, in quotes.",
  Lease: "The token of the lease that was given, in quotes.",
  "Cache-Control": "no-store.",
  Vary: "Accept.",
  "X-Accel-Buffering": "no: keeps nginx from gathering what is to be sent at once.",
  "Retry-After": "Seconds.",
  "WWW-Authenticate": "How a token is sent.",
};

/** The document, as JSON text. @param stats any report: only its form is used */
export function openApiText(table: Table, version: string, stats: StatsReport): string {
  const paths = Object.entries(table).map(([path, methods]) => [templateOf(path), pathItem(path, methods)]);
  return JSON.stringify({
    openapi: OPENAPI_VERSION,
    info: {
      title: "Breadbox",
      version,
      description: DESCRIPTION,
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    paths: Object.fromEntries(paths),
    components: {
      schemas: componentSchemas(stats),
      responses: responses({ ...ANYBODYS, ...OF_TOKENS, ...OF_BODIES }, true),
      headers: Object.fromEntries(
        Object.entries(HEADERS).map(([name, description]) => [
          name,
          { description, required: true, schema: TEXT },
        ]),
      ),
      securitySchemes: SECURITY_SCHEMES,
    },
  });
}

/** A star at the end of a path stands for a key. */
function templateOf(path: string): string {
  return path.replace(/\*$/, "{key}");
}

function pathItem(path: string, methods: Table[string]) {
  const operations = Object.entries(methods).flatMap(([method, endpoint]) => {
    const own = [method.toLowerCase(), operation(path, method, endpoint)] as const;
    return method === "GET" ? [own, ["head", operation(path, "HEAD", endpoint)] as const] : [own];
  });
  const key = {
    name: "key",
    in: "path",
    required: true,
    description: "The key, percent-encoded. A slash belongs to it; a segment that is . or .. cannot be sent.",
    schema: { type: "string" },
  };
  return { ...(path.endsWith("*") && { parameters: [key] }), ...Object.fromEntries(operations) };
}

function operation(path: string, method: string, { right, about }: Endpoint) {
  const parameters = [...parametersOf("query", about.query), ...parametersOf("header", about.headers)];
  const needsToken = right !== "open" || about.asksForToken === true;
  return {
    operationId: operationId(path, method),
    summary: method === "HEAD" ? `${about.summary}: the head alone` : about.summary,
    description: [about.details, needsToken ? rightText(right) : "Needs no token."].filter(Boolean).join(" "),
    ...(parameters.length > 0 && { parameters }),
    ...(about.body && {
      requestBody: {
        required: true,
        description: about.body.description,
        content: contentOf(about.body.content),
      },
    }),
    responses: responsesOf(about, needsToken, method),
    security: needsToken ? Object.keys(SECURITY_SCHEMES).map((name) => ({ [name]: [] })) : [],
  };
}

/** `getKvKey` for GET /kv/{key}. */
function operationId(path: string, method: string): string {
  const words = templateOf(path).match(/[a-z]+/g) ?? ["index"];
  return method.toLowerCase() + words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join("");
}

function rightText(right: Right): string {
  if (typeof right !== "number") return "Needs a token, any.";
  const verbs = [...VERB_NAMES].filter(([, op]) => needsOf(right).includes(op));
  return `Needs a token that allows ${verbs.map(([name]) => name.toUpperCase()).join(" and ")}.`;
}

function parametersOf(where: "query" | "header", parameters: Description["query"] = {}) {
  return Object.entries<Parameter>(parameters).map(([name, parameter]) => ({
    name,
    in: where,
    ...parameter,
  }));
}

/** Its own answers, and references to those that it shares with others. */
function responsesOf({ answers, body }: Description, needsToken: boolean, method: string) {
  const shared = { ...ANYBODYS, ...(needsToken && OF_TOKENS), ...(body && OF_BODIES) };
  const references = Object.keys(shared).map((status) => [
    status,
    { $ref: `#/components/responses/${status}` },
  ]);
  return { ...Object.fromEntries(references), ...responses(answers, method !== "HEAD") };
}

function responses(answers: Description["answers"], haveBodies: boolean) {
  return Object.fromEntries(
    Object.entries(answers).map(([status, answer]) => [
      status,
      responseOf(Number(status), answer, haveBodies),
    ]),
  );
}

function responseOf(
  status: number,
  { description, content, headers = [], optionalHeaders = [] }: AnswerDescription,
  hasBody: boolean,
) {
  const always = status === SWITCHED ? [] : [...Object.keys(SAFE_HEADERS), ...headers];
  const all = {
    ...Object.fromEntries(always.map((name) => [name, { $ref: `#/components/headers/${name}` }])),
    ...Object.fromEntries(
      optionalHeaders.map((name) => [name, { description: HEADERS[name], schema: TEXT }]),
    ),
  };
  return {
    description,
    ...(Object.keys(all).length > 0 && { headers: all }),
    ...(content && hasBody && { content: contentOf(content) }),
  };
}

function contentOf({ type, schema }: Content) {
  return { [type]: { schema } };
}

function componentSchemas(stats: StatsReport): Record<string, object> {
  const { PutBody, ops } = schemas().requestSchemas();
  const requests = Object.entries(ops).map(([op, schema]) => [requestName(op), schema] as const);
  return {
    PutBody,
    ...Object.fromEntries(requests),
    Request: {
      description: "A request of a batch, or of a text message over the WebSocket.",
      oneOf: requests.map(([name]) => refTo(name)),
      discriminator: {
        propertyName: "op",
        mapping: Object.fromEntries(Object.keys(ops).map((op) => [op, refTo(requestName(op))["$ref"]])),
      },
    },
    Answer: ANSWER,
    Done: objectOf({ status: OK, message: TEXT }),
    Found: objectOf({ status: OK, key: TEXT, value: TEXT }, { encoding: { const: "base64" } }),
    Healthy: objectOf({ status: OK }),
    Index: objectOf({
      name: TEXT,
      version: TEXT,
      needsToken: { type: "boolean" },
      endpoints: { type: "object", additionalProperties: TEXT },
      dialects: { type: "array", items: TEXT },
    }),
    Access: objectOf({
      verbs: { type: "array", items: { enum: [...VERB_NAMES.keys()] } },
      prefix: { type: ["string", "null"], description: "Keys begin with it; null where any may be named." },
      expiresAt: {
        type: ["string", "null"],
        description: "As ISO 8601; null where it does not end.",
      },
    }),
    Error: objectOf({ status: { const: "ERROR" }, message: TEXT }),
    Stats: formOf(stats),
  };
}

/** `GetRequest` for get. */
function requestName(op: string): string {
  return `${op[0]!.toUpperCase()}${op.slice(1)}Request`;
}

const TEXT = { type: "string" };
const OK = { const: "OK" };
const WHOLE = { type: "integer" };

/** An object with these fields and no others. */
function objectOf(
  required: Record<string, JsonSchema>,
  optional: Record<string, JsonSchema> = {},
): JsonSchema {
  return {
    type: "object",
    properties: { ...required, ...optional },
    required: Object.keys(required),
    additionalProperties: false,
  };
}

/** The answer to one request of a batch; PROTOCOL.md and HTTP.md say which field answers which request. */
const ANSWER = objectOf(
  {
    status: {
      enum: ["OK", "MISS", "REFUSED", "ERROR", "CURRENT", "LEASED", "PENDING", "HIT_LEASED"],
    },
  },
  {
    code: { enum: Object.keys(ERROR_KINDS), description: "Of an error." },
    message: { ...TEXT, description: "Of an error, for people." },
    key: TEXT,
    value: TEXT,
    encoding: { const: "base64", description: "The value is base64 text that stands for bytes." },
    version: WHOLE,
    number: { type: ["integer", "string"], description: "Text beyond 2^53." },
    ttl: { type: ["integer", "null"], description: "Milliseconds that are left; null without expiry." },
    length: { ...WHOLE, description: "Bytes of the value." },
    cursor: { ...TEXT, description: 'For the next page of a scan; "0" when there is none.' },
    keys: {
      type: "array",
      items: { anyOf: [TEXT, objectOf({ key: TEXT, encoding: { const: "base64" } })] },
    },
    stats: refTo("Stats"),
    token: { ...WHOLE, description: "Of the lease that was given." },
    left: { ...WHOLE, description: "Milliseconds up to the end of the lease." },
    ticket: { ...WHOLE, description: "Of the push that is to follow; 0 where none will." },
    id: { description: "That of the request." },
  },
);

/** The schema of what has the same form as this value. */
function formOf(value: unknown): JsonSchema {
  if (Array.isArray(value)) return { type: "array", items: value.length > 0 ? formOf(value[0]) : {} };
  if (typeof value !== "object" || value === null) return { type: typeof value };
  return objectOf(Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, formOf(inner)])));
}
