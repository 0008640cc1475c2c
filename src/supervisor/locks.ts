/** The shards' locks as the supervisor sees them: who holds one, and how the lock of a dead worker is freed. */
import type { Log } from "../system/log";
import { ownerOf } from "../store/lock";
import { NO_WORKER } from "../store/observer";
import type { Store } from "../store/store";
import { Bells } from "../streaming/bells";
import { Changes } from "../streaming/changes";
import { Interest } from "../streaming/interest";
import { type StreamMemory, streamLayoutOf } from "../streaming/memory";
import { Prefixes } from "../streaming/prefixes";
import { ownerNumber } from "../worker/orders";

/** Those of so many workers that hold a lock at this moment. */
export function lockHolders(store: Store, workers: number): Set<number> {
  const owners = new Set(store.shards.map(({ block }) => ownerOf(block.words)));
  return new Set(
    Array.from({ length: workers }, (_, index) => index).filter((i) => owners.has(ownerNumber(i))),
  );
}

/** Frees what a worker held, and tells the others that it is gone. Only once its thread has ended. */
export function recoverShards(store: Store, bells: Bells, index: number, log: Log): void {
  store.shards.forEach((shard, number) => {
    const recovered = shard.recover(ownerNumber(index));
    if (recovered === null) return;
    const { repaired, lost, problem } = recovered;
    const what = repaired ? "freed and repaired" : "freed";
    log.warn(`shard ${number} was locked by worker ${index}: ${what}, ${lost} entries lost`);
    if (problem !== null) log.error(`shard ${number} could not be repaired, and was emptied: ${problem}`);
  });
  bells.noteDeath(index);
}

/** What this thread does to the shards is told to the workers, without its being one of them. Once, before it does anything. */
export function observeAll(store: Store, memory: StreamMemory): Bells {
  const layout = streamLayoutOf(memory.sizes);
  const bells = new Bells({ memory, layout }, NO_WORKER, () => {});
  const prefixes = new Prefixes({ memory, layout });
  const interest = new Interest({ memory, layout });
  const context = { worker: NO_WORKER, connection: 0, bells, prefixes, interest };
  store.observe(store.shards.map((_, shard) => new Changes(context, { memory, layout }, shard)));
  return bells;
}
