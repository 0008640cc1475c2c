/** What is left of a piece of input, to be kept: a small rest does not keep a large piece, and a large one is not copied. */
export function restOf(bytes: Buffer, at: number, end: number): Buffer {
  const rest = bytes.subarray(at, end);
  return rest.length < bytes.length / 2 ? Buffer.from(rest) : rest;
}
