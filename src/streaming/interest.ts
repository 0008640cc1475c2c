/**
 * Which workers want to hear of which keys: one word for the keys of some hashes in a shard, one bit for each worker, and no wider
 * than the workers need, since every write looks at one and the more of them a cache holds the better. Keys that share a word share its bits: whoever is told of one has to take the others for changed, too.
 *
 * Why no change is missed: a word belongs to a shard, and is read and written under that shard's lock only. The read that watches sets
 * the bit before it releases the lock, so a write is either seen by that read or sees the bit.
 *
 * One object serves all shards: a write looks at one more line of memory, and at no objects that only its shard has.
 */
import { interestBytesFor, type StreamPlan } from "./memory";

const WORDS = { 1: Uint8Array, 2: Uint16Array, 4: Int32Array } as const;

export class Interest {
  private readonly words: Int32Array | Uint16Array | Uint8Array;
  private readonly perShard: number;
  private readonly mask: number;

  constructor({ memory, layout }: StreamPlan) {
    const { shards, interestWords, workers } = memory.sizes;
    this.words = new WORDS[interestBytesFor(workers)](
      memory.common as unknown as ArrayBuffer,
      layout.interest * 4,
      shards * interestWords,
    );
    this.perShard = interestWords;
    this.mask = interestWords - 1;
  }

  /** The word of a key; tells apart what lies in different shards. */
  slotOf(shard: number, hash: number): number {
    return shard * this.perShard + (hash & this.mask);
  }

  add(slot: number, bits: number): void {
    this.words[slot]! |= bits;
  }

  has(slot: number, bits: number): boolean {
    return (this.words[slot]! & bits) !== 0;
  }

  /** Who wanted to hear; nobody does from now on. */
  take(slot: number): number {
    const bits = this.words[slot]!;
    if (bits !== 0) this.words[slot] = 0;
    return bits;
  }

  /** The same for every key of a shard. */
  takeAll(shard: number): void {
    this.words.fill(0, shard * this.perShard, (shard + 1) * this.perShard);
  }
}
