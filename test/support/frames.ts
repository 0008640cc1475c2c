/** Wire v1 written from the protocol's page, apart from the server's own codec: requests as bytes, replies as objects. */

export interface Fields {
  op: number;
  flags?: number;
  key?: string | Buffer;
  value?: Buffer;
  ttlMs?: bigint;
  version?: bigint;
}

/** One request; the field flags follow from what is given. */
export function request({ op, flags = 0, key = "", value, ttlMs, version }: Fields): Buffer {
  const keyBytes = Buffer.from(key as string);
  const parts: Buffer[] = [];
  if (value !== undefined) {
    flags |= 1;
    parts.push(u32(value.length));
  }
  if (ttlMs !== undefined) {
    flags |= 2;
    parts.push(u64(ttlMs));
  }
  if (version !== undefined) {
    flags |= 4;
    parts.push(u64(version));
  }
  const head = Buffer.from([op, flags, keyBytes.length & 255, keyBytes.length >> 8]);
  return Buffer.concat([head, ...parts, keyBytes, value ?? Buffer.alloc(0)]);
}

export type Reply =
  | { status: "OK" | "MISS" | "REFUSED" }
  | { status: "VALUE"; value: Buffer }
  | { status: "META_VALUE"; version: bigint; ttlMs: bigint; value: Buffer }
  | { status: "NUMBER"; number: bigint }
  | { status: "META"; version: bigint; ttlMs: bigint; length: number }
  | { status: "SCAN_PAGE"; cursor: bigint; keys: Buffer[] }
  | { status: "ERROR"; code: number; message: string };

/** All replies of a message; throws when it does not hold whole replies only. */
export function replies(message: Buffer): Reply[] {
  const found: Reply[] = [];
  let at = 0;
  const u8 = () => message.readUInt8(at++);
  const u16 = () => message.readUInt16LE((at += 2) - 2);
  const u32 = () => message.readUInt32LE((at += 4) - 4);
  const u64 = () => message.readBigUInt64LE((at += 8) - 8);
  const take = (length: number) => {
    if (at + length > message.length) throw new Error("a reply runs past its message");
    return message.subarray(at, (at += length));
  };
  while (at < message.length) {
    const status = u8();
    if (status === 0) found.push({ status: "OK" });
    else if (status === 1) found.push({ status: "VALUE", value: take(u32()) });
    else if (status === 2) {
      const [version, ttlMs] = [u64(), u64()];
      found.push({ status: "META_VALUE", version, ttlMs, value: take(u32()) });
    } else if (status === 3) found.push({ status: "MISS" });
    else if (status === 4) found.push({ status: "REFUSED" });
    else if (status === 5) found.push({ status: "NUMBER", number: message.readBigInt64LE((at += 8) - 8) });
    else if (status === 6) found.push({ status: "META", version: u64(), ttlMs: u64(), length: u32() });
    else if (status === 7) {
      const cursor = u64();
      found.push({ status: "SCAN_PAGE", cursor, keys: Array.from({ length: u32() }, () => take(u16())) });
    } else if (status >= 0x80 && status < 0xf0)
      found.push({ status: "ERROR", code: status, message: take(u16()).toString() });
    else throw new Error(`status ${status} is none`);
  }
  return found;
}

function u32(n: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(n);
  return bytes;
}

function u64(n: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(n);
  return bytes;
}
