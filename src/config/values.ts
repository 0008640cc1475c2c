/** How the text of a flag becomes its value: sizes, times, shares, lists. What is allowed beyond that stands in flags.ts. */
import { z } from "zod";
import { AddressError, parseAddress } from "../origin/address";
import { millisecondsOf } from "../system/duration";

const KB = 1024;
export const MB = KB * KB;
export const GB = MB * KB;

/** A whole number in a range, from its text. */
export function whole(min: number, max: number) {
  return z
    .string()
    .regex(/^[0-9]{1,9}$/)
    .transform(Number)
    .refine((n) => n >= min && n <= max);
}

const SIZE = /^([0-9]+(?:\.[0-9]+)?) ?(?:b|([kmgt])i?b?)?$/;
const UNITS: Record<string, number> = { k: KB, m: MB, g: GB, t: GB * KB };

/** `512mb`, also written `512M`, `512 MB` or `512MiB`, or a plain number of bytes. A kilobyte has 1024 bytes, however it is written. */
export const size = z
  .string()
  .transform((text) => SIZE.exec(text.trim().toLowerCase()))
  .refine((match) => match !== null)
  .transform((match) => Math.floor(Number(match![1]) * (UNITS[match![2] ?? ""] ?? 1)))
  .refine((bytes) => bytes > 0 && Number.isSafeInteger(bytes));

/** `60%`. */
export const percent = z
  .string()
  .transform((text) => /^([0-9]{1,3}(?:\.[0-9]+)?) ?%$/.exec(text.trim()))
  .refine((match) => match !== null)
  .transform((match) => Number(match![1]) / 100)
  .refine((share) => share > 0 && share <= 1);

/** `10s`, `500ms`, `2m`, or a plain number of seconds; in milliseconds. */
export function time(minMs: number, maxMs: number) {
  return z
    .string()
    .transform((text) => millisecondsOf(text.trim().toLowerCase(), "s"))
    .refine((ms) => ms >= minMs && ms <= maxMs);
}

export const file = z.string().min(1);
/** Not one that would begin with a directory named `~`. */
export const directory = file.refine((path) => !/^~(\/|$)/.test(path));

/** Where a store of record is. What is wrong with it is told without the text, which may hold a password. */
export const address = z.string().transform((text, context) => {
  try {
    return parseAddress(text.trim());
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    context.addIssue({ code: "custom", params: { detail: error.message } });
    return z.NEVER;
  }
});

export const yesOrNo = z
  .enum(["1", "0", "true", "false"])
  .transform((text) => text === "1" || text === "true");

/** An address, in brackets or not, or a host name; `localhost:8080` is neither. */
export const host = z
  .string()
  .transform((text) => /^\[([0-9a-f:.]+)\]$/i.exec(text)?.[1] ?? text)
  .refine((text) => /^[0-9A-Za-z.:_-]+$/.test(text) && !/^[^:]+:[0-9]+$/.test(text));

/** Host names, comma-separated. */
export const hosts = z
  .string()
  .transform((text) => text.split(",").map((name) => name.trim().toLowerCase()))
  .refine((list) => list.every((name) => /^([a-z0-9_.-]+|\[[0-9a-f:.]+\])$/.test(name)));

/** Origins of browsers, comma-separated, or `*`. */
export const origins = z
  .string()
  .transform((text) => text.split(",").map((origin) => origin.trim()))
  .refine((list) =>
    list.every((origin) => origin === "*" || /^[a-z][a-z0-9+.-]*:\/\/[^/\s,*]+$/i.test(origin)),
  );
