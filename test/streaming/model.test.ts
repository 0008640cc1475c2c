/**
 * The guarantee as a model run: random writes, deletes, clears and watched reads over two workers and many sessions, with a
 * journal and an interest so small that overruns and collisions happen all the time. Every copy that a client would serve was the
 * cache's value at some moment not earlier than the client's last answered request.
 */
import { expect, test } from "bun:test";
import { createStore } from "../../src/store/store";
import { smallStreamMemory } from "../support/small-streams";
import type { ModelOrder, ModelReport } from "./model-thread";

const STEPS = 30_000;
const THREAD = new URL("./model-thread.ts", import.meta.url);

function runWorker(order: ModelOrder): Promise<ModelReport> {
  const thread = new Worker(THREAD);
  thread.postMessage(order);
  return new Promise((resolve, reject) => {
    thread.onmessage = ({ data }) => {
      thread.terminate();
      resolve(data as ModelReport);
    };
    thread.onerror = (event) => reject(new Error(event.message));
  });
}

for (const [name, sizes] of [
  [
    "a journal of 512 bytes and 16 interest words",
    { interestWords: 16, journalBytes: 512, watchBytes: 1 << 12 },
  ],
  ["room enough", { interestWords: 1024, journalBytes: 1 << 16, watchBytes: 1 << 20 }],
] as const)
  test(`no copy is ever older than its client's last answer: ${name}`, async () => {
    const store = createStore({ shards: 1, shardBytes: 1 << 20, seed: [1, 2] }, 0);
    const streams = smallStreamMemory(1, { workers: 2, keyBytesMax: 32, ...sizes });
    const reports = await Promise.all(
      [0, 1].map((worker) => runWorker({ store, streams, worker, seed: 77 + worker, steps: STEPS })),
    );
    for (const { problem, ...report } of reports) {
      expect(problem).toBeNull();
      expect(report.proven).toBeGreaterThan(STEPS / 60);
      expect(report.changes).toBeGreaterThan(100);
      expect(report.resets).toBeGreaterThan(10);
    }
  });
