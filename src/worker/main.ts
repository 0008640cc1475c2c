/** Entry of a worker thread: says hello, starts the server when ordered to, drains when told, and ends. */
import type { FromWorker, ToWorker } from "./orders";
import { type RunningServer, startServer } from "./server";

declare const self: Worker;

const say = (message: FromWorker) => self.postMessage(message);

let server: RunningServer | null = null;

self.addEventListener("message", async (event: MessageEvent<ToWorker>) => {
  const order = event.data;
  if (order.type === "close idle") return server?.closeIdle();
  if (order.type === "drain") {
    await server?.drain();

    process.exit(0);
  }
  try {
    server = startServer(order);
    say({ type: "ready" });
  } catch (error) {
    say({ type: "failed", reason: (error as Error).message });
    process.exit(1);
  }
});

say({ type: "hello" });
