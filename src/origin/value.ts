/**
 * A value as it lies in the engine, in one string key:
 *
 *   plain  FF 42 42 01 │ version u64 │ expiresAt u64 │ payload
 *   typed  FF 42 42 02 │ version u64 │ expiresAt u64 │ type number u8 │ type length u8 │ type text │ payload
 *
 * Numbers are little-endian and below 2^53; expiresAt is in ms on the clock of the node, 0 for never. FF is in no UTF-8 text, so no text and no
 * number begins with a magic. What does not have this form was written by others: it is foreign, all of it is payload, and its version is 0.
 * scripts.ts reads and writes the same form in Lua.
 */
import { NO_TYPE, typeNumbered, type ValueType } from "../store/value-type";

/** A value that a read has found. */
export interface Found {
  /** May be a view of a larger buffer, which it keeps alive. */
  readonly payload: Buffer;
  /** 0 for a foreign value. */
  readonly version: number;
  /** What is left, at least 1, as far as the node's clock is known; Infinity for never. */
  readonly ttlMs: number;
  readonly type: ValueType;
  /** Others wrote it, in their own form. */
  readonly isForeign: boolean;
}

/** A value as it lies in the engine, taken apart. */
export interface Stored {
  readonly payload: Buffer;
  readonly version: number;
  /** ms on the node's clock, Infinity for never or where it is not known. */
  readonly expiresAt: number;
  readonly type: ValueType;
  readonly isForeign: boolean;
}

export const MAGIC_PLAIN = Buffer.from([0xff, 0x42, 0x42, 1]);
export const MAGIC_TYPED = Buffer.from([0xff, 0x42, 0x42, 2]);

export const VERSION_AT = 4;
export const EXPIRY_AT = 12;
/** Header of a plain value. */
export const PLAIN_BYTES = 20;
const TYPE_NUMBER_AT = 20;
const TYPE_LENGTH_AT = 21;
/** Header of a typed value without the text of its type. */
export const TYPED_BYTES = 22;

const MAGIC_WORD_PLAIN = MAGIC_PLAIN.readUInt32LE();
const MAGIC_WORD_TYPED = MAGIC_TYPED.readUInt32LE();
const TWO_TO_32 = 2 ** 32;

/** How long the header of a value of this type is. */
export function headerBytes(type: ValueType): number {
  return type === NO_TYPE ? PLAIN_BYTES : TYPED_BYTES + type.text.length;
}

/**
 * A value with its header, for the script that stores it: version and expiry are zeros, because only the node knows them. Then a long value is
 * never put together in the node.
 */
export function encode(payload: Buffer, type: ValueType): Buffer {
  const header = headerBytes(type);
  const bytes = Buffer.allocUnsafe(header + payload.length);
  bytes.writeUInt32LE(type === NO_TYPE ? MAGIC_WORD_PLAIN : MAGIC_WORD_TYPED);
  bytes.fill(0, VERSION_AT, PLAIN_BYTES);
  if (type !== NO_TYPE) {
    bytes[TYPE_NUMBER_AT] = type.number;
    bytes[TYPE_LENGTH_AT] = type.text.length;
    bytes.write(type.text, TYPED_BYTES, "latin1");
  }
  payload.copy(bytes, header);
  return bytes;
}

export function decode(bytes: Buffer): Stored {
  const magic = bytes.length < PLAIN_BYTES ? 0 : bytes.readUInt32LE();
  if (magic !== MAGIC_WORD_PLAIN && magic !== MAGIC_WORD_TYPED) return foreign(bytes);
  const version = readU64(bytes, VERSION_AT);
  const expiry = readU64(bytes, EXPIRY_AT);
  if (version > Number.MAX_SAFE_INTEGER || expiry > Number.MAX_SAFE_INTEGER) return foreign(bytes);
  const expiresAt = expiry === 0 ? Infinity : expiry;
  if (magic === MAGIC_WORD_PLAIN)
    return { payload: bytes.subarray(PLAIN_BYTES), version, expiresAt, type: NO_TYPE, isForeign: false };
  const payloadAt = TYPED_BYTES + (bytes[TYPE_LENGTH_AT] ?? 0);
  if (bytes.length < payloadAt) return foreign(bytes);
  const text = bytes.toString("latin1", TYPED_BYTES, payloadAt);
  const type = text === "" ? typeNumbered(bytes[TYPE_NUMBER_AT]!) : { number: 0, text };
  return { payload: bytes.subarray(payloadAt), version, expiresAt, type, isForeign: false };
}

function foreign(bytes: Buffer): Stored {
  return { payload: bytes, version: 0, expiresAt: Infinity, type: NO_TYPE, isForeign: true };
}

/** Above 2^53 it is not exact, and no number of ours. */
function readU64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * TWO_TO_32;
}
