/** Reads the store's clock in turn with other threads, each time comparing with what the thread before it has read. */
import { clockOf } from "../../src/worker/clock";

declare const self: Worker;

export interface ClockOrder {
  /** Words of TURN and LATEST. */
  memory: SharedArrayBuffer;
  epoch: number;
  /** Times are counted from here, so that they fit a word. */
  since: number;
  /** This thread's number among so many. */
  thread: number;
  threads: number;
  readings: number;
}

/** Turns taken so far: the next is that of the thread whose number is the remainder. */
const TURN = 0;
const LATEST = 1;

self.onmessage = ({ data }: MessageEvent<ClockOrder>) => {
  const words = new Int32Array(data.memory);
  const clock = clockOf(data.epoch);
  let wentBack = 0;
  for (let reading = 0; reading < data.readings; reading++) {
    awaitTurn(words, data);
    const time = clock() - data.since;
    if (time < Atomics.load(words, LATEST)) wentBack++;
    Atomics.store(words, LATEST, time);
    Atomics.add(words, TURN, 1);
    Atomics.notify(words, TURN);
  }
  self.postMessage(wentBack);
};

function awaitTurn(words: Int32Array, { thread, threads }: ClockOrder): void {
  for (;;) {
    const turn = Atomics.load(words, TURN);
    if (turn % threads === thread) return;
    Atomics.wait(words, TURN, turn);
  }
}
