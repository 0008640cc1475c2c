/** Numbers in sentences. */

/** `1 token`, `2 tokens`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

const UNITS = ["bytes", "kb", "mb", "gb", "tb"];

/** As flags take it: `512mb`, `1.9gb`; where it is not round, a little less is named. */
export function sizeText(bytes: number): string {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  if (power === 0) return `${bytes} ${UNITS[0]}`;
  return `${Math.floor((bytes / 1024 ** power) * 10) / 10}${UNITS[power]}`;
}

/** Whole mebibytes. */
export function mebibytes(bytes: number): number {
  return Math.floor(bytes / 2 ** 20);
}
