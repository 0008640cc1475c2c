/** One client of the load in near-load.ts: a reader with a near cache that judges what it is served, or a writer. */
import { keyPicker } from "../../src/cli/bench/pick";
import { type Cache, CacheError, connect } from "../../src/client/client";
import { monotonicMs } from "../../src/worker/clock";
import {
  type ReaderOrder,
  type ReaderReport,
  Sign,
  type WriterOrder,
  type WriterReport,
} from "./near-load-orders";
import { isDeletion, WriteJournal } from "./write-journal";

declare const self: Worker;

const keyOf = (index: number) => `key:${index}`;
/** Nothing ends because the machine is slow; broken ways are tried again soon. */
const OPTIONS = { timeoutMs: 600_000, connectTimeoutMs: 600_000, reconnectMinMs: 5, reconnectMaxMs: 50 };
/** Between two turns of the event loop. */
const BATCH = 64;
const ROUND_MS = 10;
const PADDING = "v".repeat(100);

self.onmessage = async ({ data }: MessageEvent<ReaderOrder | WriterOrder>) => {
  self.postMessage(await (data.role === "reader" ? new Reader(data).run() : write(data)));
};

class Reader {
  private readonly journal: WriteJournal;
  /** By key: the write whose value was served last. */
  private readonly seen: Int32Array;
  /** Keys for which the server was asked. */
  private readonly asked = new Map<number, Promise<void>>();
  private readonly report: ReaderReport = {
    ...{ reads: 0, hits: 0, revalidations: 0, invalidations: 0, evictions: 0 },
    ...{ tooOld: 0, neverWritten: 0, backwards: 0, oldestMs: 0 },
  };

  constructor(private readonly order: ReaderOrder) {
    this.journal = new WriteJournal(order.journal);
    this.seen = new Int32Array(order.keys);
  }

  async run(): Promise<ReaderReport> {
    const { url, near, keys, skew, seed, reads, signs } = this.order;
    const cache = await connect(url, { ...OPTIONS, near });
    Atomics.add(new Int32Array(signs), Sign.CONNECTED, 1);
    const pick = keyPicker(keys, skew, seed);
    while (this.report.reads < reads) await this.readSome(cache, pick);
    await Promise.all(this.asked.values());
    const { hits, revalidations, invalidations, evictions } = cache.near.stats();
    await cache.close();
    return { ...this.report, hits, revalidations, invalidations, evictions };
  }

  /** What the server has to be asked for is waited for later: the others are served meanwhile, also while no answer comes. */
  private async readSome(cache: Cache, pick: () => number): Promise<void> {
    const before = this.report.reads;
    for (let i = 0; i < BATCH; i++) {
      const key = pick();
      const at = monotonicMs();
      const held = cache.near.peek(keyOf(key));
      if (held !== undefined) this.judge(key, held, at);
      else if (!this.asked.has(key)) this.asked.set(key, this.ask(cache, key, at));
    }
    // What the server has told meanwhile is heard.
    const isServed = this.report.reads > before;
    await (isServed ? new Promise((resolve) => setImmediate(resolve)) : Promise.race(this.asked.values()));
  }

  private async ask(cache: Cache, key: number, at: number): Promise<void> {
    const value = await cache.get(keyOf(key)).catch(undefinedIfBusy);
    this.asked.delete(key);
    if (value !== undefined) this.judge(key, value, at);
  }

  /** @param at when it was asked for: what is served later can be younger only */
  private judge(key: number, value: string | null, at: number): void {
    const { report, journal, seen } = this;
    report.reads++;
    const write = value === null ? journal.latestDeletion(key) : Number.parseInt(value, 10);
    const replacedMs = journal.replacedFor(key, write, at);
    if (!journal.hasBegun(key, write)) report.neverWritten++;
    if (replacedMs > this.order.near.maxAgeMs) report.tooOld++;
    if (write < seen[key]!) report.backwards++;
    report.oldestMs = Math.max(report.oldestMs, replacedMs);
    seen[key] = value === null ? seen[key]! : write;
  }
}

/** Each key has one write at a time. */
async function write(order: WriterOrder): Promise<WriterReport> {
  const { url, keys, skew, seed, number, writers, writesPerSecond } = order;
  const cache = await connect(url, OPTIONS);
  const journal = new WriteJournal(order.journal);
  const signs = new Int32Array(order.signs);
  const pick = keyPicker(keys, skew, seed);
  const perRound = Math.ceil((writesPerSecond * ROUND_MS) / 1000);
  let writes = 0;
  while (Atomics.load(signs, Sign.OVER) === 0) {
    const round = new Set<number>();
    for (let i = 0; i < perRound; i++) round.add(ownKey(pick(), number, writers, keys));
    await Promise.all([...round].map((key) => writeOne(cache, journal, key)));
    writes += round.size;
    await Bun.sleep(ROUND_MS);
  }
  await cache.close();
  return { writes };
}

async function writeOne(cache: Cache, journal: WriteJournal, key: number): Promise<void> {
  const write = journal.begin(key);
  const change = (): Promise<unknown> =>
    isDeletion(write)
      ? cache.delete(keyOf(key), { retry: true })
      : cache.put(keyOf(key), `${write} ${PADDING}`, { retry: true });
  while ((await change().catch(undefinedIfBusy)) === undefined);
  journal.end(key);
}

/** A dead worker may hold a part of the store for a moment. */
function undefinedIfBusy(error: unknown): undefined {
  if (!(error instanceof CacheError) || error.code !== "busy") throw error;
}

function ownKey(key: number, number: number, writers: number, keys: number): number {
  const own = key - (key % writers) + number;
  return own < keys ? own : number;
}
