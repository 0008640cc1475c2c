/** Numbers, bytes and times as people read them. */

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SMALL = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const TTL = /^(\d{1,15})(ms|s|m|h|d)$/;
const MS_OF = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A whole number with separators. */
export function whole(value: number): string {
  return WHOLE.format(value);
}

/** How often a second: small ones with a digit behind the point. */
export function rate(value: number | null): string {
  if (value === null) return "–";
  return value < 10 ? SMALL.format(value) : WHOLE.format(value);
}

/** For the axes: 12K, 3.4M. */
export function short(value: number): string {
  return SHORT.format(value);
}

export function bytes(value: number): string {
  const unit = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, value)) / 10)));
  return `${SMALL.format(value / 1024 ** unit)} ${UNITS[unit]}`;
}

/** @param share from 0 to 1; null where there is none */
export function percent(share: number | null): string {
  return share === null ? "–" : `${SMALL.format(share * 100)} %`;
}

/** The two largest units of a time: `3 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = Math.floor(ms / 1000);
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([amount]) => amount > 0);
  return parts
    .slice(first, first + 2)
    .map(([amount, unit]) => `${amount} ${unit}`)
    .join(" ");
}

/** A time to live as it is typed, in milliseconds; undefined where nothing was. Throws a RangeError that says what can be. */
export function ttlOf(text: string): number | undefined {
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  const [, amount, unit] = TTL.exec(trimmed) ?? [];
  const ms = unit === undefined ? 0 : Number(amount) * MS_OF[unit as keyof typeof MS_OF];
  if (ms < 1 || !Number.isSafeInteger(ms))
    throw new RangeError("Time to live: must be a time of at least 1ms, such as 500ms, 60s, 5m, 1h or 7d");
  return ms;
}
