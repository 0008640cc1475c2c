/** Reads the store's clock while other threads do, and compares with the latest time that any of them has read. */
import { clockOf } from "../../src/worker/clock";

declare const self: Worker;

export interface ClockOrder {
  /** The latest time, and how many threads have come. */
  memory: SharedArrayBuffer;
  epoch: number;
  /** Times are counted from here, so that they fit a word. */
  since: number;
  threads: number;
  readings: number;
}

export interface ClockReport {
  /** Readings below what another thread had read before. */
  wentBack: number;
  /** Readings before which another thread had set the latest time. */
  sawOthers: number;
}

const LATEST = 0;
const COME = 1;

self.onmessage = ({ data }: MessageEvent<ClockOrder>) => {
  const words = new Int32Array(data.memory);
  const clock = clockOf(data.epoch);
  const report = { wentBack: 0, sawOthers: 0 };
  let mine = 0;
  Atomics.add(words, COME, 1);
  while (Atomics.load(words, COME) < data.threads);
  for (let reading = 0; reading < data.readings; reading++) {
    const latest = Atomics.load(words, LATEST);
    if (latest !== mine) report.sawOthers++;
    mine = clock() - data.since;
    if (mine < latest) report.wentBack++;
    raise(words, mine);
  }
  self.postMessage(report);
};

function raise(words: Int32Array, to: number): void {
  for (;;) {
    const latest = Atomics.load(words, LATEST);
    if (latest >= to || Atomics.compareExchange(words, LATEST, latest, to) === latest) return;
  }
}
