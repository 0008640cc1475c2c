/** Bytes by what they are in a message. */

export const TAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SPACE = 0x20;
export const DELETE = 0x7f;

/** A table: 1 for the bytes of which this holds. */
export function flagsOf(holds: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (holds(byte) ? 1 : 0));
}

/** 1 for what header values consist of, and all that looks like them (RFC 9110, 5.5). */
export const IS_VALUE = flagsOf((byte) => (byte >= SPACE && byte !== DELETE) || byte === TAB);
