/**
 * Where the bytes come from. The only file that knows what a block is made of: a SharedArrayBuffer, or a part of a mapped
 * file. Everything else sees its views, and so does not know whether its memory outlives the process.
 *
 * A mapping is handed from thread to thread as its address, because an ArrayBuffer over it would be copied on the way.
 * Atomics work on both kinds, but only in a SharedArrayBuffer can a thread sleep. So each block has a bell beside it, one word of
 * such a buffer: sleepers for the block's lock wait there (lock.ts).
 */
import { toArrayBuffer, type Pointer } from "bun:ffi";
import type { ShardLayout } from "./layout";

/** Memory of this process that stays where it is for as long as the process lives. */
export interface MappedBytes {
  readonly address: number;
  readonly bytes: number;
}

/** What one thread sends another so that it can open the block. */
export interface BlockMemory {
  readonly content: SharedArrayBuffer | MappedBytes;
  readonly bell: SharedArrayBuffer;
}

export interface Block {
  readonly layout: ShardLayout;
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  readonly bytes: Buffer;
  readonly view: DataView;
  /** One word that counts how often sleepers were woken. */
  readonly bell: Int32Array;
}

/** Bells of different shards are rung by different cores. */
const BELL_BYTES = 64;

/**
 * Memory for a shard. The kernel hands out the pages behind it when they are first written.
 * @param mapped the part of a file that holds the block, at least layout.shardBytes long; without it the memory ends with the process
 */
export function reserveBlock(layout: ShardLayout, mapped?: MappedBytes): BlockMemory {
  return {
    content: mapped ?? new SharedArrayBuffer(layout.shardBytes),
    bell: new SharedArrayBuffer(BELL_BYTES),
  };
}

/** This thread's views of a shard's memory. */
export function openBlock({ content, bell }: BlockMemory, layout: ShardLayout): Block {
  const buffer = (
    content instanceof SharedArrayBuffer
      ? content
      : toArrayBuffer(content.address as Pointer, 0, layout.shardBytes)
  ) as ArrayBuffer;
  return {
    layout,
    words: new Int32Array(buffer),
    doubles: new Float64Array(buffer, 0, Math.floor(layout.shardBytes / 8)),
    bytes: Buffer.from(buffer),
    view: new DataView(buffer),
    bell: new Int32Array(bell, 0, 1),
  };
}
