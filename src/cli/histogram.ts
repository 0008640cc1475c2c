/**
 * Latencies in a fixed table: 64 linear steps in each power of two, so that any figure read from it is at most 1.6 % off,
 * whatever its size, and tables of many threads add up exactly (the layout of HdrHistogram, Gil Tene).
 */
const STEPS_BITS = 6;
const STEPS = 1 << STEPS_BITS;
/** Up to 2^40 ns, 18 minutes. */
const POWERS = 40 - STEPS_BITS;

export class Histogram {
  readonly counts = new Float64Array((POWERS + 1) * STEPS);
  maxNs = 0;
  total = 0;

  record(nanoseconds: number, times = 1): void {
    const value = Math.max(0, Math.floor(nanoseconds));
    this.counts[indexOf(value)]! += times;
    this.total += times;
    if (value > this.maxNs) this.maxNs = value;
  }

  add(other: { counts: Float64Array; maxNs: number; total: number }): void {
    for (let i = 0; i < this.counts.length; i++) this.counts[i]! += other.counts[i]!;
    this.total += other.total;
    this.maxNs = Math.max(this.maxNs, other.maxNs);
  }

  /** The latency that this share of all (0 to 1) did not exceed, ns. */
  percentile(share: number): number {
    const wanted = Math.max(1, Math.ceil(this.total * share));
    let seen = 0;
    for (let i = 0; i < this.counts.length; i++) {
      seen += this.counts[i]!;
      if (seen >= wanted)
        return i === this.counts.length - 1 ? this.maxNs : Math.min(upperEdge(i), this.maxNs);
    }
    return this.maxNs;
  }

  /** Counts by power of two, from the first to the last that has any: edges in ns. */
  powers(): { fromNs: number; toNs: number; count: number }[] {
    const rows: { fromNs: number; toNs: number; count: number }[] = [];
    for (let power = 0; power <= POWERS; power++) {
      const counts = this.counts.subarray(power * STEPS, (power + 1) * STEPS);
      const count = counts.reduce((sum, n) => sum + n, 0);
      const [fromNs, toNs] =
        power === 0 ? [0, STEPS] : [2 ** (power + STEPS_BITS - 1), 2 ** (power + STEPS_BITS)];
      rows.push({ fromNs, toNs, count });
    }
    const first = rows.findIndex(({ count }) => count > 0);
    const last = rows.findLastIndex(({ count }) => count > 0);
    return first < 0 ? [] : rows.slice(first, last + 1);
  }
}

/** Row 0 holds 0 to 63 one by one; row p holds 2^(p+5) to 2^(p+6) in 64 steps. */
function indexOf(value: number): number {
  if (value < STEPS) return value;
  const power = Math.min(Math.floor(Math.log2(value)), POWERS + STEPS_BITS - 1);
  const step = Math.min(STEPS - 1, Math.floor(value / 2 ** (power - STEPS_BITS)) - STEPS);
  return (power - STEPS_BITS + 1) * STEPS + step;
}

function upperEdge(index: number): number {
  const row = Math.floor(index / STEPS);
  const step = index % STEPS;
  return row === 0 ? step : (STEPS + step + 1) * 2 ** (row - 1) - 1;
}
