/**
 * Fuzzes a server of two workers for long, and prints what came of it; exit code 2 when anything was wrong.
 *
 *   bun run fuzz [--seed 1] [--count 1000000]
 */
import { parseArgs } from "node:util";
import { residentBytes } from "../support/process";
import { startServer } from "../support/server";
import { checkStore, fuzzServer } from "./server";

const { values } = parseArgs({
  options: { seed: { type: "string", default: "1" }, count: { type: "string", default: "1000000" } },
});
const [seed, count] = [Number(values.seed), Number(values.count)];
const PROGRESS_EVERY = Math.ceil(count / 10);
const IDLE_MS = 3000;
const MB = 2 ** 20;

const server = await startServer({ flags: ["--workers", "2", "--memory", "16mb"] });
const { pid } = server.process;
const started = performance.now();
let next = PROGRESS_EVERY;
try {
  const counts = await fuzzServer(server, seed, count, (done) => {
    if (done < next) return;
    next += PROGRESS_EVERY;
    console.log(`${done} messages, ${Math.round(residentBytes(pid) / MB)} MiB resident`);
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  const { keys } = await checkStore(server);
  // Garbage of the load is collected in an idle moment.
  await Bun.sleep(IDLE_MS);
  console.log(`${Math.round(residentBytes(pid) / MB)} MiB resident after an idle moment`);
  console.log(`seed ${seed}: ${count} messages in ${seconds} s, nothing wrong`);
  console.log({ ...counts, keysAtTheEnd: keys });
  if (/error|ended/.test(server.log())) throw new Error(server.log());
  if ((await server.stop()) !== 0) throw new Error("the server did not end well");
} catch (error) {
  console.error(`seed ${seed}: ${(error as Error).message}\n${server.log()}`);
  server.process.kill("SIGKILL");
  process.exitCode = 2;
}
