/** The mechanisms of one fresh shard, each for itself: no lock, nobody who makes room. */
import { HashedKey, hashSeedOf } from "../../src/store/hash";
import { layoutOf } from "../../src/store/layout";
import { openBlock, reserveBlock } from "../../src/store/memory";
import { partsOf, type ShardParts } from "../../src/store/parts";
import { Shard } from "../../src/store/shard";
import { Random } from "./random";

export const SEED = hashSeedOf(1, 2);

export function freshParts(shardBytes = 64 << 10, pageBytes = 512): ShardParts {
  const layout = layoutOf(shardBytes, pageBytes);
  const memory = reserveBlock(layout);
  const block = openBlock(memory, layout);
  new Shard(block, SEED, 1).begin(0);
  return partsOf(block);
}

/** The same with its free pages in no order: what goes on in the next page of a ring goes on somewhere else in memory. */
export function scatteredParts(shardBytes: number): ShardParts {
  const parts = freshParts(shardBytes);
  const taken = Array.from({ length: parts.pages.free }, () => parts.pages.take());
  const random = new Random(1);
  while (taken.length > 0) parts.pages.give(taken.splice(random.below(taken.length), 1)[0]!);
  return parts;
}

export function keyOf(text: string | Buffer): HashedKey {
  const bytes = Buffer.from(text as string);
  const key = new HashedKey(SEED);
  key.aim(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
  return key;
}
