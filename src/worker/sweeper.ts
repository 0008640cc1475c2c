/**
 * Sweeps expired entries in the background: each worker its share of the shards, a page at a time, never longer in a
 * row than a slice, so that requests hardly notice.
 */
import type { Clock } from "./clock";
import type { Shard } from "../store/shard";
import type { Store } from "../store/store";

/** Between sweeps, when nothing is due. */
const INTERVAL_MS = 50;
/** Work in a row, and the pause after it while more is due: a third of a core, however much expires at once. */
const SLICE_MS = 0.5;
const PAUSE_MS = 1;

/** Whose shards are swept: every `workers`-th, from number `index` on. */
export interface Share {
  readonly index: number;
  readonly workers: number;
}

/**
 * Sweeps until it is stopped, by what it returns.
 * @param onFault told of a fault in a shard, which has been emptied then; the sweep goes on
 */
export function startSweeper(
  store: Store,
  clock: Clock,
  { index, workers }: Share,
  onFault: (error: unknown) => void,
): () => void {
  const shards = store.shards.filter((_, number) => number % workers === index);
  let at = 0;
  let timer: ReturnType<typeof setTimeout>;
  const slice = () => {
    const now = clock();
    const until = performance.now() + SLICE_MS;
    for (let idle = 0; idle < shards.length;) {
      if (sweepStep(shards[at]!, now, onFault)) idle = 0;
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

/** True when there may be more to sweep in this shard. */
function sweepStep(shard: Shard, now: number, onFault: (error: unknown) => void): boolean {
  try {
    return shard.sweepStep(now);
  } catch (error) {
    onFault(error);
    return false;
  }
}
