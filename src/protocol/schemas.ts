/**
 * What a JSON request may look like, checked by zod; what is wrong is an error that names the field. Reached through
 * `schemas` in json.ts, which loads it late.
 */
import { z } from "zod";
import { RequestError } from "./errors";

/** Of unknown fields an error names so many, and so much of each. */
const NAMES_SHOWN_MAX = 4;
const NAME_SHOWN_MAX = 64;
const TTL_PROBLEM = "must be a positive whole number of milliseconds, at most 2^53-1";

const text = z
  .string()
  .refine((value) => value.isWellFormed(), "has half a surrogate pair; send it as base64")
  .describe("Text, or base64 where encoding says so; at most --max-value bytes.");
const ms = z.int(TTL_PROBLEM).min(1, TTL_PROBLEM).max(Number.MAX_SAFE_INTEGER, TTL_PROBLEM);
const ttl = ms.describe("Time to live, milliseconds. Without it the entry never expires.");
const version = z.int().min(1).max(Number.MAX_SAFE_INTEGER);
const ifVersion = version.optional().describe("Only if the entry has this version.");
const watch = z
  .boolean()
  .optional()
  .describe("This connection is told once when the key changes from here on. WebSockets only.");
const encoding = z
  .enum(["utf8", "base64"])
  .optional()
  .describe("base64 where value is base64 text that stands for bytes.");
/** Of JSON text anything is JSON, and its length is checked before (json.ts). */
const id = z
  .unknown()
  .optional()
  .describe("Comes back with the answer unchanged; at most 4096 bytes as JSON text.");

const key = z
  .string()
  .refine((value) => value.isWellFormed(), "has half a surrogate pair")
  .describe("Not empty, except for a prefix; at most --max-key bytes as UTF-8.");
const written = { key, value: text, encoding };
const conditions = { if: z.enum(["absent", "present"]).optional(), ifVersion };

/** An i64 as a JSON number, where that is exact, or as decimal text. */
const i64 = z
  .union(
    [z.int(), z.string().regex(/^-?(0|[1-9][0-9]{0,18})$/)],
    "must be a whole number, beyond 2^53 as text",
  )
  .transform((value) => BigInt(value))
  .refine((value) => BigInt.asIntN(64, value) === value, "must fit 64 bits");
/** A scan cursor: decimal text of a u64. */
const cursor = z
  .string()
  .regex(/^[0-9]{1,20}$/, 'must be a cursor from an earlier answer, or "0"')
  .transform((value) => BigInt(value))
  .refine((value) => BigInt.asUintN(64, value) === value, "must fit 64 bits");

/** Body of POST /put: the put of a JSON request without its op. */
const put = { ...written, ttl: ttl.optional(), ...conditions };
const agree = (request: { if?: string | undefined; ifVersion?: number | undefined }) =>
  request.if !== "absent" || request.ifVersion === undefined;
const DISAGREE = { path: ["ifVersion"], message: 'contradicts "if":"absent"' };
export const PUT_BODY = z.strictObject(put).refine(agree, DISAGREE);

/** The frames call a prefix key; people look for prefix. Both are taken. */
const prefixed = { prefix: key.optional(), key: key.optional() };
const oneName = (request: { prefix?: string | undefined; key?: string | undefined }) =>
  request.prefix === undefined || request.key === undefined;
const NO_CONDITION = {
  path: ["lease"],
  message: "contradicts if and ifVersion: a lease is a condition by itself",
};
const TWO_NAMES = { path: ["prefix"], message: "is given twice, as prefix and as key" };

