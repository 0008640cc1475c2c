/** Writes a journal as fast as it can: entries whose keys follow from their stamps. */
import { Change, JournalWriter } from "../../src/streaming/journal";
import { type StreamMemory, streamLayoutOf } from "../../src/streaming/memory";

declare const self: Worker;

export interface JournalOrder {
  memory: StreamMemory;
  entries: number;
  /** 1 when all are written. */
  done: SharedArrayBuffer;
}

self.onmessage = ({ data }: MessageEvent<JournalOrder>) => {
  const { memory, entries, done } = data;
  const writer = new JournalWriter({ memory, layout: streamLayoutOf(memory.sizes) }, 0);
  const { keyBytesMax } = memory.sizes;
  const change = new Change();
  change.bytes = Buffer.alloc(keyBytesMax, "k");
  change.view = new DataView(change.bytes.buffer, change.bytes.byteOffset, keyBytesMax);
  for (let stamp = 0; stamp < entries; stamp++) {
    change.stamp = stamp;
    change.end = stamp % keyBytesMax;
    writer.append(change);
  }
  Atomics.store(new Int32Array(done), 0, 1);
};
