/** Times on the command line: `500ms`, `60s`, `15m`, `1h`, `30d`. */
import { z } from "zod";
import { millisecondsOf, type TimeUnit } from "../system/duration";

/**
 * A time in whole milliseconds, within a range, from its text.
 * @param bare the unit of a number without one; null where it needs one
 */
export function duration(minMs: number, maxMs: number, bare: TimeUnit | null) {
  return z
    .string()
    .transform((text) => millisecondsOf(text, bare))
    .refine((ms) => Number.isSafeInteger(ms) && ms >= minMs && ms <= maxMs);
}
