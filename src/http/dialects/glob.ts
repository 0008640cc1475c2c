/**
 * Patterns as Redis has them in KEYS and SCAN MATCH: `*`, `?`, `[a-z]`, `[^a]`, and `\` before a character that means itself.
 * Over bytes, as there. A pattern is read once, so that each of its parts costs one step at a byte of a key, however long a set is; a
 * `*` is tried again from one place only. So a key takes at most as many steps as its length times that of the pattern.
 */
const STAR = 0x2a;
const QUESTION = 0x3f;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const CARET = 0x5e;
const DASH = 0x2d;
const BACKSLASH = 0x5c;

/** Any number of bytes, any byte, one byte, or a set, which has a 1 at each byte that is in it. */
type Part = "*" | "?" | number | Uint8Array;

export class Glob {
  /** What every match begins with. */
  readonly literalStart: Buffer;
  private readonly parts: readonly Part[];
  /** At a place among the parts, how many bytes those from there on take at least. */
  private readonly leastFrom: readonly number[];

  constructor(pattern: Buffer) {
    const special = pattern.findIndex((byte) => [STAR, QUESTION, OPEN, BACKSLASH].includes(byte));
    this.literalStart = special < 0 ? pattern : pattern.subarray(0, special);
    this.parts = partsOf(pattern);
    const leastFrom = [0];
    for (const part of this.parts.toReversed()) leastFrom.push(leastFrom.at(-1)! + (part === "*" ? 0 : 1));
    this.leastFrom = leastFrom.reverse();
  }

  matches(key: Buffer): boolean {
    const { parts, leastFrom } = this;
    if (key.length < leastFrom[0]!) return false;
    let at = 0;
    let place = 0;
    /** Behind the last star, and where in the key it was tried. */
    let star = -1;
    let starPlace = 0;
    while (place < key.length) {
      if (parts[at] === "*") {
        star = ++at;
        starPlace = place;
      } else if (at < parts.length && isOne(parts[at]!, key[place]!)) {
        at++;
        place++;
      } else if (star >= 0 && key.length - starPlace > leastFrom[star]!) {
        at = star;
        place = ++starPlace;
      } else return false;
    }
    return parts.slice(at).every((part) => part === "*");
  }
}

function isOne(part: Part, byte: number): boolean {
  return typeof part === "number" ? part === byte : part === "?" || (part as Uint8Array)[byte] === 1;
}

/** Stars in a row are one. */
function partsOf(pattern: Buffer): Part[] {
  const parts: Part[] = [];
  for (let at = 0; at < pattern.length; at++) {
    const byte = pattern[at]!;
    if (byte === STAR) {
      if (parts.at(-1) !== "*") parts.push("*");
    } else if (byte === QUESTION) parts.push("?");
    else if (byte === OPEN) {
      const { set, end } = setAt(pattern, at + 1);
      parts.push(set);
      at = end;
    } else if (byte === BACKSLASH && at + 1 < pattern.length) parts.push(pattern[++at]!);
    else parts.push(byte);
  }
  return parts;
}

/** The set that begins behind its bracket, and where its end is. One that is not closed ends with the pattern. */
function setAt(pattern: Buffer, start: number): { set: Uint8Array; end: number } {
  const isNegated = pattern[start] === CARET;
  const set = new Uint8Array(256).fill(isNegated ? 1 : 0);
  const isIn = isNegated ? 0 : 1;
  let at = isNegated ? start + 1 : start;
  for (; at < pattern.length && pattern[at] !== CLOSE; at++) {
    if (pattern[at] === BACKSLASH && at + 1 < pattern.length) set[pattern[++at]!] = isIn;
    else if (pattern[at + 1] === DASH && at + 2 < pattern.length) {
      const [low, high] = [pattern[at]!, pattern[at + 2]!].sort((a, b) => a - b);
      set.fill(isIn, low, high! + 1);
      at += 2;
    } else set[pattern[at]!] = isIn;
  }
  return { set, end: at };
}
