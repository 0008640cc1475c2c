/**
 * Two threads on one store against one: 90 % GET, zipf 0.99, a million keys, 64-byte values. Rounds alternate, so that a
 * machine that changes its pace changes both.
 *
 *   bun run bench:scaling [--rounds 5] [--seconds 2] [--threads 2]
 */
import { parseArgs } from "node:util";
import type { StoreMemory } from "../../src/store/store";
import { keyPicker, seededRandom } from "../../src/cli/bench/pick";
import { Keys, PreparedStore } from "./prepared-store";

declare const self: Worker;

interface Round {
  seconds: number;
}

const KEYS = 1_000_000;
const VALUE_BYTES = 64;
const GET_SHARE = 0.9;
const SKEW = 0.99;
const SHARDS = 32;
const SHARD_BYTES = 32 * 2 ** 20;

if (Bun.isMainThread) await main();
else {
  let store: PreparedStore;
  let random: () => number;
  let pick: () => number;
  self.onmessage = ({ data }: MessageEvent<{ memory: StoreMemory; owner: number } | Round>) => {
    if ("memory" in data) {
      store = new PreparedStore(data.memory, new Keys(KEYS), data.owner);
      random = seededRandom(data.owner);
      pick = keyPicker(KEYS, SKEW, data.owner);
      self.postMessage(0);
    } else self.postMessage(run(data.seconds));
  };

  const run = (seconds: number): number => {
    const until = performance.now() + seconds * 1000;
    let operations = 0;
    while (performance.now() < until) {
      for (let i = 0; i < 1000; i++) {
        const index = pick();
        if (random() < GET_SHARE) store.get(index);
        else store.put(index, VALUE_BYTES);
      }
      operations += 1000;
    }
    return operations / seconds;
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "5" },
      seconds: { type: "string", default: "2" },
      threads: { type: "string", default: "2" },
    },
  });
  const seconds = Number(values.seconds);
  const threads = Number(values.threads);
  const keys = new Keys(KEYS);
  const loaded = PreparedStore.create(keys, SHARDS, SHARD_BYTES);
  for (let i = 0; i < KEYS; i++) loaded.put(i, VALUE_BYTES);
  const workers = Array.from({ length: threads }, () => new Worker(import.meta.url));
  const ask = (worker: Worker, message: unknown) =>
    new Promise<number>((resolve) => {
      worker.onmessage = (event) => resolve(event.data as number);
      worker.postMessage(message);
    });
  await Promise.all(workers.map((worker, i) => ask(worker, { memory: loaded.memory, owner: i + 2 })));
  for (const worker of workers) await ask(worker, { seconds: 1 });

  const ratios: number[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    const alone = await ask(workers[0]!, { seconds });
    const before = loaded.store.stats().total;
    const together = (await Promise.all(workers.map((worker) => ask(worker, { seconds })))).reduce(
      (a, b) => a + b,
    );
    const waits = loaded.store.stats().total.lockWaits - before.lockWaits;
    ratios.push(together / alone);
    const waited = ((waits / (together * seconds)) * 100).toFixed(3);
    const millions = (n: number) => (n / 1e6).toFixed(2);
    console.log(
      `1 thread ${millions(alone)} M/s, ${threads} threads ${millions(together)} M/s: ${(together / alone).toFixed(2)} times; ${waited} % of operations waited for a lock`,
    );
  }
  ratios.sort((a, b) => a - b);
  console.log(`median ${ratios[ratios.length >> 1]!.toFixed(2)} times`);
  for (const worker of workers) worker.terminate();
}
