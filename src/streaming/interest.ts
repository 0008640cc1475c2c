/**
 * Which workers want to hear of a shard's keys: one word for the keys of some hashes, one bit for each worker. Keys that share a
 * word share its bits: whoever is told of one has to take the others for changed, too.
 *
 * Why no change is missed: a word is read and written under its shard's lock only. The read that watches sets the bit before it
 * releases the lock, so a write is either seen by that read or sees the bit.
 */
import type { StreamPlan } from "./memory";

export class Interest {
  private readonly words: Int32Array;
  private readonly mask: number;

  constructor({ memory, layout }: StreamPlan, shard: number) {
    const { interestWords } = memory.sizes;
    this.words = new Int32Array(memory.shards[shard]!, layout.interest * 4, interestWords);
    this.mask = interestWords - 1;
  }

  /** The word of a hash. */
  slotOf(hash: number): number {
    return hash & this.mask;
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

  /** The same for every key of the shard. */
  takeAll(): void {
    this.words.fill(0);
  }
}
