/**
 * The store's clock: wall time when the server started, plus what the system's monotonic clock has counted since. Setting
 * the system's clock makes nothing expire early or late. Whole milliseconds.
 *
 * Invariant: all threads have one clock. A thread that reads it after another one never reads less. That is why it is read
 * from the system: `performance.now()` counts from the start of its thread, and messages between threads take their time,
 * so no thread can find out exactly when another one started.
 */
import { ptr } from "bun:ffi";
import { openLibc } from "../system/libc";

export type Clock = () => number;

/** Neither counts while the machine sleeps. */
const CLOCK_MONOTONIC = 1;
const CLOCK_UPTIME_RAW = 8;
const CLOCK_ID = process.platform === "darwin" ? CLOCK_UPTIME_RAW : CLOCK_MONOTONIC;
const NS_PER_MS = 1_000_000;
/** A struct timespec: two 64-bit numbers, of which the low words are enough. */
const TIMESPEC_BYTES = 16;
const SECONDS = 0;
const NANOSECONDS = 2;

/** Milliseconds since some moment that is the same for all threads. */
export const monotonicMs: Clock = systemClock() ?? threadClock;

function systemClock(): Clock | null {
  try {
    const { clock_gettime } = openLibc({ clock_gettime: { args: ["i32", "ptr"], returns: "i32" } });
    // A buffer of its own: a small typed array's bytes are moved by the engine when it likes to.
    const time = new Uint32Array(new ArrayBuffer(TIMESPEC_BYTES));
    const address = ptr(time);
    if (clock_gettime(CLOCK_ID, address) !== 0) return null;
    return () => {
      clock_gettime(CLOCK_ID, address);
      return time[SECONDS]! * 1000 + Math.floor(time[NANOSECONDS]! / NS_PER_MS);
    };
  } catch {
    return null;
  }
}

/** Where the system cannot be asked: right as long as nobody sets its clock between the starts of two threads. */
function threadClock(): number {
  return Math.floor(performance.timeOrigin + performance.now());
}

/** What the store's clock is ahead of the monotonic one, for a server that starts now. @param now what it shows, ms since 1970 */
export function newEpoch(now = Date.now()): number {
  return now - monotonicMs();
}

export function clockOf(epoch: number): Clock {
  return () => epoch + monotonicMs();
}
