/** The store's clock is one for all threads, and goes on from the wall time at which the server started. */
import { expect, test } from "bun:test";
import { clockOf, newEpoch } from "../../src/worker/clock";
import type { ClockOrder, ClockReport } from "./clock-thread";

const THREADS = 4;
const READINGS = 200_000;

test(`${THREADS} threads read it ${READINGS} times each: never less than another has read before`, async () => {
  const epoch = newEpoch();
  const order: ClockOrder = {
    memory: new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT),
    epoch,
    since: clockOf(epoch)(),
    threads: THREADS,
    readings: READINGS,
  };
  const reports = await Promise.all(Array.from({ length: THREADS }, () => readInThread(order)));
  expect(reports.map(({ wentBack }) => wentBack)).toEqual(reports.map(() => 0));
  // They have seen each other's readings, or nothing was compared.
  for (const { sawOthers } of reports) expect(sawOthers).toBeGreaterThan(0);
});

test("it starts at the wall time, in whole milliseconds", () => {
  const before = Date.now();
  const now = clockOf(newEpoch())();
  expect(now).toBeGreaterThanOrEqual(before);
  // Both are rounded down, each for itself.
  expect(now).toBeLessThanOrEqual(Date.now() + 1);
  expect(Number.isInteger(now)).toBe(true);
});

function readInThread(order: ClockOrder): Promise<ClockReport> {
  const thread = new Worker(new URL("./clock-thread.ts", import.meta.url));
  thread.postMessage(order);
  return new Promise((resolve, reject) => {
    thread.onmessage = ({ data }) => {
      thread.terminate();
      resolve(data as ClockReport);
    };
    thread.onerror = (event) => reject(new Error(event.message));
  });
}
