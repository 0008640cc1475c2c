/** What the protocol's page says about a message, written from that page and not from the server's code. */

export interface Verdict {
  /** Requests that are answered each by one reply. */
  wellFormed: number;
  /** What follows them is MALFORMED: one more reply, and the connection ends. */
  malformed: boolean;
}

const VALUE = 1;
const TTL = 2;
const VERSION = 4;
const TWO_53 = 2n ** 53n;

/** Flags that each op may have beside those it must have. */
const TAKES: Record<number, { must?: number; may?: number }> = {
  1: { may: VERSION | 0x08 | 0x10 },
  2: { must: VALUE, may: TTL | VERSION | 0x08 | 0x10 | 0x20 | 0x40 | 0x80 },
  3: { may: VERSION },
  4: { may: TTL },
  5: { must: VALUE, may: TTL },
  6: { must: VALUE },
  7: {},
  8: { must: VALUE },
  9: {},
  10: { may: VALUE },
  11: {},
  0x10: { may: 0x08 },
  0x11: { may: 0x08 },
  0x12: { may: VALUE | TTL | 0x08 | 0x10 | 0x20 },
  0x13: { must: VERSION },
  0x14: {},
  0x15: { may: TTL },
};

export function verdictOf(message: Buffer): Verdict {
  let wellFormed = 0;
  for (let at = 0; at < message.length; wellFormed++) {
    const next = endOfRequest(message, at);
    if (next === null) return { wellFormed, malformed: true };
    at = next;
  }
  return { wellFormed, malformed: false };
}

/** Where the request that begins at `at` ends, or null. */
function endOfRequest(message: Buffer, at: number): number | null {
  const left = () => message.length - at;
  if (left() < 4) return null;
  const [op, flags, keyLength] = [message[at]!, message[at + 1]!, message.readUInt16LE(at + 2)];
  at += 4;
  let valueLength = 0;
  if (flags & VALUE) {
    if (left() < 4) return null;
    valueLength = message.readUInt32LE(at);
    at += 4;
  }
  for (const field of [TTL, VERSION]) {
    if (!(flags & field)) continue;
    if (left() < 8 || message.readBigUInt64LE(at) >= TWO_53) return null;
    at += 8;
  }
  if (left() < keyLength + valueLength) return null;
  at += keyLength + valueLength;
  const takes = TAKES[op];
  if (takes === undefined) return at;
  const { must = 0, may = 0 } = takes;
  if ((flags & must) !== must || (flags & ~(must | may)) !== 0) return null;
  if (op === 2 && flags & 0x08 && flags & (0x10 | VERSION)) return null;
  if (op === 2 && flags & 0x80 && !(flags & VERSION)) return null;
  if (op === 5 && valueLength !== 8) return null;
  if (op === 0x12 && flags & VALUE && valueLength !== 8) return null;
  if (op === 8 && valueLength !== 0 && valueLength !== 8) return null;
  return at;
}
