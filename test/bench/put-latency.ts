/**
 * How long single puts take: into a full store of 1 GiB, where each has to make room, and while one shard grows to two
 * million entries, where the table doubles again and again. In process, one thread, a clock reading around each put.
 *
 *   bun run bench:put-latency [--memory-mb 1024]
 */
import { parseArgs } from "node:util";
import { Random } from "../support/random";
import { Keys, PreparedStore } from "./prepared-store";

const { values } = parseArgs({ options: { "memory-mb": { type: "string", default: "1024" } } });
const MEMORY_BYTES = Number(values["memory-mb"]) * 2 ** 20;
const SHARD_BYTES = 32 * 2 ** 20;
const SAMPLES = 1_000_000;

function percentiles(nanoseconds: Float64Array): { median: number; p99: number; p999: number; max: number } {
  const sorted = nanoseconds.sort();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
  return { median: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
}

function report(name: string, samples: Float64Array): void {
  const { median, p99, p999, max } = percentiles(samples);
  const us = (ns: number) => `${(ns / 1000).toFixed(2)} µs`.padStart(11);
  const ratio = `${(p999 / median).toFixed(1)}`.padStart(6);
  console.log(`${name.padEnd(38)} ${us(median)} ${us(p99)} ${us(p999)} ${ratio} ${us(max)}`);
}

/** Time of each put; what the clock itself takes is in it. */
function time(count: number, put: (i: number) => void): Float64Array {
  const samples = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const start = Bun.nanoseconds();
    put(i);
    samples[i] = Bun.nanoseconds() - start;
  }
  return samples;
}

console.log(
  `${"".padEnd(38)} ${"median".padStart(11)} ${"p99".padStart(11)} ${"p99.9".padStart(11)} ${"ratio".padStart(6)} ${"max".padStart(11)}`,
);
for (const [name, valueBytes, keyCount] of [
  ["64-byte values", () => 64, 12_000_000],
  ["values of 20 to 500 bytes", (random: Random) => 20 + random.below(480), 5_000_000],
  ["values of 100 B to 16 KiB", (random: Random) => Math.floor(100 * 2 ** (random.next() * 7.3)), 600_000],
] as const) {
  const random = new Random(1);
  const keys = new Keys(keyCount);
  const store = PreparedStore.create(keys, MEMORY_BYTES / SHARD_BYTES, SHARD_BYTES);
  let next = 0;
  while (store.store.stats().total.evictions < 100_000) {
    for (let i = 0; i < 1000; i++) store.put(next++ % keyCount, valueBytes(random));
  }
  report(
    `full, new keys, ${name}`,
    time(SAMPLES, () => store.put(next++ % keyCount, valueBytes(random))),
  );
  report(
    `full, half of them read, ${name}`,
    time(SAMPLES, (i) => {
      if (i & 1) store.get((next - random.below(Math.min(next, 100_000))) % keyCount);
      store.put(next++ % keyCount, valueBytes(random));
    }),
  );
  const { stalls, promiseBreaks } = store.store.stats().total;
  if (stalls + promiseBreaks > 0)
    console.log(`  ${stalls} stalls, ${promiseBreaks} entries dropped against the promise`);
}

const keys = new Keys(2_000_000);
const growing = PreparedStore.create(keys, 1, 512 * 2 ** 20);
report(
  "one shard growing to 2,000,000 entries",
  time(keys.count, (i) => growing.put(i, 64)),
);
