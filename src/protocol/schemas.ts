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
  .refine((value) => value.isWellFormed(), "has half a surrogate pair; send it as base64");
const ttl = z.int(TTL_PROBLEM).min(1, TTL_PROBLEM).max(Number.MAX_SAFE_INTEGER, TTL_PROBLEM);
const version = z.int().min(1).max(Number.MAX_SAFE_INTEGER);
const watch = z.boolean().optional();
const encoding = z.enum(["utf8", "base64"]).optional();
/** Of JSON text anything is JSON, and its length is checked before (json.ts). */
const id = z.unknown().optional();

const key = z.string().refine((value) => value.isWellFormed(), "has half a surrogate pair");
const written = { key, value: text, encoding };
const conditions = { if: z.enum(["absent", "present"]).optional(), ifVersion: version.optional() };

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
const TWO_VERSIONS = { path: ["lease"], message: "contradicts ifVersion" };
const TWO_NAMES = { path: ["prefix"], message: "is given twice, as prefix and as key" };

const REQUESTS = {
  get: z.strictObject({ op: z.literal("get"), key, version: version.optional(), watch, id }),
  put: z
    .strictObject({ op: z.literal("put"), ...put, lease: version.optional(), watch, id })
    .refine(agree, DISAGREE)
    .refine(({ lease, ifVersion }) => lease === undefined || ifVersion === undefined, TWO_VERSIONS),
  delete: z.strictObject({ op: z.literal("delete"), key, ifVersion: version.optional(), id }),
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
    .strictObject({ op: z.literal("watch"), ...prefixed, noloop: z.boolean().optional(), id })
    .refine(oneName, TWO_NAMES),
  unwatch: z
    .strictObject({ op: z.literal("unwatch"), ...prefixed, keys: z.boolean().optional(), id })
    .refine(oneName, TWO_NAMES),
  lease: z.strictObject({
    op: z.literal("lease"),
    key,
    ttl: ttl.optional(),
    early: ttl.optional(),
    watch,
    wait: z.boolean().optional(),
    id,
  }),
  release: z.strictObject({ op: z.literal("release"), key, token: version, id }),
  ping: z.strictObject({ op: z.literal("ping"), value: text.optional(), id }),
  stats: z.strictObject({ op: z.literal("stats"), id }),
} as const;

const OP_NAMES = Object.keys(REQUESTS).join(", ");
export type OpName = keyof typeof REQUESTS;
export type JsonRequest = { [Name in OpName]: z.output<(typeof REQUESTS)[Name]> }[OpName];

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
