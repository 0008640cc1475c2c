/**
 * One load of bench:streaming in a process of its own: batches on the binary path of some checkout, as time an operation.
 * Prints nanoseconds, those of its fastest round: what others on the machine take comes on top of that.
 *
 *   bun streaming-load.ts CHECKOUT LOAD
 */
import { resolve } from "node:path";
import type { BinaryPath } from "../support/binary-path";
import type { StreamPeer } from "./streaming-peer";

const BATCH = 64;
const KEYS = 100_000;
const OTHER_KEYS = 10_000;
const BATCHES = 512;
const ROUNDS = 60;
const WARM_UP_ROUNDS = 5;

const [checkout, load] = process.argv.slice(2) as [string, Load];

/** What is executed, and what goes on beside it. */
export const LOADS = [
  "GET",
  "GET META",
  "PUT",
  "PUT, others watched",
  "PUT, watched by another worker",
] as const;
export type Load = (typeof LOADS)[number];

if (import.meta.main) {
  const support = (await import(resolve(checkout, "test/support/binary-path.ts"))) as {
    BinaryPath: typeof BinaryPath;
    getBatch(from: number, count: number): Buffer;
    putBatch(from: number, count: number): Buffer;
  };
  const path = new support.BinaryPath(32, 4 << 20);
  for (let at = 0; at < KEYS; at += 1000) path.execute(support.putBatch(at, 1000));
  const scattered = Array.from({ length: BATCHES }, (_, i) => ((i * 7919) % (KEYS / BATCH)) * BATCH);
  const isGet = load.startsWith("GET");
  const batches = scattered.map((from) =>
    isGet ? support.getBatch(from, BATCH) : support.putBatch(from, BATCH),
  );
  if (load === "GET META") for (const batch of batches) setFlags(batch, 0x08);
  const peer = load.includes("watched") ? await watching(path) : null;
  const samples: number[] = [];
  for (let round = 0; round < ROUNDS + WARM_UP_ROUNDS; round++) {
    let nanoseconds = 0;
    for (const [i, batch] of batches.entries()) {
      if (load === "PUT, watched by another worker") peer!.watch(batchKeys(scattered[i]!));
      const start = Bun.nanoseconds();
      path.execute(batch);
      nanoseconds += Bun.nanoseconds() - start;
    }
    if (round >= WARM_UP_ROUNDS) samples.push(nanoseconds / (BATCHES * BATCH));
  }
  console.log(Math.min(...samples).toFixed(1));
  process.exit(0);
}

/** Another worker of the same store, which watches keys beside those that are written. */
async function watching(path: BinaryPath): Promise<StreamPeer> {
  const { StreamPeer } = await import("./streaming-peer");
  const peer = new StreamPeer(path);
  peer.watch(Array.from({ length: OTHER_KEYS }, (_, i) => `other:${i}`));
  return peer;
}

function batchKeys(from: number): string[] {
  return Array.from({ length: BATCH }, (_, i) => `key:${String(from + i).padStart(9, "0")}`);
}

/** Sets flags of every request of a batch of GETs. */
function setFlags(batch: Buffer, flags: number): void {
  for (let at = 0; at < batch.length; at += 4 + batch.readUInt16LE(at + 2)) batch[at + 1]! |= flags;
}
