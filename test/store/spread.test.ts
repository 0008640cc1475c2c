/** How evenly families of similar keys spread over 64 shards, a million keys each, and those of a shard within it. */
import { expect, test } from "bun:test";
import { HashedKey, hashSeedOf, shardOf } from "../../src/store/hash";

const SHARD_BITS = 6;
const SHARDS = 2 ** SHARD_BITS;
const KEYS = 1_000_000;
/** The fullest shard has at most this many times the mean. */
const WORST_MAX = 1.1;
/** Of 32 parts of one shard's keys, some 490 each: four standard deviations above. */
const WORST_WITHIN_MAX = 1.2;

const FAMILIES: Record<string, (i: number) => string> = {
  "sequential numbers": (i) => String(i),
  "a common prefix": (i) => `https://cdn.example.org/assets/images/thumbnails/${i}.webp`,
  "padded numbers": (i) => `user:${String(i).padStart(12, "0")}:profile`,
  "one place differs": (i) => `session-${i.toString(16).padStart(5, "0")}-0000-0000-000000000000`,
  "multiples of 64": (i) => `block:${i * 64}`,
  "counters in base 33": (i) => `k${i.toString(33).padStart(6, "0")}`,
};

/** The most that any of `places` has, as times the mean. */
function worstOf(hashes: Int32Array, places: number, placeOf: (hash: number) => number): number {
  const counts = new Uint32Array(places);
  for (const hash of hashes) counts[placeOf(hash)]! += 1;
  return Math.max(...counts) / (hashes.length / places);
}

function hashesOf(keyAt: (i: number) => string): Int32Array {
  const key = new HashedKey(hashSeedOf(1, 2));
  const bytes = Buffer.alloc(256);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Int32Array.from({ length: KEYS }, (_, i) => {
    key.aim(bytes, view, 0, bytes.write(keyAt(i), "latin1"));
    return key.hash;
  });
}

for (const [name, keyAt] of Object.entries(FAMILIES)) {
  test(`${name}: the fullest of 64 shards holds at most 1.1 times the mean`, () => {
    const hashes = hashesOf(keyAt);
    expect(worstOf(hashes, SHARDS, (hash) => shardOf(hash, SHARD_BITS))).toBeLessThan(WORST_MAX);
    // Table and ghost go by the hash's lower and upper bits: neither is to know of the shard.
    const ofOne = hashes.filter((hash) => shardOf(hash, SHARD_BITS) === 5);
    expect(worstOf(ofOne, 32, (hash) => hash & 31)).toBeLessThan(WORST_WITHIN_MAX);
    expect(worstOf(ofOne, 32, (hash) => (hash >>> 16) & 31)).toBeLessThan(WORST_WITHIN_MAX);
    expect(worstOf(ofOne, 32, (hash) => hash >>> 27)).toBeLessThan(WORST_WITHIN_MAX);
  });
}
