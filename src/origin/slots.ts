/**
 * The slot of a key, as Redis Cluster defines it: CRC16 (XMODEM) of the key modulo 16384. Where a key has a part in braces that is not
 * empty, only that part counts: the first `{`, and the first `}` behind it.
 *
 * Source: Redis Cluster specification, "Key distribution model" and "Hash tags".
 */

export const SLOTS = 16_384;

const POLYNOMIAL = 0x1021;
const OPEN = "{".charCodeAt(0);
const CLOSE = "}".charCodeAt(0);
const TABLE = crcTable();

/** The slot of the key that lies from start to end in these bytes. */
export function slotOf(bytes: Uint8Array, start: number, end: number): number {
  const open = find(bytes, OPEN, start, end);
  if (open < end) {
    const close = find(bytes, CLOSE, open + 1, end);
    if (close < end && close > open + 1) return crc16(bytes, open + 1, close) % SLOTS;
  }
  return crc16(bytes, start, end) % SLOTS;
}

/** Where the byte is first, or end. */
function find(bytes: Uint8Array, byte: number, start: number, end: number): number {
  let at = start;
  while (at < end && bytes[at] !== byte) at++;
  return at;
}

function crc16(bytes: Uint8Array, start: number, end: number): number {
  let crc = 0;
  for (let at = start; at < end; at++) crc = ((crc << 8) & 0xffff) ^ TABLE[(crc >> 8) ^ bytes[at]!]!;
  return crc;
}

/** What each value of the upper byte does to the rest. */
function crcTable(): Uint16Array {
  const table = new Uint16Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ POLYNOMIAL;
    table[byte] = crc;
  }
  return table;
}
