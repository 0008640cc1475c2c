/** Streams of one worker over a store in this thread, of any size. */
import type { Store } from "../../src/store/store";
import { createStreamMemory, type StreamMemory, type StreamSizes } from "../../src/streaming/memory";
import { Streams, type StreamsOptions } from "../../src/streaming/streams";

export const SIZES: Omit<StreamSizes, "shards"> = {
  workers: 1,
  interestWords: 1024,
  journalBytes: 1 << 16,
  keyBytesMax: 1024,
  watchBytes: 1 << 20,
};

export const NO_COUNTS: StreamsOptions["counts"] = {
  keyTold() {},
  resetTold() {},
  watching() {},
  waiting() {},
};

/** Faults are thrown at the test. */
export function rethrow(error: unknown): never {
  throw error;
}

export function smallStreamMemory(shards: number, sizes: Partial<StreamSizes> = {}): StreamMemory {
  return createStreamMemory({ ...SIZES, shards, ...sizes });
}

export function smallStreams(store: Store, options: Partial<StreamsOptions> = {}): Streams {
  return new Streams({
    memory: smallStreamMemory(store.shards.length),
    store,
    worker: 0,
    clock: () => 0,
    counts: NO_COUNTS,
    onFault: rethrow,
    ...options,
  });
}
