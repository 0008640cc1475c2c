/**
 * A load of clients with near caches, threads of their own, on a real server, beside writers of the same keys. The ways of some
 * clients are held up and cut again and again. Every value that is served is judged by what the writers know.
 */
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
  seconds: number;
}

export async function runNearLoad(load: NearLoad): Promise<NearLoadReport> {
  const server = await startServer();
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
    const stopDisturbing = disturb(relays, load);
    const readers = await Promise.all(reading);
    const seconds = (performance.now() - start) / 1000;
    await stopDisturbing();
    Atomics.store(new Int32Array(signs), Sign.OVER, 1);
    const writes = (await Promise.all(writing)).reduce((sum, report) => sum + report.writes, 0);
    return { ...sumOf(readers), writes, requests: await requestsOf(server), seconds };
  } finally {
    for (const relay of relays) relay.close();
    await server.stop();
  }
}

/** Holds ways up for longer than copies may be served, and cuts some. @returns what ends it */
function disturb(relays: readonly Relay[], { maxAgeMs, seed }: NearLoad): () => Promise<void> {
  const random = new Random(seed);
  let isOver = false;
  const disturbing = (async () => {
    while (!isOver && relays.length > 0) {
      const relay = random.pick(relays);
      relay.hold();
      await Bun.sleep(maxAgeMs * 2);
      if (random.below(2) === 0) relay.cut();
      relay.release();
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

/** What only readers ask. */
async function requestsOf(server: TestServer): Promise<number> {
  const response = await fetch(`${server.http}/stats`, { keepalive: false });
  const { commands } = (await response.json()) as { commands: { get: number; ping: number } };
  return commands.get + commands.ping;
}
