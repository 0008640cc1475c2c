/** How evenly families of similar keys spread over 64 shards, a million keys each; and why djb2 is mixed before it is masked. */
import { describe, expect, test } from "bun:test";
import { HashedKey, hashSeedOf, shardOf } from "../../src/store/hash";

const SHARDS = 64;
const KEYS = 1_000_000;
/** The fullest shard has at most this many times the mean. */
const WORST_MAX = 1.1;

const FAMILIES: Record<string, (i: number) => string> = {
  "sequential numbers": (i) => String(i),
  "a common prefix": (i) => `https://cdn.example.org/assets/images/thumbnails/${i}.webp`,
  "padded numbers": (i) => `user:${String(i).padStart(12, "0")}:profile`,
  "one place differs": (i) => `session-${i.toString(16).padStart(5, "0")}-0000-0000-000000000000`,
  "multiples of 64": (i) => `block:${i * 64}`,
  "counters in base 33, which djb2 counts in": (i) => `k${i.toString(33).padStart(6, "0")}`,
};

function worstOf(keyAt: (i: number) => string, shardOfHash: (shardHash: number) => number): number {
  const key = new HashedKey(hashSeedOf(1, 2));
  const bytes = Buffer.alloc(256);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const counts = new Uint32Array(SHARDS);
  for (let i = 0; i < KEYS; i++) {
    key.aim(bytes, view, 0, bytes.write(keyAt(i), "latin1"));
    counts[shardOfHash(key.shardHash)]! += 1;
  }
  return Math.max(...counts) / (KEYS / SHARDS);
}

describe("the fullest of 64 shards holds at most 1.1 times the mean", () => {
  for (const [name, keyAt] of Object.entries(FAMILIES)) {
    test(name, () => {
      expect(worstOf(keyAt, (hash) => shardOf(hash, SHARDS - 1))).toBeLessThan(WORST_MAX);
    });
  }

  test("the low bits of djb2 alone do not: masked unmixed, a family of these is far off", () => {
    const worst = Object.values(FAMILIES).map((keyAt) => worstOf(keyAt, (hash) => hash & (SHARDS - 1)));
    expect(Math.max(...worst)).toBeGreaterThan(WORST_MAX);
  });
});
