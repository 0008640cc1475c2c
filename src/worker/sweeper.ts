/**
 * Sweeps expired entries in the background: each worker its share of the shards, a page at a time, never longer in a
 * row than a slice, so that requests hardly notice.
 */
import type { Clock } from "./clock";
import type { Store } from "../store/store";

/** Between sweeps, when nothing is due. */
const INTERVAL_MS = 50;
/** Work in a row, and the pause after it while more is due: a third of a core, however much expires at once. */
const SLICE_MS = 0.5;
const PAUSE_MS = 1;

/** Sweeps every `workers`-th shard, from number `index` on; returns what stops it. */
export function startSweeper(store: Store, clock: Clock, index: number, workers: number): () => void {
  const shards = store.shards.filter((_, number) => number % workers === index);
  let at = 0;
  let timer: ReturnType<typeof setTimeout>;
  const slice = () => {
    const now = clock();
    const until = performance.now() + SLICE_MS;
    for (let idle = 0; idle < shards.length;) {
      if (shards[at]!.sweepStep(now)) idle = 0;
      else {
        at = (at + 1) % shards.length;
        idle++;
      }
      if (performance.now() > until) {
        timer = setTimeout(slice, PAUSE_MS);
        return;
      }
    }
    timer = setTimeout(slice, INTERVAL_MS);
  };
  timer = setTimeout(slice, INTERVAL_MS);
  return () => clearTimeout(timer);
}
