/**
 * Decimal numbers as INCRBYFLOAT adds them: exact to 17 places behind the point, of which that command tells no more. Redis adds 80-bit
 * floats instead; with a double, 0.1 and 0.2 would make 0.30000000000000004. Here a number is a whole number of its last place.
 */
const PLACES = 17;
/** Longer texts are no numbers, as in Redis: they would take long to read. */
const TEXT_LENGTH_MAX = 5 * 1024 - 1;
const DECIMAL = /^([+-]?)(?=\.?[0-9])([0-9]*)\.?([0-9]*)(?:e([+-]?[0-9]+))?$/i;

/** Null for what is no decimal number, or one that a double cannot hold. Rounded to the last place. */
export function decimalFrom(text: string): bigint | null {
  if (text.length > TEXT_LENGTH_MAX || !Number.isFinite(Number(text))) return null;
  const [, sign, whole, fraction, exponent = "0"] = DECIMAL.exec(text) ?? [];
  if (whole === undefined || fraction === undefined) return null;
  const digits = (whole + fraction).replace(/^0+/, "");
  if (digits === "") return 0n;
  const shift = PLACES + Number(exponent) - fraction.length;
  const size =
    shift >= 0
      ? BigInt(digits + "0".repeat(shift))
      : BigInt(digits.slice(0, shift)) + (Number(digits.at(shift)) >= 5 ? 1n : 0n);
  return sign === "-" ? -size : size;
}

/** Without an exponent, and without zeros at the end. Null where a double cannot hold it. */
export function decimalText(decimal: bigint): string | null {
  const digits = String(decimal < 0n ? -decimal : decimal).padStart(PLACES + 1, "0");
  const text = `${decimal < 0n ? "-" : ""}${digits.slice(0, -PLACES)}.${digits.slice(-PLACES)}`;
  return Number.isFinite(Number(text)) ? text.replace(/\.?0+$/, "") : null;
}
