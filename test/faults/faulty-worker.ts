/** The real worker, with faults that a test orders over the channel that `faulty-server.ts` speaks on. */
import { Change } from "../../src/store/intent";
import { layoutOf, W } from "../../src/store/layout";
import { openBlock } from "../../src/store/memory";
import { Shard } from "../../src/store/shard";
import { ownerNumber, type StartOrder, type ToWorker } from "../../src/worker/orders";
import "../../src/worker/main";
import type { FaultOrder } from "./fault-order";

declare const self: Worker;

/** Longer than any test. */
const HANG_MS = 600_000;

let start: StartOrder | null = null;
self.addEventListener("message", (event: MessageEvent<ToWorker>) => {
  if (event.data.type !== "start") return;
  start = event.data;
  console.error(`keys are hashed under ${start.store.seed.join(" ")}.`);
});

new BroadcastChannel("faults").onmessage = ({ data }) => {
  const order = data as FaultOrder;
  if (start?.index !== order.worker || order.fault === "terminate") return;
  if (order.fault === "throw")
    setTimeout(() => {
      throw new Error("a fault that a test ordered");
    });
  else if (order.fault === "break the store") breakStore();
  else if (order.fault === "set the clock") setClock(order.byMs!);
  else if (order.fault === "reject") void Promise.reject(new Error("a rejection that a test ordered"));
  else if (order.fault === "be busy") beBusy(order.byMs!);
  else if (order.fault.startsWith("hang")) hang(start, order);
  else {
    if (order.fault !== "exit") takeLock(start, order);
    process.exit(3);
  }
};

/** From now on a get ends as it would if the store had a bug. */
function breakStore(): void {
  Shard.prototype.get = () => {
    throw new RangeError("a bug that a test put into the store");
  };
  console.error(`worker ${start!.index} has a broken store`);
}

/** For this thread only; whatever it asks the system for the time is told so. */
function setClock(byMs: number): void {
  const before = Date.now;
  Date.now = () => before() + byMs;
  console.error(`clock set: ${Date.now() - before()}`);
}

/** In a row, as work that has an end. */
function beBusy(forMs: number): void {
  const end = performance.now() + forMs;
  while (performance.now() < end);
  console.error(`worker ${start!.index} was busy`);
}

/** For ever. */
function hang(start: StartOrder, order: FaultOrder): void {
  if (order.fault === "hang holding a lock") takeLock(start, order);
  console.error(`worker ${start.index} hangs now`);
  if (order.fault === "hang outside JavaScript") Bun.sleepSync(HANG_MS);
  for (;;);
}

/** As the store does, from outside of it. */
function takeLock({ store, index }: StartOrder, { shard = 0, fault }: FaultOrder): void {
  const { words } = openBlock(store.blocks[shard]!, layoutOf(store.shardBytes));
  while (Atomics.compareExchange(words, W.LOCK, 0, ownerNumber(index)) !== 0);
  if (fault === "exit while writing") words[W.MUTATING] = Change.CHANGING;
}
