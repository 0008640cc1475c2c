/**
 * A key's two hashes, computed in one pass over its bytes.
 *
 * - djb2 (h = h · 33 + byte, from 5381) chooses the shard. Its low bits alone spread badly: 33 is 1 modulo 32, so the
 *   low five bits are little more than the sum of the bytes. So shardOf mixes the word before it masks it.
 * - HalfSipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012; the 32-bit variant) under a
 *   random seed gives slot and tag in the table. It is keyed, so nobody outside can choose keys that meet there.
 */

/** Four words of HalfSipHash state that every thread of a server shares. */
export type HashSeed = readonly [number, number, number, number];

const DJB2_START = 5381;
const POW_33_2 = 33 ** 2;
const POW_33_3 = 33 ** 3;
const POW_33_4 = 33 ** 4;

/** HalfSipHash's initial state for a key of two random words. */
export function hashSeedOf(low: number, high: number): HashSeed {
  return [low | 0, high | 0, low ^ 0x6c796765, high ^ 0x74656462];
}

/**
 * A key where it lies in somebody's buffer, with its hashes. One object is aimed at key after key, so that a
 * request allocates nothing.
 */
export class HashedKey {
  bytes: Buffer;
  view: DataView;
  start = 0;
  end = 0;
  /** djb2 of the bytes, unmixed. */
  shardHash = 0;
  /** The seeded hash: slot and tag. */
  hash = 0;
  /** Slot of the table in which the key was seen a moment ago, or -1. */
  slotHint = -1;

  private readonly startColumn = new Int32Array(1);
  private readonly endColumn = new Int32Array(1);
  private readonly shardHashColumn = new Int32Array(1);
  private readonly hashColumn = new Int32Array(1);

  constructor(private readonly seed: HashSeed) {
    this.bytes = Buffer.alloc(0);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Points at bytes[start, end); `view` shows the same bytes as `bytes`. */
  aim(bytes: Buffer, view: DataView, start: number, end: number): void {
    this.bytes = bytes;
    this.view = view;
    this.start = start;
    this.end = end;
    this.slotHint = -1;
    this.startColumn[0] = start;
    this.endColumn[0] = end;
    hashKeys(this.seed, view, this.startColumn, this.endColumn, 1, this.shardHashColumn, this.hashColumn);
    this.shardHash = this.shardHashColumn[0]!;
    this.hash = this.hashColumn[0]!;
  }

  /** The same for bytes whose hashes are known. */
  aimHashed(
    bytes: Buffer,
    view: DataView,
    start: number,
    end: number,
    shardHash: number,
    hash: number,
    slotHint: number,
  ): void {
    this.bytes = bytes;
    this.view = view;
    this.start = start;
    this.end = end;
    this.shardHash = shardHash;
    this.hash = hash;
    this.slotHint = slotHint;
  }
}

/**
 * Hashes many keys of one message, key `row` of them at starts[row] to ends[row] in `view`.
 * @param shardHashes djb2 of each, unmixed
 * @param hashes the seeded hash of each: slot and tag
 */
export function hashKeys(
  seed: HashSeed,
  view: DataView,
  starts: Int32Array,
  ends: Int32Array,
  count: number,
  shardHashes: Int32Array,
  hashes: Int32Array,
): void {
  const seed0 = seed[0];
  const seed1 = seed[1];
  const seed2 = seed[2];
  const seed3 = seed[3];
  for (let row = 0; row < count; row++) {
    let djb2 = DJB2_START;
    let v0 = seed0;
    let v1 = seed1;
    let v2 = seed2;
    let v3 = seed3;
    let at = starts[row]!;
    const end = ends[row]!;
    for (const last = end - 3; at < last; at += 4) {
      const word = view.getInt32(at, true);
      djb2 =
        (Math.imul(djb2, POW_33_4) +
          Math.imul(word & 255, POW_33_3) +
          Math.imul((word >>> 8) & 255, POW_33_2) +
          Math.imul((word >>> 16) & 255, 33) +
          (word >>> 24)) |
        0;
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
    }
    let tail = (end - starts[row]!) << 24;
    for (let shift = 0; at < end; at++, shift += 8) {
      const byte = view.getUint8(at);
      djb2 = (Math.imul(djb2, 33) + byte) | 0;
      tail |= byte << shift;
    }
    v3 ^= tail;
    // One round for the last word, three to finish; the word and the 255 go in after the first.
    for (let round = 0; round < 4; round++) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      if (round === 0) {
        v0 ^= tail;
        v2 ^= 255;
      }
    }
    shardHashes[row] = djb2;
    hashes[row] = v1 ^ v3;
  }
}

/** Shard for a djb2 hash: mixed (murmur3's finalizer), then masked. */
export function shardOf(shardHash: number, shardMask: number): number {
  let mixed = shardHash ^ (shardHash >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) & shardMask;
}
