/** The real server with faulty workers; a line of JSON on standard input is a FaultOrder. */
import { serve } from "../../src/serve";

const channel = new BroadcastChannel("faults");
await serve({ args: process.argv.slice(2), workerUrl: new URL("./faulty-worker.ts", import.meta.url) });
for await (const line of console) channel.postMessage(JSON.parse(line));
