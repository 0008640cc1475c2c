/** The shards' locks as the supervisor sees them: who holds one, and how the lock of a dead worker is freed. */
import type { Log } from "../system/log";
import { OWNER_MAX, ownerOf } from "../store/lock";
import { NO_WORKER } from "../store/observer";
import { Store, type StoreMemory } from "../store/store";
import { Bells } from "../streaming/bells";
import { Changes } from "../streaming/changes";
import { type StreamMemory, streamLayoutOf } from "../streaming/memory";
import { Prefixes } from "../streaming/prefixes";
import { ownerNumber } from "../worker/orders";

/** Those of so many workers that hold a lock at this moment. */
export function lockHolders(memory: StoreMemory, workers: number): Set<number> {
  const owners = new Set(memory.blocks.map((block) => ownerOf(new Int32Array(block))));
  return new Set(
    Array.from({ length: workers }, (_, index) => index).filter((i) => owners.has(ownerNumber(i))),
  );
}

/** Frees what a worker held, and tells the others that it is gone. Only once its thread has ended. */
export function recoverShards(memory: StoreMemory, streams: StreamMemory, index: number, log: Log): void {
  // A store of our own only for this: its owner number is never used, since recovering takes no lock.
  const store = new Store(memory, OWNER_MAX);
  const bells = observeFrom(streams, store);
  store.shards.forEach((shard, number) => {
    const lost = shard.recover(ownerNumber(index));
    if (lost >= 0) log.warn(`shard ${number} was locked by worker ${index}: freed, ${lost} entries lost`);
  });
  bells.noteDeath(index);
}

/** The shards tell the workers, without this thread being one of them. */
function observeFrom(memory: StreamMemory, store: Store): Bells {
  const layout = streamLayoutOf(memory.sizes);
  const bells = new Bells({ memory, layout }, NO_WORKER, () => {});
  const prefixes = new Prefixes({ memory, layout });
  const context = { worker: NO_WORKER, connection: 0, bells, prefixes };
  store.observe(store.shards.map((_, shard) => new Changes(context, { memory, layout }, shard)));
  return bells;
}
