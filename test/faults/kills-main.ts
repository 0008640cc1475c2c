/**
 * Kills workers under load, many times, and prints what came of it; exit code 2 when a value was wrong, a connection of
 * another worker ended, something was lost unaccounted for, or a shard stayed locked for longer than a second.
 *
 *   bun run faults:kills [--count 200] [--seed 1]
 */
import { parseArgs } from "node:util";
import { killWorkers } from "./kills";

const { values } = parseArgs({
  options: { count: { type: "string", default: "200" }, seed: { type: "string", default: "1" } },
});
const LOCKED_MS_MAX = 1000;

try {
  const report = await killWorkers(Number(values.seed), Number(values.count));
  console.log(report);
  if (report.slowestMs > LOCKED_MS_MAX) throw new Error(`a reply took ${report.slowestMs} ms`);
} catch (error) {
  console.error(`seed ${values.seed}: ${(error as Error).message}`);
  process.exitCode = 2;
}
