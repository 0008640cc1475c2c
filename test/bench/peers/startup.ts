/**
 * From the spawn of the server's process to the first 200 of GET /healthz, with two workers, for a store of 1 GiB and of
 * 16 GiB, in turn.
 *
 *   bun run bench:startup [--times 10] [--memory 1gb,16gb] [--server OTHER/src/main.ts]
 */
import { parseArgs } from "node:util";
import { median, table } from "./report";
import { startBreadbox } from "./servers";

const { values } = parseArgs({
  options: {
    times: { type: "string", default: "10" },
    memory: { type: "string", default: "1gb,16gb" },
    server: { type: "string" },
  },
});
const sizes = values.memory.split(",");
const samples = new Map<string, number[]>(sizes.map((size) => [size, []]));

/** Milliseconds until it is healthy. */
async function start(memory: string): Promise<number> {
  const spawned = performance.now();
  const server = await startBreadbox(values.server, ["--workers", "2", "--memory", memory], null);
  const url = `http://127.0.0.1:${server.port}/healthz`;
  while ((await fetch(url)).status !== 200);
  const ms = performance.now() - spawned;
  await server.stop();
  return ms;
}

for (let time = 0; time < Number(values.times); time++)
  for (const size of sizes) samples.get(size)!.push(await start(size));

const rows = sizes.map((size) => {
  const times = samples.get(size)!;
  return [size, ...[median(times), Math.min(...times), Math.max(...times)].map((ms) => ms.toFixed(0))];
});
console.log(table(["ms from spawn to healthy", "median", "least", "most"], rows, 1).join("\n"));
