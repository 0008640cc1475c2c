/**
 * Where the bytes come from. The only file that knows that a block is a SharedArrayBuffer;
 * everything else sees the three views of it.
 */
import type { ShardLayout } from "./layout";

export interface Block {
  readonly layout: ShardLayout;
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  readonly bytes: Buffer;
  readonly view: DataView;
}

/** Reserves a shard's memory. The kernel hands out the pages behind it when they are first written. */
export function reserveBlock(layout: ShardLayout): SharedArrayBuffer {
  return new SharedArrayBuffer(layout.shardBytes);
}

/** This thread's views of a shard's memory. */
export function openBlock(memory: SharedArrayBuffer, layout: ShardLayout): Block {
  return {
    layout,
    words: new Int32Array(memory),
    doubles: new Float64Array(memory, 0, Math.floor(memory.byteLength / 8)),
    bytes: Buffer.from(memory as unknown as ArrayBuffer),
    view: new DataView(memory),
  };
}
