/**
 * Writes replies one behind the other into one reused buffer; the session sends what has gathered as one message.
 *
 * Invariant: `length` bytes of `bytes` are whole replies.
 */
import { Push, Status, STATUS_ERROR_MIN, TWO_32 } from "./wire";

/** Replies are sent when so many bytes of them have gathered. */
const FULL_BYTES = 256 * 1024;
/** Errors carry at most this much text. */
const MESSAGE_BYTES_MAX = 1024;
const FIXED_BYTES_MAX = 32;
/** Status and length. */
const VALUE_HEADER_BYTES = 5;
/** A buffer that one large reply made grow beyond this is given back after it was sent. */
const KEEP_BYTES_MAX = 1 << 20;
/** Views of so few bytes are kept: single replies are as long as each other, again and again. */
const VIEW_BYTES_MAX = 256;
/** The highest bit of a META_VALUE's version. */
const META_STALE_AT = 8;
const META_STALE = 0x80;
const NO_EXPIRY_WORD = 0xffffffff;

export class ReplyWriter {
  bytes: Buffer;
  length = 0;
  /** Of the first bytes, by length. */
  private readonly views: (Buffer | null)[] = new Array(VIEW_BYTES_MAX + 1).fill(null);

  constructor(private readonly startBytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(startBytes);
  }

  /** Enough has gathered to be sent. */
  get isFull(): boolean {
    return this.length >= FULL_BYTES;
  }

  /** What was written, to be sent; valid until the next write. */
  take(): Buffer {
    const { length } = this;
    if (length > VIEW_BYTES_MAX) return this.bytes.subarray(0, length);
    return (this.views[length] ??= this.bytes.subarray(0, length));
  }

  /** After what was taken is sent. */
  reset(): void {
    this.length = 0;
    if (this.bytes.length > KEEP_BYTES_MAX) this.replace(Buffer.allocUnsafeSlow(this.startBytes));
  }

  status(status: Status): void {
    this.ensure(1);
    this.bytes[this.length++] = status;
  }

  /** VALUE with room for its bytes; returns where they go. */
  value(length: number): number {
    const at = this.roomForValue(length);
    this.valueIsThere(length);
    return at;
  }

  /** Where the bytes of a VALUE would go, with room for so many; valueIsThere makes it one. */
  roomForValue(lengthMax: number): number {
    this.ensure(FIXED_BYTES_MAX + lengthMax);
    return this.length + VALUE_HEADER_BYTES;
  }

  /** The bytes of a VALUE are where roomForValue said. */
  valueIsThere(length: number): void {
    this.bytes[this.length] = Status.VALUE;
    this.length = writeU32(this.bytes, this.length + 1, length) + length;
  }

  /** META_VALUE with room for its bytes; `ttlMs` is Infinity without expiry. */
  metaValue(version: number, ttlMs: number, length: number): number {
    this.ensure(FIXED_BYTES_MAX + length);
    this.bytes[this.length] = Status.META_VALUE;
    const at = this.meta(this.length + 1, version, ttlMs, length);
    this.length = at + length;
    return at;
  }

  /** Says of the META_VALUE that begins at `start` that its value may be old. */
  markStale(start: number): void {
    this.bytes[start + META_STALE_AT]! |= META_STALE;
  }

  /** META of an entry. */
  info(version: number, ttlMs: number, length: number): void {
    this.ensure(FIXED_BYTES_MAX);
    this.bytes[this.length] = Status.META;
    this.length = this.meta(this.length + 1, version, ttlMs, length);
  }

  /** CURRENT: the version that the client holds is the entry's; `ttlMs` is Infinity without expiry. */
  current(ttlMs: number): void {
    this.ensure(FIXED_BYTES_MAX);
    this.bytes[this.length] = Status.CURRENT;
    this.length = this.ttl(this.length + 1, ttlMs);
  }

