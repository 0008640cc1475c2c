/** Claims a port again and again, each time in the same instant as the other thread, and counts how often it gets it. */
import { claimPort, type PortClaim } from "../../src/supervisor/port";

declare const self: Worker;

const THREADS = 2;
const HOST = "127.0.0.1";
/** Words of the memory that both count up. */
const BEGINS = 0;
const ENDS = 1;

self.onmessage = async ({
  data,
}: MessageEvent<{ memory: SharedArrayBuffer; port: number; rounds: number }>) => {
  const words = new Int32Array(data.memory);
  let claims = 0;
  for (let round = 1; round <= data.rounds; round++) {
    meet(words, BEGINS, round);
    const claim = await claimPort(HOST, data.port).catch((): PortClaim | null => null);
    if (claim !== null) claims++;
    meet(words, ENDS, round);
    claim?.release();
  }
  self.postMessage(claims);
};

/** Goes on when all threads have come here so many times. */
function meet(words: Int32Array, word: number, times: number): void {
  Atomics.add(words, word, 1);
  while (Atomics.load(words, word) < THREADS * times);
}
