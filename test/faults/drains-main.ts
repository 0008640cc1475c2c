/**
 * Ends servers with SIGTERM under full load, at random moments, and prints what clients saw; exit code 2 when one saw
 * what it should not.
 *
 *   bun run faults:drains [--count 20] [--seed 1]
 */
import { parseArgs } from "node:util";
import { drainUnderLoad } from "./drains";

const { values } = parseArgs({
  options: { count: { type: "string", default: "20" }, seed: { type: "string", default: "1" } },
});
const total = { batches: 0, underWay: 0, http: 0 };
try {
  for (let i = 0; i < Number(values.count); i++) {
    const report = await drainUnderLoad(Number(values.seed) + i);
    for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += report[name];
  }
  console.log(`${values.count} servers ended under load`, total);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 2;
}
