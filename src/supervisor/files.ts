/**
 * Looks whether the process runs out of open files. Without one left the kernel takes no new connection, and Bun asks it
 * again and again, at the price of a core. So a little before, connections that only wait for a next request are closed.
 *
 * A new file gets the lowest free number: one that is near the limit says that nearly all below it are in use.
 */
import { closeSync, openSync } from "node:fs";

const LOOK_MS = 250;
/** Free files that are too few. */
const SPARE = 64;
/** Between two lines in the log about it. */
const WARN_MS = 60_000;

/** @param onShort told at every look that finds too few, and whether it is time for a line in the log */
export function watchFiles(filesMax: number, onShort: (isNews: boolean) => void): () => void {
  let warnedAt = -Infinity;
  const timer = setInterval(() => {
    if (lowestFree() < filesMax - SPARE) return;
    const isNews = performance.now() - warnedAt > WARN_MS;
    if (isNews) warnedAt = performance.now();
    onShort(isNews);
  }, LOOK_MS);
  return () => clearInterval(timer);
}

/** The number the next file gets; Infinity when none is left. */
function lowestFree(): number {
  try {
    const file = openSync("/dev/null", "r");
    closeSync(file);
    return file;
  } catch {
    return Infinity;
  }
}
