/** Replies of wire v1 as bytes, and requests read from theirs. */

export interface SeenRequest {
  op: number;
  key: string;
}

export function value(text: string): Buffer {
  const bytes = Buffer.from(text);
  const head = Buffer.alloc(5, 1);
  head.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
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

export function requestsIn(message: Uint8Array): SeenRequest[] {
  const bytes = Buffer.from(message);
  const requests: SeenRequest[] = [];
  for (let at = 0; at < bytes.length;) {
    const flags = bytes[at + 1]!;
    const valueBytes = flags & 1 ? bytes.readUInt32LE(at + 4) : 0;
    const keyStart = at + 4 + (flags & 1 ? 4 : 0) + (flags & 2 ? 8 : 0) + (flags & 4 ? 8 : 0);
    const keyEnd = keyStart + bytes.readUInt16LE(at + 2);
    requests.push({ op: bytes[at]!, key: bytes.toString("utf8", keyStart, keyEnd) });
    at = keyEnd + valueBytes;
  }
  return requests;
}
