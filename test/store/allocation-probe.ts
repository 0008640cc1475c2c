/**
 * Prints how much the heap grows by puts and gets on the binary path, as one line of JSON. A process of its own: in one
 * where other tests ran, the holes that they left in the heap would take in what is allocated here.
 */
import { heapGrowth } from "../support/allocation";
import { BinaryPath, getBatch, putBatch } from "../support/binary-path";

const KEYS = 20_000;
const PER_MESSAGE = 2000;
export const OPERATIONS = 400_000;
/** Compiled code, and its garbage, have come and gone after so many operations. */
const WARM_UP = 300_000;
const ATTEMPTS = 3;
/** Room for all keys, and room for a quarter of them, where each put has to evict. */
const SHARD_BYTES = { "in place": 4 << 20, "into a full store": 1 << 18 };
const VERBS = { put: putBatch, get: getBatch };

type Make = (from: number, count: number) => Buffer;

function messages(make: Make): Buffer[] {
  return Array.from({ length: KEYS / PER_MESSAGE }, (_, i) => make(i * PER_MESSAGE, PER_MESSAGE));
}

function executeAll(path: BinaryPath, batches: Buffer[], operations: number): void {
  for (let done = 0, i = 0; done < operations; done += PER_MESSAGE, i++)
    path.execute(batches[i % batches.length]!);
}

/** The least of some attempts: the runtime's own threads allocate now and then, an operation would each time. */
function leastGrowth(run: () => void): number {
  return Math.min(...Array.from({ length: ATTEMPTS }, () => heapGrowth(run)));
}

function growthOf(make: Make, shardBytes: number): number {
  const path = new BinaryPath(4, shardBytes);
  executeAll(path, messages(putBatch), KEYS);
  const batches = messages(make);
  executeAll(path, batches, WARM_UP);
  return leastGrowth(() => executeAll(path, batches, OPERATIONS));
}

/** The same work with an object for each hundredth operation, to show that it would be seen. */
function growthWithObjects(): number {
  const path = new BinaryPath();
  executeAll(path, messages(putBatch), KEYS);
  const batches = messages(getBatch);
  let escaped: unknown;
  const run = () => {
    executeAll(path, batches, OPERATIONS);
    for (let i = 0; i < OPERATIONS / 100; i++) escaped = { number: i };
  };
  run();
  const growth = leastGrowth(run);
  return escaped === undefined ? 0 : growth;
}

if (import.meta.main) {
  const growth: Record<string, number> = {};
  for (const [room, shardBytes] of Object.entries(SHARD_BYTES))
    for (const [verb, make] of Object.entries(VERBS)) growth[`${verb} ${room}`] = growthOf(make, shardBytes);
  console.log(JSON.stringify({ growth, withObjects: growthWithObjects() }));
}
