/**
 * A key's hash: HalfSipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012; the 32-bit variant) under
 * a random seed. It chooses the shard, and slot and tag in the shard's table. It is keyed, so nobody outside can compute keys
 * that meet in a slot or in a shard. (SECURITY.md: who may find out which do.)
 */

/** Four words of HalfSipHash state that every thread of a server shares. */
export type HashSeed = readonly [number, number, number, number];

/** Odd and without pattern (from murmur3's finalizer): the upper bits of its product depend on all bits of a hash. */
const SHARD_FACTOR = 0x85ebca6b;

/** HalfSipHash's initial state for a key of two random words. */
export function hashSeedOf(low: number, high: number): HashSeed {
  return [low | 0, high | 0, low ^ 0x6c796765, high ^ 0x74656462];
}

/** Keys of one message, row by row: keyStarts[row] to keyEnds[row] of its bytes. */
export interface KeyRows {
  readonly bytes: Buffer;
  /** Shows the same bytes. */
  readonly view: DataView;
  readonly keyStarts: Int32Array;
  readonly keyEnds: Int32Array;
  readonly count: number;
}

const EMPTY = Buffer.alloc(0);
const EMPTY_VIEW = new DataView(EMPTY.buffer, EMPTY.byteOffset, 0);

/** The rows of a single key: one way of hashing serves all, and is compiled once. */
const single: { -readonly [Field in keyof KeyRows]: KeyRows[Field] } = {
  bytes: EMPTY,
  view: EMPTY_VIEW,
  keyStarts: new Int32Array(1),
  keyEnds: new Int32Array(1),
  count: 1,
};
const singleHash = new Int32Array(1);

/**
 * A key where it lies in somebody's buffer, with its hash. One object is aimed at key after key, so that a
 * request allocates nothing; it is handed down from where the bytes came in to where they are compared.
 */
export class HashedKey {
  bytes: Buffer = EMPTY;
  view: DataView = EMPTY_VIEW;
  start = 0;
  end = 0;
  hash = 0;
  /** Slot of the table in which the key was seen a moment ago, or -1. */
  slotHint = -1;

  constructor(private readonly seed: HashSeed) {}

  get length(): number {
    return this.end - this.start;
  }

  /** Points at bytes[start, end); `view` shows the same bytes as `bytes`. */
  aim(bytes: Buffer, view: DataView, start: number, end: number): void {
    this.bytes = bytes;
    this.view = view;
    this.start = start;
    this.end = end;
    this.slotHint = -1;
    single.view = view;
    single.keyStarts[0] = start;
    single.keyEnds[0] = end;
    hashKeys(this.seed, single, singleHash);
    this.hash = singleHash[0]!;
  }

  /** Points at the key of a row, whose hash is known. */
  aimAtRow(rows: KeyRows, row: number, hash: number, slotHint: number): void {
    this.bytes = rows.bytes;
    this.view = rows.view;
    this.start = rows.keyStarts[row]!;
    this.end = rows.keyEnds[row]!;
    this.hash = hash;
    this.slotHint = slotHint;
  }
}

/** Hashes the keys of all rows, each to hashes[row]. */
export function hashKeys(seed: HashSeed, rows: KeyRows, hashes: Int32Array): void {
  const { view, keyStarts: starts, keyEnds: ends, count } = rows;
  const seed0 = seed[0];
  const seed1 = seed[1];
  const seed2 = seed[2];
  const seed3 = seed[3];
  for (let row = 0; row < count; row++) {
    let v0 = seed0;
    let v1 = seed1;
    let v2 = seed2;
    let v3 = seed3;
    let at = starts[row]!;
    const end = ends[row]!;
    for (const last = end - 3; at < last; at += 4) {
      const word = view.getInt32(at, true);
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
      tail |= view.getUint8(at) << shift;
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
    hashes[row] = v1 ^ v3;
  }
}

/**
 * The shard of a hash: by the upper bits of a product, so that the keys of one shard differ in the hash's own lower bits,
 * which the table goes by, and in its upper ones, which the ghost goes by, as much as any keys do.
 * @param shardBits log2 of the number of shards
 */
export function shardOf(hash: number, shardBits: number): number {
  return (Math.imul(hash, SHARD_FACTOR) >>> 1) >>> (31 - shardBits);
}
