/** Times as people write them: `500ms`, `60s`, `15m`, `1h`, `30d`. */

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
export type TimeUnit = keyof typeof UNIT_MS;

/** What a time looks like; a number without a unit is one where a bare unit is given. */
export const FORM = /^([0-9]{1,16}(?:\.[0-9]{1,3})?) ?(ms|s|m|h|d)?$/;

/**
 * A time in milliseconds, from its text; NaN where that is no time.
 * @param bare the unit of a number without one; null where it needs one
 */
export function millisecondsOf(text: string, bare: TimeUnit | null): number {
  const [, amount, unit = bare] = FORM.exec(text) ?? [];
  return amount === undefined || unit === null ? Number.NaN : Number(amount) * UNIT_MS[unit as TimeUnit];
}

/** As flags take it: `5m`, `1.5h`; where it is not round, a little more is named. */
export function timeText(ms: number): string {
  const units = Object.entries(UNIT_MS).filter(([, unitMs]) => unitMs <= ms);
  const [unit, unitMs] = units.at(-1) ?? ["ms", UNIT_MS.ms];
  return `${Math.ceil((ms / unitMs) * 10) / 10}${unit}`;
}
