/** The ghost: remembers what was dropped for as long as its window, forgets what it was asked for, and loses the oldest first. */
import { describe, expect, test } from "bun:test";
import { BUCKET_BYTES } from "../../src/store/layout";
import type { ShardParts } from "../../src/store/parts";
import { freshParts } from "../support/parts";
import { Random } from "../support/random";

const WINDOW_BYTES = 256 * 1000;
const SLOTS_PER_BUCKET = BUCKET_BYTES / 4;

function grown(pages: number, pageBytes = 512): ShardParts {
  const parts = freshParts(256 << 10, pageBytes);
  for (let i = 0; i < pages; i++) parts.ghost.grow();
  return parts;
}

/** Hashes of one bucket, with different fingerprints. */
const inOneBucket = (i: number) => ((i + 1) << 16) | 5;

describe("remembering", () => {
  test("what was dropped is known once, and what was not is not", () => {
    const { ghost } = grown(4);
    const random = new Random(1);
    const dropped = Array.from({ length: 60 }, () => random.below(2 ** 32) | 0);
    const others = Array.from({ length: 60 }, () => random.below(2 ** 32) | 0);
    for (const hash of dropped) ghost.add(hash, 100, WINDOW_BYTES);
    expect(others.map((hash) => ghost.take(hash))).toEqual(others.map(() => false));
    expect(dropped.map((hash) => ghost.take(hash))).toEqual(dropped.map(() => true));
    expect(dropped.map((hash) => ghost.take(hash))).toEqual(dropped.map(() => false));
  });

  test("without pages nothing is, and nothing goes wrong", () => {
    const { ghost } = freshParts();
    ghost.add(1 << 20, 100, WINDOW_BYTES);
    expect(ghost.take(1 << 20)).toBe(false);
  });

  test("hashes whose fingerprint is 0 are remembered like any other", () => {
    const { ghost } = grown(1);
    for (const hash of [0, 5, 0xffff]) {
      ghost.add(hash, 100, WINDOW_BYTES);
      expect(ghost.take(hash)).toBe(true);
    }
  });
});

describe("ageing", () => {
  test("what was dropped is remembered for as many dropped bytes as the window has, and no longer", () => {
    // A tick is 1/256 of the window: so exact is an age.
    const tick = WINDOW_BYTES / 256;
    for (const [since, remembered] of [
      [0, true],
      [WINDOW_BYTES / 2, true],
      [WINDOW_BYTES - tick, true],
      [WINDOW_BYTES, false],
      [WINDOW_BYTES * 3, false],
    ] as const) {
      const { ghost } = grown(1);
      const [asked, other] = [inOneBucket(1), (77 << 16) | 3];
      ghost.add(asked, tick, WINDOW_BYTES);
      for (let bytes = 0; bytes < since; bytes += tick) ghost.add(other, tick, WINDOW_BYTES);
      expect({ since, remembered: ghost.take(asked) }).toEqual({ since, remembered });
    }
  });

  test("small entries add up to ticks: none of their bytes is lost", () => {
    const { ghost } = grown(1);
    ghost.add(inOneBucket(1), 1, WINDOW_BYTES);
    for (let bytes = 0; bytes < WINDOW_BYTES - 2000; bytes += 100)
      ghost.add((77 << 16) | 3, 100, WINDOW_BYTES);
    expect(ghost.take(inOneBucket(1))).toBe(true);
    ghost.add(inOneBucket(1), 1, WINDOW_BYTES);
    for (let bytes = 0; bytes < WINDOW_BYTES; bytes += 100) ghost.add((77 << 16) | 3, 100, WINDOW_BYTES);
    expect(ghost.take(inOneBucket(1))).toBe(false);
  });

  test("a full bucket loses its oldest, whatever became of the clock meanwhile", () => {
    for (const laps of [0, 60_000, 65_536 - 8]) {
      const { ghost } = grown(1);
      const tick = WINDOW_BYTES / 256;
      // The clock has 16 bits: it may turn over between two of these.
      for (let i = 0; i < laps; i++) ghost.add((77 << 16) | 3, tick, WINDOW_BYTES);
      for (let i = 0; i < SLOTS_PER_BUCKET + 3; i++) ghost.add(inOneBucket(i), tick, WINDOW_BYTES);
      const known = Array.from({ length: SLOTS_PER_BUCKET + 3 }, (_, i) => ghost.take(inOneBucket(i)));
      expect(known).toEqual(known.map((_, i) => i >= 3));
    }
  });
});

describe("pages", () => {
  test("it wants some to spare for each entry, and never more than a sixteenth of the shard", () => {
    const { ghost, pages } = freshParts(256 << 10, 512);
    expect(ghost.wantsPage(0)).toBe(false);
    for (const entries of [1, 100, 1000, 1_000_000]) {
      while (ghost.wantsPage(entries)) ghost.grow();
      const wanted = Math.ceil((entries * 1.2 * 4) / 512);
      expect(ghost.pageCount).toBe(Math.min(wanted, pages.count / 16));
    }
  });

  test("with each that it takes it forgets at most what moves there, and invents nothing", () => {
    const parts = grown(1);
    const { ghost } = parts;
    const random = new Random(2);
    const dropped = Array.from({ length: 40 }, () => random.below(2 ** 32) | 0);
    for (let pages = 2; pages <= 16; pages++) {
      for (const hash of dropped) ghost.add(hash, 1, WINDOW_BYTES);
      const before = ghost.pageCount;
      ghost.grow();
      const known = dropped.filter((hash) => ghost.take(hash)).length;
      // Only those of one page move, and half of them.
      expect(known).toBeGreaterThanOrEqual(dropped.length / 2 - 8);
      if (before >= 8) expect(known).toBeGreaterThan(dropped.length * 0.7);
      const strangers = Array.from({ length: 200 }, () => random.below(2 ** 32) | 0);
      expect(strangers.filter((hash) => ghost.take(hash)).length).toBeLessThan(3);
    }
  });

  test("are all used, whatever their number: two thirds full, hardly anything is lost", () => {
    for (let pages = 1; pages <= 16; pages++) {
      const { ghost } = grown(pages);
      const random = new Random(pages);
      const dropped = Array.from({ length: (pages * 128 * 2) / 3 }, () => random.below(2 ** 32) | 0);
      for (const hash of dropped) ghost.add(hash, 1, WINDOW_BYTES);
      const known = dropped.filter((hash) => ghost.take(hash)).length;
      // Pages that were not split yet have twice the share of those that were.
      expect(known / dropped.length).toBeGreaterThan(0.85);
    }
  });

  test("given back, it is as if it had never been", () => {
    const parts = freshParts();
    const { free } = parts.pages;
    for (let i = 0; i < 5; i++) parts.ghost.grow();
    parts.ghost.add(1 << 20, 1, WINDOW_BYTES);
    parts.ghost.release();
    expect([parts.ghost.pageCount, parts.pages.free]).toEqual([0, free]);
    parts.ghost.grow();
    expect(parts.ghost.take(1 << 20)).toBe(false);
  });
});
