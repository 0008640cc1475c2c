/** Keys and values whose bytes are their text: the usual ones, which need no decoding and no escapes. */
import { isUtf8 } from "node:buffer";
import { DELETE, flagsOf, SPACE } from "./message/bytes";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ASCII_MAX = 0x7f;

const standsForItself = (byte: number) => byte >= SPACE && byte !== QUOTE && byte !== BACKSLASH;
const isOneOf = (byte: number, characters: string) => characters.includes(String.fromCharCode(byte));

/** Bytes that need no escape in a JSON string, those of longer characters among them. */
const UNESCAPED = flagsOf(standsForItself);
/** Printable ASCII without what separates a query's fields or stands for another character. */
export const PLAIN_IN_QUERY = flagsOf(
  (byte) => standsForItself(byte) && byte < DELETE && !isOneOf(byte, "&+%"),
);
/** The same for a path. */
export const PLAIN_IN_PATH = flagsOf(
  (byte) => standsForItself(byte) && byte < DELETE && !isOneOf(byte, "?%"),
);

/** First byte of bytes[start, end) that is none of `plain`; `end` when all are. */
export function plainUntil(bytes: Uint8Array, start: number, end: number, plain: Uint8Array): number {
  let at = start;
  while (at < end && plain[bytes[at]!] === 1) at++;
  return at;
}

/** Reads the text between two quotes, as long as it stands for itself. */
export class PlainText {
  /** Whether the last one had characters beyond ASCII: then its bytes may be no text at all. */
  isWide = false;

  /** First byte of bytes[start, end) that needs an escape, or ends the text; `end` when none does. */
  until(bytes: Uint8Array, start: number, end: number): number {
    let seen = 0;
    let at = start;
    while (at < end) {
      const byte = bytes[at]!;
      if (UNESCAPED[byte] === 0) break;
      seen |= byte;
      at++;
    }
    this.isWide = seen > ASCII_MAX;
    return at;
  }

  /** Whether all of bytes[start, end) is text as it is. */
  isAll(bytes: Buffer, start: number, end: number): boolean {
    return this.until(bytes, start, end) === end && (!this.isWide || isUtf8(bytes.subarray(start, end)));
  }
}
