/**
 * Two servers before a real cluster under random load, while everything happens that can: prints how old a value was at most in each case. Exit code 2 when
 * a read was older than it may be, a connection went back in time, or an answer was wrong.
 *
 *   bun run faults:origin [--minutes 10] [--seed 1] [--only "master"]
 */
import { parseArgs } from "node:util";
import { Random } from "../support/random";
import { FAULTS, lineOf, runFault } from "./nodes/faults";
import { World } from "./nodes/world";

/** Requests between two things that happen. */
const STRIDE = 1000;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
  },
});
const seed = Number(values.seed);
const random = new Random(seed);
const faults = FAULTS.filter(({ name }) => name.includes(values.only));
const end = performance.now() + Number(values.minutes) * 60_000;
const sums = { rounds: 0, reads: 0, oldestMs: 0, lost: 0, errors: 0 };

const world = await World.start(seed, STRIDE);
try {
  for (let at = 0; at < faults.length || performance.now() < end; at++) {
    const fault = at < faults.length ? faults[at]! : random.pick(faults);
    const report = await runFault(world, fault);
    console.log(lineOf(report));
    for (const error of report.verdict.errors) console.log(`     ${error}`);
    sums.rounds++;
    sums.reads += report.verdict.reads;
    sums.lost += report.verdict.lost;
    sums.errors += report.verdict.errors.length;
    sums.oldestMs = Math.max(sums.oldestMs, report.verdict.oldestMs);
  }
} catch (error) {
  sums.errors++;
  console.error((error as Error).stack);
  for (const { server } of world.nodes) console.error(server.log());
} finally {
  await world.stop();
}
console.log(
  `seed ${seed}: ${sums.rounds} rounds, ${sums.reads} reads, at most ${sums.oldestMs.toFixed(1)} ms old, ${sums.lost} writes lost by the engine, ${sums.errors} errors`,
);
process.exitCode = sums.errors === 0 ? 0 : 2;
process.exit();
