/** Replies and pushes of wire v1 as bytes, and requests read from theirs. */

export interface SeenRequest {
  op: number;
  key: string;
}

/** A request with everything in it; what is not in it is undefined. */
export interface WholeRequest extends SeenRequest {
  /** Of the op alone. */
  flags: number;
  ttlMs: number | undefined;
  version: number | undefined;
  value: Buffer | undefined;
}

export function value(text: string): Buffer {
  return Buffer.concat([Buffer.of(1), sized(4, Buffer.from(text))]);
}

/** `ttlMs` is null without expiry. */
export function metaValue(text: string, version: number, ttlMs: number | null = null): Buffer {
  return Buffer.concat([Buffer.of(2), u64(version), ttl(ttlMs), sized(4, Buffer.from(text))]);
}

export function number(amount: bigint): Buffer {
  const bytes = Buffer.alloc(9, 5);
  bytes.writeBigInt64LE(amount, 1);
  return bytes;
}

export function ok(): Buffer {
  return Buffer.of(0);
}

export function miss(): Buffer {
  return Buffer.of(3);
}

export function refused(): Buffer {
  return Buffer.of(4);
}

export function current(ttlMs: number | null = null): Buffer {
  return Buffer.concat([Buffer.of(8), ttl(ttlMs)]);
}

export function leased(token: number, leftMs = 10_000): Buffer {
  return Buffer.concat([Buffer.of(0x0a), u64(token), uint(4, leftMs)]);
}

export function pending(ticket: number, leftMs = 10_000): Buffer {
  return Buffer.concat([Buffer.of(0x0b), uint(4, ticket), uint(4, leftMs)]);
}

export function hitLeased(token: number, meta: Buffer): Buffer {
  return Buffer.concat([Buffer.of(0x0c), u64(token), meta.subarray(1)]);
}

/** An error reply by its status. */
export function failure(status: number, message = "no"): Buffer {
  return Buffer.concat([Buffer.of(status), sized(2, Buffer.from(message))]);
}

export function changed(...changes: [key: string | Buffer, version: number][]): Buffer {
  const parts = changes.flatMap(([key, version]) => [u64(version), sized(2, Buffer.from(key as string))]);
  return Buffer.concat([Buffer.of(0xf0), uint(2, changes.length), ...parts]);
}

export function reset(prefix: string | Buffer = "", reason = 1): Buffer {
  return Buffer.concat([Buffer.of(0xf1, reason), sized(2, Buffer.from(prefix as string))]);
}

export function filled(ticket: number, reply: Buffer): Buffer {
  return Buffer.concat([Buffer.of(0xf2), uint(4, ticket), reply]);
}

export function requestsIn(message: Uint8Array): SeenRequest[] {
  return wholeRequestsIn(message).map(({ op, key }) => ({ op, key }));
}

export function wholeRequestsIn(message: Uint8Array): WholeRequest[] {
  const bytes = Buffer.from(message);
  const requests: WholeRequest[] = [];
  for (let at = 0; at < bytes.length;) {
    const op = bytes[at]!;
    const flags = bytes[at + 1]!;
    const keyBytes = bytes.readUInt16LE(at + 2);
    at += 4;
    const next = (field: number, size: number) => {
      if ((flags & field) === 0) return undefined;
      at += size;
      return size === 4 ? bytes.readUInt32LE(at - 4) : Number(bytes.readBigUInt64LE(at - 8));
    };
    const valueBytes = next(1, 4);
    const ttlMs = next(2, 8);
    const version = next(4, 8);
    const key = bytes.toString("utf8", at, at + keyBytes);
    at += keyBytes;
    const value = valueBytes === undefined ? undefined : bytes.subarray(at, at + valueBytes);
    at += valueBytes ?? 0;
    requests.push({ op, flags: flags & 0xf8, key, ttlMs, version, value });
  }
  return requests;
}

function uint(size: number, amount: number): Buffer {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntLE(amount, 0, size);
  return bytes;
}

function u64(amount: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(amount));
  return bytes;
}

function ttl(ttlMs: number | null): Buffer {
  return ttlMs === null ? Buffer.alloc(8, 0xff) : u64(ttlMs);
}

function sized(lengthBytes: number, bytes: Buffer): Buffer {
  return Buffer.concat([uint(lengthBytes, bytes.length), bytes]);
}
