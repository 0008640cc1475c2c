/** Keys as those of a message, one behind the other, for looking ahead. */
import type { KeyRows } from "../../src/store/hash";

export function keyRows(names: readonly string[]): KeyRows {
  const bytes = Buffer.from(names.join(""));
  const keyStarts = new Int32Array(names.length);
  const keyEnds = new Int32Array(names.length);
  let at = 0;
  for (const [row, name] of names.entries()) {
    keyStarts[row] = at;
    keyEnds[row] = at += Buffer.byteLength(name);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return { bytes, view, keyStarts, keyEnds, count: names.length };
}
