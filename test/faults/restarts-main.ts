/**
 * Kills the whole server under write load, many times, and prints what came of it; exit code 2 when a value was torn, older than an
 * acknowledged write, or gone for no reason.
 *
 *   bun run faults:restarts [--count 1000] [--seed 1]
 */
import { parseArgs } from "node:util";
import { killAndRestart, WORLDS } from "./restarts";

const { values } = parseArgs({
  options: { count: { type: "string", default: "1000" }, seed: { type: "string", default: "1" } },
});

try {
  for (const world of WORLDS)
    console.log(
      await killAndRestart(world, Number(values.seed), Math.ceil(Number(values.count) / WORLDS.length)),
    );
} catch (error) {
  console.error(`seed ${values.seed}: ${(error as Error).stack}`);
  process.exitCode = 2;
}
