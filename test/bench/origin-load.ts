/**
 * One load of bench:origin in a process of its own: batches on the binary path of some checkout, without sockets.
 * Prints nanoseconds of CPU an operation, those of its fastest round.
 *
 *   bun origin-load.ts CHECKOUT LOAD
 */
import { resolve } from "node:path";
import type { CommandsParts } from "../../src/commands/commands";
import type { BinaryPath } from "../support/binary-path";
import { request } from "../support/frames";
import { keyOf } from "./origin-lanes";
import { threadSeconds } from "./peers/cpu";

/** "GET, as long": of entries that are as long as those of the first level are with their stamp. */
export type Load = "GET" | "GET, as long" | "GET, first level" | "PUT";

const OP_PUT = 2;
const BATCH = 64;
const KEYS = 100_000;
const BATCHES = 512;
const ROUNDS = 60;
const WARM_UP_ROUNDS = 5;
const VALUE_BYTES = 64;
/** The stamp of a copy, which makes some entries reach into another line of the caches. */
const STAMP_BYTES = 8;
/** Of BinaryPath's clock, which stands still. */
const NOW = 1;
const MAX_AGE_MS = 1000;

if (import.meta.main) await main();

async function main(): Promise<void> {
  const [checkout, load] = process.argv.slice(2) as [string, Load];
  const { BinaryPath, getBatch, putBatch } = (await import(
    resolve(checkout, "test/support/binary-path.ts")
  )) as typeof import("../support/binary-path");
  const isFirstLevel = load === "GET, first level";
  const valueBytes = VALUE_BYTES + (load === "GET, as long" ? STAMP_BYTES : 0);
  const path: BinaryPath = new BinaryPath(32, 4 << 20, isFirstLevel ? await beforeCluster() : undefined);
  const value = Buffer.alloc(valueBytes, 0x76);
  if (!isFirstLevel)
    for (let index = 0; index < KEYS; index++)
      path.execute(request({ op: OP_PUT, key: keyOf(index), value }));
  const batchOf = load === "PUT" ? putBatch : getBatch;
  const replyBytes = BATCH * (load === "PUT" ? 1 : 5 + valueBytes);
  const batches = Array.from({ length: BATCHES }, (_, i) =>
    batchOf(((i * 7919) % (KEYS / BATCH)) * BATCH, BATCH),
  );
  const samples: number[] = [];
  for (let round = 0; round < ROUNDS + WARM_UP_ROUNDS; round++) {
    const start = threadSeconds();
    for (const batch of batches)
      if (path.execute(batch) !== replyBytes) throw new Error("a request was answered wrongly");
    const seconds = threadSeconds() - start;
    if (round >= WARM_UP_ROUNDS) samples.push((seconds * 1e9) / (BATCHES * BATCH));
  }
  console.log(Math.min(...samples).toFixed(2));
  process.exit(0);
}

/** Commands with all keys in the first level, of a cluster that was proven just now and is never asked. */
async function beforeCluster() {
  const { OriginCommands } = await import("../../src/origin/commands");
  const { FirstLevel } = await import("../../src/origin/l1");
  const { SLOTS } = await import("../../src/origin/slots");
  const { createTrustMemory, Trust } = await import("../../src/origin/trust");
  const { NO_TYPE } = await import("../../src/store/value-type");
  return (parts: CommandsParts) => {
    const { store } = parts;
    const trust = new Trust(createTrustMemory(NOW), MAX_AGE_MS);
    trust.proven(0, NOW);
    for (let slot = 0; slot < SLOTS; slot++) trust.claim(0, slot);
    store.trust(trust);
    const firstLevel = new FirstLevel({
      ...{ store, trust, prefix: Buffer.from("bb:"), valueBytesMax: VALUE_BYTES, staleMaxMs: 0 },
      clock: () => NOW,
    });
    const payload = Buffer.alloc(VALUE_BYTES, 0x76);
    for (let index = 0; index < KEYS; index++) {
      const name = Buffer.from(keyOf(index));
      const key = store.newKey();
      key.aim(name, new DataView(name.buffer, name.byteOffset, name.length), 0, name.length);
      const found = { payload, version: 1, ttlMs: Infinity, type: NO_TYPE, isForeign: false };
      firstLevel.answered(key, found, firstLevel.guardOf(key));
    }
    const nobody = new Proxy({} as never, {
      get: (_, verb) => {
        throw new Error(`the origin was asked: ${String(verb)}`);
      },
    });
    const origin = { engine: nobody, firstLevel, gate: nobody, garbage: nobody, report: nobody };
    return new OriginCommands(parts, origin);
  };
}