  leased(token: number, leftMs: number): void {
    this.ensure(FIXED_BYTES_MAX);
    this.bytes[this.length] = Status.LEASED;
    this.length = writeU32(this.bytes, writeU64(this.bytes, this.length + 1, token), leftMs);
  }

  /** @param ticket 0 where nothing will follow */
  pending(ticket: number, leftMs: number): void {
    this.ensure(FIXED_BYTES_MAX);
    this.bytes[this.length] = Status.PENDING;
    this.length = writeU32(this.bytes, writeU32(this.bytes, this.length + 1, ticket), leftMs);
  }

  /** Makes the META_VALUE that begins at `start`, and ends here, a HIT_LEASED with this token. */
  hitLeased(start: number, token: number): void {
    this.ensure(8);
    this.bytes.copyWithin(start + 9, start + 1, this.length);
    this.bytes[start] = Status.HIT_LEASED;
    writeU64(this.bytes, start + 1, token);
    this.length += 8;
  }

  /** Makes the META_VALUE that begins at `start`, and ends here, a VALUE. */
  withoutMeta(start: number): void {
    this.bytes.copyWithin(start + 1, start + 17, this.length);
    this.bytes[start] = Status.VALUE;
    this.length -= 16;
  }

  /** The head of a FILLED; one reply has to follow. */
  filled(ticket: number): void {
    this.ensure(FIXED_BYTES_MAX);
    this.bytes[this.length] = Push.FILLED;
    this.length = writeU32(this.bytes, this.length + 1, ticket);
  }

  number(number: bigint): void {
    this.ensure(FIXED_BYTES_MAX);
    this.bytes[this.length] = Status.NUMBER;
    this.length = this.bytes.writeBigInt64LE(number, this.length + 1);
  }

  scanPage(cursor: bigint, keys: readonly Buffer[]): void {
    const keyBytes = keys.reduce((sum, key) => sum + 2 + key.length, 0);
    this.ensure(FIXED_BYTES_MAX + keyBytes);
    this.bytes[this.length] = Status.SCAN_PAGE;
    let at = this.bytes.writeBigUInt64LE(cursor, this.length + 1);
    at = writeU32(this.bytes, at, keys.length);
    for (const key of keys) {
      at = this.bytes.writeUInt16LE(key.length, at);
      at += key.copy(this.bytes, at);
    }
    this.length = at;
  }

  error(status: Status, message: string): void {
    if (status < STATUS_ERROR_MIN) throw new RangeError(`status ${status} is not an error`);
    this.ensure(FIXED_BYTES_MAX + MESSAGE_BYTES_MAX);
    this.bytes[this.length] = status;
    const written = this.bytes.write(message, this.length + 3, MESSAGE_BYTES_MAX, "utf8");
    this.bytes.writeUInt16LE(written, this.length + 1);
    this.length += 3 + written;
  }

  private meta(at: number, version: number, ttlMs: number, length: number): number {
    at = this.ttl(writeU64(this.bytes, at, version), ttlMs);
    return writeU32(this.bytes, at, length);
  }

  private ttl(at: number, ttlMs: number): number {
    if (ttlMs !== Infinity) return writeU64(this.bytes, at, ttlMs);
    return writeU32(this.bytes, writeU32(this.bytes, at, NO_EXPIRY_WORD), NO_EXPIRY_WORD);
  }

  private ensure(more: number): void {
    if (this.length + more > this.bytes.length) this.grow(this.length + more);
  }

  private grow(needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(larger, 0, 0, this.length);
    this.replace(larger);
  }

  private replace(bytes: Buffer): void {
    this.bytes = bytes;
    this.views.fill(null);
  }
}

function writeU32(bytes: Buffer, at: number, value: number): number {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
  return at + 4;
}

/** A whole number below 2^53. */
function writeU64(bytes: Buffer, at: number, value: number): number {
  writeU32(bytes, at, value >>> 0);
  return writeU32(bytes, at + 4, Math.floor(value / TWO_32));
}
