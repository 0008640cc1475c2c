/** Times on the command line: `500ms`, `60s`, `15m`, `1h`, `30d`. */
import { z } from "zod";

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
type Unit = keyof typeof UNIT_MS;
const FORM = /^([0-9]{1,16}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)?$/;

/**
 * A time in whole milliseconds, within a range, from its text.
 * @param bare the unit of a number without one; null where it needs one
 */
export function duration(minMs: number, maxMs: number, bare: Unit | null) {
  return z
    .string()
    .transform((text) => {
      const [, amount, unit = bare] = FORM.exec(text) ?? [];
      return amount === undefined || unit === null ? Number.NaN : Number(amount) * UNIT_MS[unit as Unit];
    })
    .refine((ms) => Number.isSafeInteger(ms) && ms >= minMs && ms <= maxMs);
}
