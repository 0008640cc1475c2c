/** Several threads on the same shards at once: no update is lost, no value is torn, a dead thread's shard comes back. */
import { afterEach, describe, expect, test } from "bun:test";
import { W } from "../../src/store/layout";
import { Store } from "../../src/store/store";
import { MEMORY_KINDS, SmallStore } from "../support/small-store";
import type { Order, Report, Task } from "./hammer";

const THREADS = 3;
const hammer = new URL("./hammer.ts", import.meta.url);
let workers: Worker[] = [];

afterEach(() => {
  for (const worker of workers) worker.terminate();
  workers = [];
});

/** Runs the tasks, one thread each, all begun at the same moment. */
async function runTogether(store: SmallStore, tasks: Task[]): Promise<Report[]> {
  const gate = new SharedArrayBuffer(8);
  const words = new Int32Array(gate);
  const reports = tasks.map((task, i) => {
    const worker = new Worker(hammer);
    workers.push(worker);
    const order: Order = { memory: store.memory, owner: i + 1, task, gate };
    worker.postMessage(order);
    return new Promise<Report>((resolve, reject) => {
      worker.onmessage = (event) => resolve(event.data as Report);
      worker.onerror = (event) => reject(new Error(event.message));
    });
  });
  for (let ready = Atomics.load(words, 0); ready < tasks.length; ready = Atomics.load(words, 0)) {
    const waited = Atomics.waitAsync(words, 0, ready);
    if (waited.async) await waited.value;
  }
  Atomics.store(words, 1, 1);
  Atomics.notify(words, 1);
  return Promise.all(reports);
}

for (const kind of MEMORY_KINDS)
  describe(`in ${kind} memory:`, () => {
    describe("threads on the same shards", () => {
      test("adds from all of them add up exactly", async () => {
        const store = new SmallStore({ kind, shards: 2, shardBytes: 1 << 20 });
        const [keys, rounds] = [5, 30_000];
        const reports = await runTogether(
          store,
          Array.from({ length: THREADS }, () => ({ kind: "add", keys, rounds })),
        );
        for (const { hits } of reports) expect(hits).toBe(rounds);
        let sum = 0;
        for (let key = 0; key < keys; key++) sum += Number(store.get(`counter ${key}`));
        expect(sum).toBe(THREADS * rounds);
        store.validate();
      });

      for (const [name, shardBytes, pageBytes, valueBytesMax] of [
        ["small values that fill the shard", 128 << 10, 512, 200],
        ["values over many pages", 512 << 10, 512, 9000],
      ] as const) {
        test(`no value is torn: ${name}`, async () => {
          const store = new SmallStore({ kind, shardBytes, pageBytes });
          const reports = await runTogether(
            store,
            Array.from({ length: THREADS }, (_, seed) => ({
              kind: "self-proving",
              keys: 1500,
              rounds: 40_000,
              valueBytesMax,
              seed,
            })),
          );
          for (const { torn, hits, shortReads } of reports) {
            expect(torn).toEqual([]);
            expect(hits).toBeGreaterThan(500);
            if (valueBytesMax < pageBytes) expect(shortReads).toBeGreaterThan(1000);
          }
          store.validate();
          expect(store.stats().evictions).toBeGreaterThan(0);
          expect(store.stats().lockWaits).toBeGreaterThan(0);
        });
      }
    });

    describe("a thread that died with a shard's lock held", () => {
      for (const whileWriting of [false, true]) {
        test(
          whileWriting ? "while writing: the shard is mended" : "while reading: nothing is lost",
          async () => {
            const store = new SmallStore({ kind, shardBytes: 1 << 20 });
            for (let i = 0; i < 100; i++) store.put(`k${i}`, Buffer.from(`${i}`));
            const before = store.getWithMeta("k1")!.version;
            await runTogether(store, [{ kind: "hold lock", shard: 0, whileWriting }]);
            workers[0]!.terminate();
            const [shard] = new Store(store.memory, 99).shards;
            expect(shard!.recover(42)).toBeNull();
            expect(shard!.recover(1)).toEqual({
              entries: 100,
              repaired: whileWriting,
              lost: 0,
              problem: null,
            });
            expect(shard!.recover(1)).toBeNull();
            store.validate();
            expect(store.get("k1")).toEqual(Buffer.from("1"));
            store.put("k1", Buffer.from("again"));
            expect(store.getWithMeta("k1")!.version).toBeGreaterThan(before);
            expect(store.stats()).toMatchObject({ recoveries: 1, entriesLost: 0, shardsLost: 0 });
          },
        );
      }

      test("threads ended in the middle of whatever they did: no torn value, no shard left locked or broken", async () => {
        const store = new SmallStore({ kind, shardBytes: 256 << 10, pageBytes: 512 });
        const supervisor = new Store(store.memory, 99);
        const survivor = runTogether(store, [
          { kind: "self-proving", keys: 500, rounds: 150_000, valueBytesMax: 2000, seed: 77 },
        ]);
        let recovered = 0;
        for (let death = 0; death < 40; death++) {
          const victim = new Worker(hammer);
          const gate = new SharedArrayBuffer(8);
          new Int32Array(gate)[1] = 1;
          const task: Task = {
            kind: "self-proving",
            keys: 500,
            rounds: 1e9,
            valueBytesMax: 2000,
            seed: death,
          };
          victim.postMessage({ memory: store.memory, owner: 50, task, gate } satisfies Order);
          // It works as soon as it has passed the gate; how far it gets is chance, which is what is wanted.
          while (Atomics.load(new Int32Array(gate), 0) === 0)
            await new Promise((resolve) => setImmediate(resolve));
          const closed = new Promise((resolve) => victim.addEventListener("close", resolve));
          victim.terminate();
          await closed;
          const found = supervisor.shards[0]!.recover(50);
          if (found === null) continue;
          expect(found.problem).toBeNull();
          expect(found.lost).toBeLessThanOrEqual(1);
          recovered++;
        }
        const [report] = await survivor;
        expect(report!.torn).toEqual([]);
        expect(report!.hits).toBeGreaterThan(100);
        expect(store.stats().recoveries).toBe(recovered);
        store.validate();
      });

      test("who waits for it gets the lock as soon as it is freed", async () => {
        const store = new SmallStore({ kind, shardBytes: 1 << 20 });
        const { words } = store.partsOf(0).block;
        words[W.LOCK] = 1;
        const adding = runTogether(store, [{ kind: "add", keys: 1, rounds: 1 }]);
        // The waiter has announced itself in the lock's word, above the owner's number.
        for (let seen = Atomics.load(words, W.LOCK); seen === 1; seen = Atomics.load(words, W.LOCK)) {
          await new Promise((resolve) => setImmediate(resolve));
        }
        new Store(store.memory, 99).shards[0]!.recover(1);
        expect(await adding).toEqual([{ hits: 1, shortReads: 0, torn: [] }]);
      });
    });
  });
