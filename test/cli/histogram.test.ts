/** The bench's histogram against sorted samples. */
import { expect, test } from "bun:test";
import { Histogram } from "../../src/cli/histogram";
import { Random } from "../support/random";

test("every percentile is at most 1.6 % above the true one, over nine orders of magnitude", () => {
  const random = new Random(1);
  const samples = Array.from({ length: 50_000 }, () => Math.floor(10 ** (random.next() * 10)));
  const [first, second] = [new Histogram(), new Histogram()];
  for (const [i, sample] of samples.entries()) (i % 3 ? first : second).record(sample);
  first.add(second);
  samples.sort((a, b) => a - b);
  expect(first.total).toBe(samples.length);
  expect(first.maxNs).toBe(samples.at(-1)!);
  for (const share of [0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1]) {
    const exact = samples[Math.ceil(samples.length * share) - 1]!;
    const read = first.percentile(share);
    expect(read).toBeGreaterThanOrEqual(exact);
    expect(read).toBeLessThanOrEqual(exact * 1.016 + 1);
  }
  expect(first.powers().reduce((sum, { count }) => sum + count, 0)).toBe(samples.length);
});

test("edges: nothing, one, more than it has room for", () => {
  const histogram = new Histogram();
  expect(histogram.percentile(0.5)).toBe(0);
  expect(histogram.powers()).toEqual([]);
  histogram.record(0);
  histogram.record(2 ** 45);
  expect(histogram.percentile(1)).toBe(2 ** 45);
});
