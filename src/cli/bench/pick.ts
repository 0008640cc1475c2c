/** Which key comes next: uniform, or by Zipf's law, from a table made once so that picking costs next to nothing. */

const PICKS = 1 << 18;

/** A function that names a key's index, below `keys`. `skew` 0 is uniform. */
export function keyPicker(keys: number, skew: number, seed: number): () => number {
  const random = seededRandom(seed);
  if (skew === 0) return () => Math.floor(random() * keys);
  const sums = new Float64Array(keys);
  let sum = 0;
  for (let rank = 0; rank < keys; rank++) sums[rank] = sum += (rank + 1) ** -skew;
  const picks = Uint32Array.from({ length: PICKS }, () => scatter(firstAbove(sums, random() * sum), keys));
  let turn = Math.floor(random() * PICKS);
  return () => picks[turn++ & (PICKS - 1)]!;
}

/** mulberry32: seeded, so that a run can be repeated. */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function firstAbove(sums: Float64Array, wanted: number): number {
  let low = 0;
  for (let high = sums.length - 1; low < high;) {
    const middle = (low + high) >> 1;
    if (sums[middle]! < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Popular keys are no neighbours. */
function scatter(rank: number, keys: number): number {
  return (Math.imul(rank, 0x9e3779b1) >>> 0) % keys;
}
