/** What the bodies and headers of other protocols may look like, checked by zod. Reached through `dialectSchemas`, which loads it late. */
import { z } from "zod";
import { RequestError } from "../../protocol/errors";

/** Bytes of printable ASCII that need no escape between quotes. */
const quotable = z
  .string()
  .regex(/^[\x20\x21\x23-\x5b\x5d-\x7e]+$/, "must be printable ASCII without quotes");

/** Turborepo: what a PUT says of its artifact. */
export const artifactFacts = z.object({
  duration: z
    .string()
    .regex(/^[0-9]{1,15}$/, "must be a whole number of milliseconds")
    .optional(),
  tag: quotable.max(160, "must be at most 160 characters").optional(),
  sha: quotable.optional(),
  "dirty-hash": quotable.optional(),
});
export type ArtifactFacts = z.output<typeof artifactFacts>;

/** Turborepo: which artifacts are there? */
export const artifactQuery = z.object({ hashes: z.array(z.string()) });

/** Turborepo: what its caches did, of which nothing is kept. */
export const artifactEvents = z.array(z.looseObject({}));

/** Upstash: one command and its arguments. Numbers and truth values mean their text. */
export const upstashCommand = z.array(z.union([z.string(), z.number(), z.boolean()])).min(1);

/** What the schema makes of a value. MALFORMED for one that it does not take. @param what names the whole of it */
export function parseAs<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  what: string,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  throw new RequestError("MALFORMED", `${path.length === 0 ? what : path.join(".")}: ${message}`);
}
