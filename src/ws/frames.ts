/**
 * Frames of a WebSocket as its server reads and writes them (RFC 6455, 5).
 *
 *    0               1               2               3
 *   +-+-+-+-+-------+-+-------------+-------------------------------+
 *   |F|R|R|R| opcode|M| length (7)  | length (16 or 64, if 126, 127)|
 *   +-+-+-+-+-------+-+-------------+-------------------------------+
 *   | masking key (from the client)                 | payload …
 *
 * No extension is negotiated, so the R bits are 0; every frame of a client is masked, none of a server is.
 */

export const Opcode = { CONTINUATION: 0, TEXT: 1, BINARY: 2, CLOSE: 8, PING: 9, PONG: 10 } as const;

const FIN = 0x80;
const RESERVED = 0x70;
const OPCODE = 0x0f;
const MASKED = 0x80;
const LENGTH = 0x7f;
const LENGTH_16 = 126;
const LENGTH_64 = 127;
const CONTROL_BYTES_MAX = 125;
const TWO_32 = 2 ** 32;
/** The longest header of a server's frame. */
export const HEADER_BYTES_MAX = 10;

export const Seen = { HEADER: 0, MORE: 1, BROKEN: 2 } as const;
export type Seen = (typeof Seen)[keyof typeof Seen];

/** The header of the frame that comes in; one for each thread. */
export class FrameHeader {
  isLast = false;
  opcode = 0;
  /** Bytes of the payload. */
  length = 0;
  /** The masking key as a word, first byte lowest. */
  mask = 0;
  /** Where the payload begins. */
  end = 0;
  /** What is wrong with it. */
  problem = "";

  /** Reads the header at bytes[at]. */
  read(bytes: Buffer, at: number, end: number): Seen {
    if (end - at < 2) return Seen.MORE;
    const first = bytes[at]!;
    const second = bytes[at + 1]!;
    this.isLast = (first & FIN) !== 0;
    this.opcode = first & OPCODE;
    this.length = second & LENGTH;
    if ((first & RESERVED) !== 0) return this.broken("reserved bits are set");
    if ((second & MASKED) === 0) return this.broken("a client's frames must be masked");
    if (this.isControl) {
      if (!this.isLast) return this.broken("a control frame in fragments");
      if (this.length > CONTROL_BYTES_MAX) return this.broken("a control frame of more than 125 bytes");
    }
    return this.readLong(bytes, at + 2, end);
  }

  get isControl(): boolean {
    return this.opcode >= Opcode.CLOSE;
  }

  /** Length, where it is longer than seven bits, and mask. */
  private readLong(bytes: Buffer, at: number, end: number): Seen {
    const more = this.length === LENGTH_16 ? 2 : this.length === LENGTH_64 ? 8 : 0;
    if (end - at < more + 4) return Seen.MORE;
    if (more === 2) this.length = bytes[at]! * 256 + bytes[at + 1]!;
    else if (more === 8) this.length = bytes.readUInt32BE(at) * TWO_32 + bytes.readUInt32BE(at + 4);
    at += more;
    this.mask = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    this.end = at + 4;
    return Seen.HEADER;
  }

  private broken(problem: string): Seen {
    this.problem = problem;
    return Seen.BROKEN;
  }
}

/** Takes the mask off words that begin with a payload's first byte; up to three bytes behind the payload change too. */
export function unmask(words: Int32Array, length: number, mask: number): void {
  const count = (length + 3) >> 2;
  for (let i = 0; i < count; i++) words[i]! ^= mask;
}

/** The same for bytes [start, end) of a payload that begins at the first byte of `payload`, which is one of a word. */
export function unmaskPart(payload: Buffer, start: number, end: number, mask: number): void {
  let at = start;
  for (; at < end && (at & 3) !== 0; at++) payload[at]! ^= mask >>> ((at & 3) << 3);
  const words = (end - at) >> 2;
  if (words > 0) unmask(new Int32Array(payload.buffer, payload.byteOffset + at, words), words << 2, mask);
  for (at += words << 2; at < end; at++) payload[at]! ^= mask >>> ((at & 3) << 3);
}

/** Writes the header of a server's frame that is no fragment; returns where it ends. */
export function writeHeader(bytes: Buffer, at: number, opcode: number, length: number): number {
  bytes[at] = FIN | opcode;
  if (length < LENGTH_16) {
    bytes[at + 1] = length;
    return at + 2;
  }
  if (length <= 0xffff) {
    bytes[at + 1] = LENGTH_16;
    return bytes.writeUInt16BE(length, at + 2);
  }
  bytes[at + 1] = LENGTH_64;
  bytes.writeUInt32BE(Math.floor(length / TWO_32), at + 2);
  return bytes.writeUInt32BE(length >>> 0, at + 6);
}
