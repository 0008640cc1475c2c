/** The shards' locks as the supervisor sees them: who holds one, and how the lock of a dead worker is freed. */
import type { Log } from "../system/log";
import { OWNER_MAX, ownerOf } from "../store/lock";
import { Store, type StoreMemory } from "../store/store";
import { ownerNumber } from "../worker/orders";

/** Those of so many workers that hold a lock at this moment. */
export function lockHolders(memory: StoreMemory, workers: number): Set<number> {
  const owners = new Set(memory.blocks.map((block) => ownerOf(new Int32Array(block))));
  return new Set(
    Array.from({ length: workers }, (_, index) => index).filter((i) => owners.has(ownerNumber(i))),
  );
}

/** Frees what a worker held. Only once its thread has ended. */
export function recoverShards(memory: StoreMemory, index: number, log: Log): void {
  // A store of our own only for this: its owner number is never used, since recovering takes no lock.
  new Store(memory, OWNER_MAX).shards.forEach((shard, number) => {
    const lost = shard.recover(ownerNumber(index));
    if (lost >= 0) log.warn(`shard ${number} was locked by worker ${index}: freed, ${lost} entries lost`);
  });
}
