/** Arguments are checked before anything is sent: one that the server closes the connection for would fail everybody on it. */
import type { Value } from "./entry";
import { CacheError } from "./errors";

const UTF8 = new TextEncoder();
/** What setTimeout can wait for, ms: 24 days. */
export const TIMEOUT_MS_MAX = 2 ** 31 - 1;

export function invalid(name: string, problem: string): CacheError {
  return new CacheError("invalid-argument", `${name}: ${problem}`);
}

/** A whole number in a range, or undefined. */
export function checkWhole(name: string, value: unknown, min: number, max: number): void {
  if (value === undefined || (Number.isSafeInteger(value) && isWithin(value, min, max))) return;
  throw invalid(name, `must be a whole number from ${min} to ${max}`);
}

/** A time to live; null: for ever. */
export function checkTtl(ttlMs: unknown): void {
  checkWhole("ttlMs", ttlMs ?? undefined, 1, Number.MAX_SAFE_INTEGER);
}

/** Milliseconds to wait, above 0; a fraction is fine, as it comes of subtracting times. Or undefined. */
export function checkTimeout(name: string, value: unknown): void {
  if (value === undefined || isWithin(value, Number.MIN_VALUE, TIMEOUT_MS_MAX)) return;
  throw invalid(name, `must be a number of milliseconds above 0 and at most ${TIMEOUT_MS_MAX}`);
}

function isWithin(value: unknown, min: number, max: number): boolean {
  return typeof value === "number" && value >= min && value <= max;
}

/** A misspelt option would be taken for none: an entry would never expire, say. */
export function checkNames(
  what: string,
  options: object,
  known: readonly string[],
  others: readonly string[] = [],
): void {
  if (typeof options !== "object" || options === null)
    throw invalid("options", `of ${what} must be an object`);
  for (const name in options)
    if (!known.includes(name) && !others.includes(name))
      throw invalid(name, `${what} has no such option, only ${[...known, ...others].join(", ")}`);
}

/** Two keys with different halves of a surrogate pair would become the same bytes. */
export function utf8(name: string, text: string): Uint8Array {
  if (typeof text !== "string") throw invalid(name, "must be a string");
  if (!text.isWellFormed()) throw invalid(name, "has half a surrogate pair, which UTF-8 cannot express");
  return UTF8.encode(text);
}

/** What there is of it. Text could be gone through as well, and is never meant to be. */
export function listOf<Item>(name: string, items: Iterable<Item>): Item[] {
  if (typeof items === "object" && items !== null && Symbol.iterator in items) return [...items];
  throw invalid(name, "must be an array, or something else to iterate over");
}

export function valueBytes(value: Value): Uint8Array {
  if (typeof value === "string") return utf8("value", value);
  if (value instanceof Uint8Array && !isDetached(value.buffer)) return value;
  if (value instanceof ArrayBuffer && !isDetached(value)) return new Uint8Array(value);
  throw invalid("value", "must be a string, a Uint8Array or an ArrayBuffer, and not detached");
}

/** What was transferred to another thread has no bytes here any more, and looks like an empty value. */
function isDetached(buffer: ArrayBufferLike): boolean {
  return (buffer as ArrayBuffer).detached;
}
