/**
 * Patterns as Redis has them in KEYS and SCAN MATCH: `*`, `?`, `[a-z]`, `[^a]`, and `\` before a character that means itself.
 * Over bytes, as there. A `*` is tried again from one place only, so the work is bounded by pattern × key, whatever the pattern.
 */
const STAR = 0x2a;
const QUESTION = 0x3f;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const CARET = 0x5e;
const DASH = 0x2d;
const BACKSLASH = 0x5c;

export class Glob {
  /** What every match begins with. */
  readonly literalStart: Buffer;
  private readonly pattern: Buffer;

  constructor(pattern: Buffer) {
    this.pattern = pattern;
    const special = pattern.findIndex((byte) => [STAR, QUESTION, OPEN, BACKSLASH].includes(byte));
    this.literalStart = special < 0 ? pattern : pattern.subarray(0, special);
  }

  matches(key: Buffer): boolean {
    const { pattern } = this;
    let at = 0;
    let place = 0;
    /** Behind the last star, and where in the key it was tried. */
    let star = -1;
    let starPlace = 0;
    while (place < key.length) {
      if (at < pattern.length && pattern[at] === STAR) {
        star = ++at;
        starPlace = place;
        continue;
      }
      const next = at < pattern.length ? this.one(at, key[place]!) : -1;
      if (next >= 0) {
        at = next;
        place++;
      } else if (star >= 0) {
        at = star;
        place = ++starPlace;
      } else return false;
    }
    while (pattern[at] === STAR) at++;
    return at === pattern.length;
  }

  /** Where the pattern goes on behind the part at `at` if that part matches the byte; otherwise -1. */
  private one(at: number, byte: number): number {
    const { pattern } = this;
    if (pattern[at] === QUESTION) return at + 1;
    if (pattern[at] === OPEN) return this.set(at + 1, byte);
    if (pattern[at] === BACKSLASH && at + 1 < pattern.length) at++;
    return pattern[at] === byte ? at + 1 : -1;
  }

  /** The same for a set, which begins behind its bracket. One that is not closed ends with the pattern. */
  private set(at: number, byte: number): number {
    const { pattern } = this;
    const isNegated = pattern[at] === CARET;
    if (isNegated) at++;
    let isIn = false;
    for (; at < pattern.length && pattern[at] !== CLOSE; at++) {
      if (pattern[at] === BACKSLASH && at + 1 < pattern.length) {
        at++;
        isIn ||= pattern[at] === byte;
      } else if (pattern[at + 1] === DASH && at + 2 < pattern.length) {
        const [low, high] = [pattern[at]!, pattern[at + 2]!].sort((a, b) => a - b);
        isIn ||= byte >= low! && byte <= high!;
        at += 2;
      } else isIn ||= pattern[at] === byte;
    }
    return isIn === isNegated ? -1 : Math.min(at + 1, pattern.length);
  }
}
