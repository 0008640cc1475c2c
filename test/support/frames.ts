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
  | { status: "CURRENT"; ttlMs: bigint }
  | { status: "LEASED"; token: bigint; leftMs: number }
  | { status: "PENDING"; ticket: number; leftMs: number }
  | { status: "HIT_LEASED"; token: bigint; version: bigint; ttlMs: bigint; value: Buffer }
  | { status: "ERROR"; code: number; message: string };

export type PushFrame =
  | { push: "CHANGED"; keys: { key: string; version: bigint }[] }
  | { push: "RESET"; reason: number; prefix: string }
  | { push: "FILLED"; ticket: number; reply: Reply };

/** Whether a message is one of pushes. */
export function isPush(message: Buffer): boolean {
  return message.length > 0 && message[0]! >= 0xf0;
}

/** All replies of a message; throws when it does not hold whole replies only. */
export function replies(message: Buffer): Reply[] {
  const { next, isAtEnd } = readerOf(message);
  const found: Reply[] = [];
  while (!isAtEnd()) found.push(next.reply());
  return found;
}

/** All pushes of a message; throws when it does not hold whole pushes only. */
export function pushes(message: Buffer): PushFrame[] {
  const { next, isAtEnd } = readerOf(message);
  const found: PushFrame[] = [];
  while (!isAtEnd()) found.push(next.push());
  return found;
}

function readerOf(message: Buffer) {
  let at = 0;
  const u8 = () => message.readUInt8(at++);
  const u16 = () => message.readUInt16LE((at += 2) - 2);
  const u32 = () => message.readUInt32LE((at += 4) - 4);
  const u64 = () => message.readBigUInt64LE((at += 8) - 8);
  const take = (length: number) => {
    if (at + length > message.length) throw new Error("a reply runs past its message");
    return message.subarray(at, (at += length));
  };
  const reply = (): Reply => {
    const status = u8();
    switch (status) {
      case 0:
        return { status: "OK" };
      case 1:
        return { status: "VALUE", value: take(u32()) };
      case 2:
        return { status: "META_VALUE", version: u64(), ttlMs: u64(), value: take(u32()) };
      case 3:
        return { status: "MISS" };
      case 4:
        return { status: "REFUSED" };
      case 5:
        return { status: "NUMBER", number: message.readBigInt64LE((at += 8) - 8) };
      case 6:
        return { status: "META", version: u64(), ttlMs: u64(), length: u32() };
      case 7:
        return { status: "SCAN_PAGE", cursor: u64(), keys: Array.from({ length: u32() }, () => take(u16())) };
      case 8:
        return { status: "CURRENT", ttlMs: u64() };
      case 0x0a:
        return { status: "LEASED", token: u64(), leftMs: u32() };
      case 0x0b:
        return { status: "PENDING", ticket: u32(), leftMs: u32() };
      case 0x0c:
        return { status: "HIT_LEASED", token: u64(), version: u64(), ttlMs: u64(), value: take(u32()) };
    }
    if (status < 0x80 || status >= 0xf0) throw new Error(`status ${status} is none`);
    return { status: "ERROR", code: status, message: take(u16()).toString() };
  };
  const changed = () => ({ version: u64(), key: take(u16()).toString() });
  const push = (): PushFrame => {
    const kind = u8();
    if (kind === 0xf0) return { push: "CHANGED", keys: Array.from({ length: u16() }, changed) };
    if (kind === 0xf1) return { push: "RESET", reason: u8(), prefix: take(u16()).toString() };
    if (kind === 0xf2) return { push: "FILLED", ticket: u32(), reply: reply() };
    throw new Error(`push ${kind} is none`);
  };
  return { next: { reply, push }, isAtEnd: () => at === message.length };
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
