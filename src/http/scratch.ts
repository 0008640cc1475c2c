/**
 * One buffer in which a thread puts together its small answers, so that a request makes no objects of its own for key
 * and value. Handlers run one at a time and a Response copies the bytes that it is given, so nobody sees another's.
 */
import { NO_TYPE, type ValueSink, type ValueType } from "../commands/commands";

/** Answers and bodies up to about this size are put together here. */
const SCRATCH_BYTES = 16 * 1024;
/** Longer keys and bodies take the way of their own that every key and body can take. */
export const SCRATCH_BODY_BYTES_MAX = SCRATCH_BYTES - 1024;

/** Keys and bodies are put here. What stands before is an answer's beginning, which never changes. */
export const SCRATCH_AT = 32;

export const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
export const scratchView = new DataView(scratch.buffer);

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
const DELETE = 0x7f;

const standsForItself = (byte: number) => byte >= SPACE && byte !== QUOTE && byte !== BACKSLASH;
/** 1 for bytes that need no escape in a JSON string. */
const IS_UNESCAPED = Uint8Array.from({ length: 256 }, (_, byte) => (standsForItself(byte) ? 1 : 0));
/** 1 for those of them that are characters by themselves: printable ASCII. */
const IS_PLAIN = IS_UNESCAPED.map((unescaped, byte) => (byte < DELETE ? unescaped : 0));

/** First byte of bytes[start, end) that is not plain: printable ASCII without " and \; `end` when all are. */
function plainUntil(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && IS_PLAIN[bytes[at]!] === 1) at++;
  return at;
}

/** The same for bytes that need no escape in a JSON string, those of longer characters among them. */
export function unescapedUntil(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && IS_UNESCAPED[bytes[at]!] === 1) at++;
  return at;
}

/**
 * Copies text[from, end) to scratch[at, …) as long as its characters are plain and none of `except` (char codes).
 * @returns where the text ends in the scratch, or -1 when a character is none of these or there is no room
 */
export function writePlain(text: string, from: number, at: number, except: Uint8Array): number {
  const end = text.length;
  if (end - from > SCRATCH_BODY_BYTES_MAX) return -1;
  for (let i = from; i < end; i++) {
    const code = text.charCodeAt(i);
    if (code > DELETE || IS_PLAIN[code] === 0 || except[code] === 1) return -1;
    scratch[at++] = code;
  }
  return at;
}

/** A table for `writePlain`. */
export function characters(text: string): Uint8Array {
  const table = new Uint8Array(128);
  for (const character of text) table[character.charCodeAt(0)] = 1;
  return table;
}

/** Takes a value into the scratch from `at` on, or into a buffer of its own where it is too long for that. */
class ScratchValue implements ValueSink {
  bytes: Buffer = scratch;
  at = 0;
  start = 0;
  end = 0;
  version = 0;
  /** On the store's clock; Infinity for never. */
  expiresAt = Infinity;
  type: ValueType = NO_TYPE;
  /** It may be old: the store of record does not answer. */
  isStale = false;
  private nextIsStale = false;

  markStale(): void {
    this.nextIsStale = true;
  }

  begin(length: number, version: number, expiresAt: number): number {
    const fits = this.at + length <= SCRATCH_BODY_BYTES_MAX;
    this.bytes = fits ? scratch : Buffer.allocUnsafe(length);
    this.start = fits ? this.at : 0;
    this.end = this.start + length;
    this.version = version;
    this.expiresAt = expiresAt;
    this.isStale = this.nextIsStale;
    this.nextIsStale = false;
    return this.start;
  }

  takeType(type: ValueType): void {
    this.type = type;
  }

  /** The value, until the next one is taken. */
  taken(): Buffer {
    return this.bytes.subarray(this.start, this.end);
  }

  /** Whether it lies in the scratch and all of it is plain: then its bytes are its text, and need no escape. */
  isPlain(): boolean {
    return this.bytes === scratch && plainUntil(scratch, this.start, this.end) === this.end;
  }
}

export const scratchValue = new ScratchValue();