const REQUESTS = {
  get: z.strictObject({
    op: z.literal("get"),
    key,
    version: version
      .optional()
      .describe("The version that the client holds: where the entry still has it, the answer is CURRENT."),
    watch,
    id,
  }),
  put: z
    .strictObject({
      op: z.literal("put"),
      ...put,
      lease: version.optional().describe("Only if the lease with this token is still out."),
      watch,
      id,
    })
    .refine(agree, DISAGREE)
    .refine(
      ({ lease, ifVersion, if: when }) => lease === undefined || (ifVersion ?? when) === undefined,
      NO_CONDITION,
    ),
  delete: z.strictObject({ op: z.literal("delete"), key, ifVersion, id }),
  touch: z.strictObject({ op: z.literal("touch"), key, ttl: ttl.optional(), id }),
  add: z
    .strictObject({
      op: z.literal("add"),
      key,
      delta: i64.optional(),
      value: i64.optional(),
      ttl: ttl.optional(),
      id,
    })
    .refine(({ delta, value }) => (delta === undefined) !== (value === undefined), {
      path: ["delta"],
      message: "must be given once, as delta or as value",
    }),
  append: z.strictObject({ op: z.literal("append"), ...written, id }),
  info: z.strictObject({ op: z.literal("info"), key, id }),
  scan: z
    .strictObject({ op: z.literal("scan"), ...prefixed, cursor: cursor.optional(), id })
    .refine(oneName, TWO_NAMES),
  clear: z.strictObject({ op: z.literal("clear"), ...prefixed, id }).refine(oneName, TWO_NAMES),
  watch: z
    .strictObject({
      op: z.literal("watch"),
      ...prefixed,
      noloop: z.boolean().optional().describe("Own writes are not told."),
      id,
    })
    .refine(oneName, TWO_NAMES)
    .describe("This connection is told of every change under the prefix. WebSockets only."),
  unwatch: z
    .strictObject({
      op: z.literal("unwatch"),
      ...prefixed,
      keys: z.boolean().optional().describe("Every watch of a single key ends instead."),
      id,
    })
    .refine(oneName, TWO_NAMES)
    .describe("WebSockets only."),
  lease: z.strictObject({
    op: z.literal("lease"),
    key,
    ttl: ms
      .optional()
      .describe("How long the lease may last, milliseconds: 10000 without it; longer ones are cut to 60000."),
    early: ms
      .optional()
      .describe("Where the entry has fewer milliseconds to live, and no lease is out: HIT_LEASED."),
    watch,
    wait: z
      .boolean()
      .optional()
      .describe("The answer PENDING has a ticket, and a push with its answer follows. WebSockets only."),
    id,
  }),
  release: z.strictObject({
    op: z.literal("release"),
    key,
    token: version.describe("That of the lease."),
    id,
  }),
  getdelete: z
    .strictObject({ op: z.literal("getdelete"), key, id })
    .describe("The value of an entry, which is removed, as one operation."),
  gettouch: z
    .strictObject({
      op: z.literal("gettouch"),
      key,
      ttl: ms
        .optional()
        .describe("The new time to live, milliseconds. Without it the entry no longer expires."),
      id,
    })
    .describe("The value of an entry, which is given a new time to live, as one operation."),
  ping: z.strictObject({ op: z.literal("ping"), value: text.optional(), id }),
  stats: z.strictObject({ op: z.literal("stats"), id }),
} as const;

const OP_NAMES = Object.keys(REQUESTS).join(", ");
export type OpName = keyof typeof REQUESTS;
export type JsonRequest = { [Name in OpName]: z.output<(typeof REQUESTS)[Name]> }[OpName];

/** A schema as JSON Schema 2020-12: what a client may send, as far as JSON Schema can say it. */
const asJsonSchema = (schema: z.ZodType) => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "input" });
  return rest;
};

/** What requests may look like, for those who describe the API: the body of /put by the name PutBody, and each request by that of its op. */
export function requestSchemas(): { PutBody: object; ops: Record<OpName, object> } {
  const ops = Object.entries(REQUESTS).map(([op, schema]) => [op, asJsonSchema(schema)]);
  return { PutBody: asJsonSchema(PUT_BODY), ops: Object.fromEntries(ops) as Record<OpName, object> };
}

/** Which op a request asks for, whatever else is in it; UNKNOWN_OP or MALFORMED. */
export function opOf(value: unknown): OpName {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new RequestError("MALFORMED", "a request must be a JSON object");
  const op = (value as { op?: unknown }).op;
  if (op === undefined) throw new RequestError("MALFORMED", `op: is missing, one of ${OP_NAMES}`);
  if (typeof op !== "string") throw new RequestError("MALFORMED", `op: must be text, one of ${OP_NAMES}`);
  if (!Object.hasOwn(REQUESTS, op)) throw new RequestError("UNKNOWN_OP", `op: unknown, one of ${OP_NAMES}`);
  return op as OpName;
}

/** Checks a request of this op; MALFORMED with the field's name. */
export function parseRequest(op: OpName, value: unknown): JsonRequest {
  return checked(REQUESTS[op], value) as JsonRequest;
}

/** Checks `value` with a schema; MALFORMED names the first field that is wrong. */
export function checked<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new RequestError("MALFORMED", `${fieldOf(issue)}: ${problemOf(issue, value)}`);
}

function fieldOf(issue: z.core.$ZodIssue): string {
  if (issue.code === "unrecognized_keys") return namesOf(issue.keys);
  return issue.path.length > 0 ? issue.path.join(".") : "request";
}

function namesOf(keys: readonly string[]): string {
  const shown = keys.slice(0, NAMES_SHOWN_MAX).map((name) => name.slice(0, NAME_SHOWN_MAX));
  return keys.length > shown.length ? `${shown.join(", ")}, …` : shown.join(", ");
}

function problemOf(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code === "unrecognized_keys") return "unknown field";
  const given = issue.path.reduce(
    (inner, name) => (inner as Record<PropertyKey, unknown> | undefined)?.[name],
    value,
  );
  if (given === undefined) return "is missing";
  if (issue.code === "invalid_type" && issue.expected === "string") return "must be text";
  return issue.message;
}
