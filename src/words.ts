/** Numbers in sentences. */

/** `1 token`, `2 tokens`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Whole mebibytes. */
export function mebibytes(bytes: number): number {
  return Math.floor(bytes / 2 ** 20);
}
