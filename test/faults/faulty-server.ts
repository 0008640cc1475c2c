/**
 * The real server with faulty workers; a line of JSON on standard input is a FaultOrder. With the first argument
 * --at-once dead workers are replaced without the growing delay.
 */
import { serve } from "../../src/serve";
import type { FaultOrder } from "./fault-order";

const channel = new BroadcastChannel("faults");
/** The workers by their names, which have the index; a replacement takes the place of the dead. */
const workers = new Map<string, Worker>();
globalThis.Worker = class extends Worker {
  constructor(url: string | URL, options?: WorkerOptions) {
    super(url, options);
    workers.set(options?.name ?? "", this);
  }
};

const [first, ...rest] = process.argv.slice(2);
const atOnce = first === "--at-once";
await serve({
  args: atOnce ? rest : process.argv.slice(2),
  workerUrl: new URL("./faulty-worker.ts", import.meta.url),
  ...(atOnce && { newBackoff: () => ({ next: () => 0 }) }),
});
for await (const line of console) {
  const order = JSON.parse(line) as FaultOrder;
  if (order.fault === "terminate") workers.get(`breadbox worker ${order.worker}`)?.terminate();
  else channel.postMessage(order);
}
