/** The store's clock is one for all threads, and goes on from the wall time at which the server started. */
import { expect, test } from "bun:test";
import { clockOf, newEpoch } from "../../src/worker/clock";
import { runThread } from "../support/thread";
import type { ClockOrder } from "./clock-thread";

const THREADS = 4;
const READINGS = 3000;

test(`${THREADS} threads read it in turn, ${READINGS} times each: never less than the one before has read`, async () => {
  const epoch = newEpoch();
  const order = {
    memory: new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT),
    epoch,
    since: clockOf(epoch)(),
    threads: THREADS,
    readings: READINGS,
  };
  const wentBack = await Promise.all(
    Array.from({ length: THREADS }, (_, thread) => readInThread({ ...order, thread })),
  );
  expect(wentBack).toEqual([0, 0, 0, 0]);
});

test("it starts at the wall time, in whole milliseconds", () => {
  const before = Date.now();
  const now = clockOf(newEpoch())();
  expect(now).toBeGreaterThanOrEqual(before);
  // Both are rounded down, each for itself.
  expect(now).toBeLessThanOrEqual(Date.now() + 1);
  expect(Number.isInteger(now)).toBe(true);
});

/** How often its time was less than that of the thread before. */
function readInThread(order: ClockOrder): Promise<number> {
  return runThread(new URL("./clock-thread.ts", import.meta.url), order);
}
