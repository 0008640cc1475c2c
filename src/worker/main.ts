/** Entry of a worker thread: says hello, starts the server when ordered to, renews its credentials and drains when told, and ends. */
import { Count, Tally } from "../commands/tally";
import { schemas } from "../protocol/json";
import { OWNER_MAX } from "../store/lock";
import { Store } from "../store/store";
import type { AttachOrder, FromWorker, StartOrder, ToWorker } from "./orders";
import { clockOf } from "./clock";
import { watchLag } from "./lag";
import { type RunningServer, startServer } from "./server";

declare const self: Worker;

/** The first requests after a start find the worker free; without any JSON among them, the schemas are loaded then. */
const SCHEMAS_AFTER_MS = 50;
const SCHEMAS_AGAIN_MS = 1000;

/** Loading needs open files, of which there may be none just now. */
function loadSchemas(): void {
  try {
    schemas();
  } catch {
    setTimeout(loadSchemas, SCHEMAS_AGAIN_MS);
  }
}

/** A worker whose event loop does not turn misses these heartbeats, which the supervisor notices. */
function showEventLoop({ tally, index, heartbeatMs, epoch }: StartOrder): void {
  const row = new Tally(tally, index);
  setInterval(() => row.add(Count.HEARTBEATS, 1), heartbeatMs);
  watchLag(row, clockOf(epoch));
}

const say = (message: FromWorker) => self.postMessage(message);

/** Nobody else uses the store yet, so no lock is taken. */
function attach({ store, shards, versionFloor }: AttachOrder): void {
  const opened = new Store(store, OWNER_MAX);
  for (const shard of shards)
    say({ type: "attached", shard, recovered: opened.shards[shard]!.attach(versionFloor) });
}

let server: RunningServer | null = null;

self.addEventListener("message", async (event: MessageEvent<ToWorker>) => {
  const order = event.data;
  if (order.type === "renew") {
    await server?.renew(order.credentials);
    return say({ type: "renewed" });
  }
  if (order.type === "attach") return attach(order);
  if (order.type === "close idle") return server?.closeIdle();
  if (order.type === "drain") {
    await server?.drain();

    process.exit(0);
  }
  try {
    server = await startServer(order);
    showEventLoop(order);
    say({ type: "ready" });
    setTimeout(loadSchemas, SCHEMAS_AFTER_MS);
  } catch (error) {
    say({ type: "failed", reason: (error as Error).message });
    process.exit(1);
  }
});

say({ type: "hello" });
