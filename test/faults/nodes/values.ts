/** Values that say which writes they are made of, so that a reader knows what it has read, and whether it is whole. */

/** Now and then a value is much longer than others: more than a frame of the network, or than a megabyte. */
const LONG_BYTES = 40_000;
const HUGE_BYTES = 1_500_000;
const MARK = /w(\d+);/y;
const FILLER = "x".charCodeAt(0);

/** The part of a value that one write has stored, or appended. */
export function partOf(id: number): Buffer {
  const filler = id % 499 === 0 ? HUGE_BYTES : id % 41 === 0 ? LONG_BYTES : id % 50;
  return Buffer.concat([Buffer.from(`w${id};`), Buffer.alloc(filler, FILLER)]);
}

/** The name of a value: that of its last write. Throws where it is none, or not whole. */
export function nameOf(value: Buffer): string {
  const text = value.toString("latin1");
  let at = 0;
  let last = "";
  while (at < text.length) {
    MARK.lastIndex = at;
    const id = MARK.exec(text)?.[1];
    if (id === undefined || !value.subarray(at, at + partOf(Number(id)).length).equals(partOf(Number(id))))
      throw new Error(`a torn value of ${value.length} bytes: ${text.slice(0, 100)}`);
    last = `w${id}`;
    at += partOf(Number(id)).length;
  }
  if (last === "") throw new Error("an empty value");
  return last;
}
