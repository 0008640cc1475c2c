/** Starts a server and leaves it behind: prints its process and waits for the end that cluster.test.ts makes for it. */
import { startEngine } from "../support/engine";

const engine = await startEngine();
console.log(engine.pid);
await new Promise(() => setInterval(() => {}, 1000));
