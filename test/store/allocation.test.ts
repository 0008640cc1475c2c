/**
 * A put or a get on the binary path allocates nothing: hundreds of thousands of them leave the heap as large as it was. Messages are
 * of two thousand requests, so that what one message costs (a view of its bytes) does not count as its requests'.
 */
import { expect, test } from "bun:test";
import { heapGrowth } from "../support/allocation";
import { BinaryPath, getBatch, putBatch } from "../support/binary-path";

const KEYS = 20_000;
const PER_MESSAGE = 2000;
const OPERATIONS = 400_000;
/** Compiled code, and its garbage, have come and gone after so many operations. */
const WARM_UP = 300_000;
const ATTEMPTS = 3;
/** An object for each operation would be 16 bytes at least: one for each hundred of them is still found. */
const BYTES_MAX = OPERATIONS / 8;

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

/** Room for all keys, and room for a quarter of them, where each put has to evict. */
for (const [room, shardBytes] of [
  ["in place", 4 << 20],
  ["into a full store", 1 << 18],
] as const)
  for (const [verb, make] of [
    ["put", putBatch],
    ["get", getBatch],
  ] as const)
    test(`${verb} ${room} allocates nothing`, () => {
      const path = new BinaryPath(4, shardBytes);
      executeAll(path, messages(putBatch), KEYS);
      const batches = messages(make);
      executeAll(path, batches, WARM_UP);
      expect(leastGrowth(() => executeAll(path, batches, OPERATIONS))).toBeLessThan(BYTES_MAX);
    });

test("an object for each hundredth operation is noticed", () => {
  const path = new BinaryPath();
  executeAll(path, messages(putBatch), KEYS);
  const batches = messages(getBatch);
  let escaped: unknown;
  const run = () => {
    executeAll(path, batches, OPERATIONS);
    for (let i = 0; i < OPERATIONS / 100; i++) escaped = { number: i };
  };
  run();
  expect(leastGrowth(run)).toBeGreaterThan(BYTES_MAX);
  expect(escaped).toEqual({ number: OPERATIONS / 100 - 1 });
});
