/**
 * A load of clients with near caches, threads of their own, on a real server, beside writers of the same keys. The ways of some
 * clients are held up and cut again and again, and workers of the server die. Every value that is served is judged by what the
 * writers know.
 */
import type { FaultOrder } from "../faults/fault-order";
import { Random } from "../support/random";
import { startServer, type TestServer } from "../support/server";
import { runThread } from "../support/thread";
import {
  type ReaderOrder,
  type ReaderReport,
  Sign,
  SIGNS,
  type WriterOrder,
  type WriterReport,
} from "./near-load-orders";
import { Relay } from "./relay";
import { createJournal } from "./write-journal";

const FAULTY = new URL("../faults/faulty-server.ts", import.meta.url).pathname;
const WORKERS = 2;
/** Deaths that lose no entry. */
const DEATHS = ["exit", "exit holding a lock"] as const;
const THREAD = new URL("./near-load-thread.ts", import.meta.url);

export interface NearLoad {
  readers: number;
  writers: number;
  /** Reads of all readers together. */
  reads: number;
  /** Of each writer, a second. */
  writesPerSecond: number;
  keys: number;
  /** Of Zipf's law, for reads and writes. */
  skew: number;
  /** What the copies of a reader may take. */
  maxBytes: number;
  maxAgeMs: number;
  /** So many of the readers have their ways held up. */
  disturbed: number;
  seed: number;
}

export interface NearLoadReport extends ReaderReport {
  writes: number;
  /** Requests of the readers that the server answered. */
  requests: number;
  workerDeaths: number;
  seconds: number;
}

export async function runNearLoad(load: NearLoad): Promise<NearLoadReport> {
  const flags = ["--workers", String(WORKERS)];
  const server = await startServer({ program: FAULTY, before: ["--at-once"], flags });
  const relays = await Promise.all(Array.from({ length: load.disturbed }, () => Relay.to(server.port)));
  const journal = createJournal(load.keys);
  const signs = new SharedArrayBuffer(SIGNS * 4);
  const common = { keys: load.keys, skew: load.skew, journal, signs };
  try {
    const start = performance.now();
    const writing = Array.from({ length: load.writers }, (_, number) => {
      const { writers, writesPerSecond } = load;
      const order: WriterOrder = {
        ...{ role: "writer", ...common, url: server.ws, seed: load.seed + number },
        ...{ number, writers, writesPerSecond },
      };
      return runThread<WriterReport>(THREAD, order);
    });
    const reading = Array.from({ length: load.readers }, (_, number) => {
      const { maxBytes, maxAgeMs } = load;
      const url = relays[number]?.url ?? server.ws;
      const order: ReaderOrder = {
        ...{ role: "reader", ...common, url, seed: load.seed + 100 + number },
        ...{ reads: Math.ceil(load.reads / load.readers), near: { maxBytes, maxAgeMs } },
      };
      return runThread<ReaderReport>(THREAD, order);
    });
    const connected = new Int32Array(signs);
    const allRead = (async () => {
      while (Atomics.load(connected, Sign.CONNECTED) < load.readers) await Bun.sleep(1);
    })();
    // Whoever fails before it is connected ends this, too.
    await Promise.race([allRead, Promise.all(reading)]);
    const stopDisturbing = disturb(server, relays, load);
    const readers = await Promise.all(reading);
    const seconds = (performance.now() - start) / 1000;
    await stopDisturbing();
    Atomics.store(new Int32Array(signs), Sign.OVER, 1);
    const writes = (await Promise.all(writing)).reduce((sum, report) => sum + report.writes, 0);
    return { ...sumOf(readers), writes, seconds, ...(await countsOf(server)) };
  } finally {
    for (const relay of relays) relay.close();
    await server.stop();
  }
}

/** Holds ways up for longer than copies may be served, cuts some, and has workers die. @returns what ends it */
function disturb(
  server: TestServer,
  relays: readonly Relay[],
  { maxAgeMs, seed }: NearLoad,
): () => Promise<void> {
  const random = new Random(seed);
  let isOver = false;
  const disturbing = (async () => {
    while (!isOver) {
      const relay = random.pick(relays);
      relay.hold();
      await Bun.sleep(maxAgeMs * 2);
      if (random.below(2) === 0) relay.cut();
      relay.release();
      const death: FaultOrder = { worker: random.below(WORKERS), fault: random.pick(DEATHS), shard: 0 };
      server.process.stdin.write(`${JSON.stringify(death)}\n`);
      server.process.stdin.flush();
      await Bun.sleep(maxAgeMs);
    }
  })();
  return () => {
    isOver = true;
    return disturbing;
  };
}

function sumOf(reports: readonly ReaderReport[]): ReaderReport {
  const sum = { ...reports[0]! };
  for (const report of reports.slice(1))
    for (const name of Object.keys(sum) as (keyof ReaderReport)[])
      sum[name] = name === "oldestMs" ? Math.max(sum[name], report[name]) : sum[name] + report[name];
  return sum;
}

/** GET and PING are what only readers ask. */
async function countsOf(server: TestServer): Promise<{ requests: number; workerDeaths: number }> {
  const response = await fetch(`${server.http}/stats`, { keepalive: false });
  const { commands, workerRestarts } = (await response.json()) as {
    commands: { get: number; ping: number };
    workerRestarts: number;
  };
  return { requests: commands.get + commands.ping, workerDeaths: workerRestarts };
}
