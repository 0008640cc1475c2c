/**
 * Keys and values of the comparison: key n is `bench:` and seven digits, 13 bytes; its value is 64 characters made of n
 * alone, so that every answer can be checked, and plain enough (no escapes, no bytes beyond ASCII) for every protocol.
 */
import { fillValue, keyText } from "../../../src/cli/bench/plan";

export const KEY_BYTES = 13;
export const VALUE_BYTES = 64;
const ALPHABET = Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

export class Values {
  private readonly bytes: Buffer;
  private readonly view: DataView;

  constructor(readonly keys: number) {
    this.bytes = Buffer.allocUnsafeSlow(keys * VALUE_BYTES);
    this.view = new DataView(this.bytes.buffer);
    for (let index = 0, at = 0; index < keys; index++) {
      fillValue(this.bytes, at, VALUE_BYTES, index);
      for (const end = at + VALUE_BYTES; at < end; at++) this.bytes[at] = ALPHABET[this.bytes[at]! & 63]!;
    }
  }

  /** Writes the key's text; returns where it ends. */
  writeKey(into: Buffer, at: number, index: number): number {
    return at + into.write(keyText(index), at, "latin1");
  }

  /** Writes the key's value; returns where it ends. */
  writeValue(into: Buffer, at: number, index: number): number {
    return at + this.bytes.copy(into, at, index * VALUE_BYTES, (index + 1) * VALUE_BYTES);
  }

  /** Whether the VALUE_BYTES at `at` are the key's value. */
  matches(view: DataView, at: number, index: number): boolean {
    const from = index * VALUE_BYTES;
    let difference = 0;
    for (let i = 0; i < VALUE_BYTES; i += 4)
      difference |= view.getInt32(at + i, true) ^ this.view.getInt32(from + i, true);
    return difference === 0;
  }
}
