/** Wire v1 for clients: requests to bytes, messages to replies. Plain Uint8Arrays, so that it runs anywhere. */
import { Field, PUSH_MIN, REQUEST_HEADER_BYTES, Status, STATUS_ERROR_MIN } from "../protocol/wire";
import { utf8 } from "./check";
import { CacheError, ProtocolFault, serverCode } from "./errors";

/** keyLen is a u16. */
const KEY_BYTES_MAX = 0xffff;
const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Bytes as UTF-8; a byte order mark is text like any other. */
export function textOf(bytes: Uint8Array): string {
  return UTF8.decode(bytes);
}

/** A request whose arguments are checked. */
export interface RequestFields {
  op: number;
  flags?: number;
  key?: string;
  value?: Uint8Array;
  ttlMs?: number | undefined;
  version?: number | undefined;
}

/** One request's bytes. Throws when key or all of it is too large for any message. */
export function encodeRequest(fields: RequestFields, messageBytesMax: number): Uint8Array {
  const { op, flags = 0, key = "", value, ttlMs, version } = fields;
  const keyBytes = utf8("key", key);
  if (keyBytes.length > KEY_BYTES_MAX)
    throw new CacheError("bad-key", `key: ${keyBytes.length} bytes, at most ${KEY_BYTES_MAX}`);
  const numbers = [ttlMs, version].filter((number) => number !== undefined);
  const length =
    REQUEST_HEADER_BYTES +
    (value === undefined ? 0 : 4 + value.length) +
    numbers.length * 8 +
    keyBytes.length;
  if (length > messageBytesMax) throw tooLarge(length, messageBytesMax);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  bytes[0] = op;
  bytes[1] =
    flags |
    (value === undefined ? 0 : Field.VALUE) |
    (ttlMs === undefined ? 0 : Field.TTL) |
    (version === undefined ? 0 : Field.VERSION);
  view.setUint16(2, keyBytes.length, true);
  let at = REQUEST_HEADER_BYTES;
  if (value !== undefined) {
    view.setUint32(at, value.length, true);
    at += 4;
    bytes.set(value, length - value.length);
  }
  for (const number of numbers) {
    view.setBigUint64(at, BigInt(number), true);
    at += 8;
  }
  bytes.set(keyBytes, at);
  return bytes;
}

export function u64Bytes(number: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(number), true);
  return bytes;
}

export function tooLarge(bytes: number, messageBytesMax: number): CacheError {
  return new CacheError(
    "value-too-large",
    `the request has ${bytes} bytes, a message at most ${messageBytesMax} (messageBytesMax, the server's --max-message)`,
  );
}

export type Reply =
  | { status: typeof Status.OK | typeof Status.MISS | typeof Status.REFUSED }
  | { status: typeof Status.VALUE; value: Uint8Array }
  | {
      status: typeof Status.META_VALUE;
      version: number;
      /** It may be old. */
      isStale: boolean;
      ttlMs: number | null;
      value: Uint8Array;
    }
  | { status: typeof Status.NUMBER; number: bigint }
  | { status: typeof Status.META; version: number; ttlMs: number | null; length: number }
  | { status: typeof Status.SCAN_PAGE; cursor: Uint8Array; keys: Uint8Array[] }
  | { status: typeof Status.CURRENT; ttlMs: number | null }
  | { status: typeof Status.LEASED; token: number; leftMs: number }
  | { status: typeof Status.PENDING; ticket: number; leftMs: number }
  | {
      status: typeof Status.HIT_LEASED;
      token: number;
      version: number;
      ttlMs: number | null;
      value: Uint8Array;
    }
  | { status: -1; error: CacheError };

/** Reads the replies of one message, one after the other; throws a ProtocolFault when they are none. */
export class ReplyReader {
  private readonly bytes: Uint8Array;
  private at = 0;

  constructor(private readonly message: ArrayBuffer) {
    this.bytes = new Uint8Array(message);
  }

  get isAtEnd(): boolean {
    return this.at === this.bytes.length;
  }

  /** The next reply, or null at the message's end. Values are copies: they outlive the message. */
  next(): Reply | null {
    if (this.isAtEnd) return null;
    const status = this.uint(1);
    switch (status) {
      case Status.OK:
      case Status.MISS:
      case Status.REFUSED:
        return { status };
      case Status.VALUE:
        return { status, value: this.take(this.uint(4)) };
      case Status.META_VALUE:
        // Versions need no more than 7 bytes; the eighth has a flag.
        return {
          ...{ status, version: this.uint(7), isStale: this.uint(1) > 0, ttlMs: this.ttl() },
          value: this.take(this.uint(4)),
        };
      case Status.NUMBER:
        return { status, number: new DataView(this.message, this.move(8), 8).getBigInt64(0, true) };
      case Status.META:
        return { status, version: this.uint(8), ttlMs: this.ttl(), length: this.uint(4) };
      case Status.SCAN_PAGE: {
        const cursor = this.take(8);
        const keys: Uint8Array[] = [];
        for (let count = this.uint(4); count > 0; count--) keys.push(this.take(this.uint(2)));
        return { status, cursor, keys };
      }
      case Status.CURRENT:
        return { status, ttlMs: this.ttl() };
      case Status.LEASED:
        return { status, token: this.uint(8), leftMs: this.uint(4) };
      case Status.PENDING:
        return { status, ticket: this.uint(4), leftMs: this.uint(4) };
      case Status.HIT_LEASED: {
        const token = this.uint(8);
        const version = this.uint(8);
        return { status, token, version, ttlMs: this.ttl(), value: this.take(this.uint(4)) };
      }
    }
    if (status < STATUS_ERROR_MIN || status >= PUSH_MIN)
      throw new ProtocolFault(`reply of unknown status ${status}`);
    const text = textOf(this.take(this.uint(2)));
    return { status: -1, error: new CacheError(serverCode(status), text) };
  }

  /** Little-endian; exact up to 2^53-1, and versions and times are no larger. */
  uint(size: number): number {
    const at = this.move(size);
    let number = 0;
    for (let i = at + size; i > at;) number = number * 256 + this.bytes[--i]!;
    return number;
  }

  take(length: number): Uint8Array {
    const at = this.move(length);
    return this.bytes.slice(at, at + length);
  }

  private ttl(): number | null {
    const ttlMs = this.uint(8);
    return ttlMs > Number.MAX_SAFE_INTEGER ? null : ttlMs;
  }

  /** Moves on; returns from where. */
  private move(length: number): number {
    const at = this.at;
    this.at += length;
    if (this.at > this.bytes.length) throw new ProtocolFault("a reply runs past its message");
    return at;
  }
}

/** A reply that does not answer what was asked: the stream of replies is not what it should be. */
export function unexpected(reply: Reply): ProtocolFault {
  return new ProtocolFault(`a reply of status ${reply.status} does not answer this request`);
}

/** Of a PING. */
export function isPong(reply: Reply): void {
  if (reply.status !== Status.VALUE) throw unexpected(reply);
}

/** Of a request that is answered with nothing but OK. */
export function isOk(reply: Reply): void {
  if (reply.status !== Status.OK) throw unexpected(reply);
}
