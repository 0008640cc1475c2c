/** The shards' locks as the supervisor sees them: who holds one, and how the lock of a dead worker is freed. */
import type { Log } from "../system/log";
import { ownerOf } from "../store/lock";
import type { Store } from "../store/store";
import { ownerNumber } from "../worker/orders";

/** Those of so many workers that hold a lock at this moment. */
export function lockHolders(store: Store, workers: number): Set<number> {
  const owners = new Set(store.shards.map(({ block }) => ownerOf(block.words)));
  return new Set(
    Array.from({ length: workers }, (_, index) => index).filter((i) => owners.has(ownerNumber(i))),
  );
}

/** Frees what a worker held. Only once its thread has ended. */
export function recoverShards(store: Store, index: number, log: Log): void {
  store.shards.forEach((shard, number) => {
    const recovered = shard.recover(ownerNumber(index));
    if (recovered === null) return;
    const { repaired, lost, problem } = recovered;
    const what = repaired ? "freed and repaired" : "freed";
    log.warn(`shard ${number} was locked by worker ${index}: ${what}, ${lost} entries lost`);
    if (problem !== null) log.error(`shard ${number} could not be repaired, and was emptied: ${problem}`);
  });
}
