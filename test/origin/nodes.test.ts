/**
 * Two servers before a real cluster under random load: whatever happens, no read is older than it may be, no connection goes back in time, and
 * nothing is lost but what the engine has lost. `bun run faults:origin` does the same for longer, and prints how old values were.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { FAULTS, runFault } from "../faults/nodes/faults";
import { World } from "../faults/nodes/world";

const SEED = 7;
const STRIDE = 250;

let world: World;
beforeAll(async () => {
  world = await World.start(SEED, STRIDE);
});
afterAll(() => world.stop());

for (const fault of FAULTS)
  test(fault.name, async () => {
    const { verdict } = await runFault(world, fault);
    expect(verdict.errors).toEqual([]);
    expect(verdict.reads).toBeGreaterThan(STRIDE / 4);
  });
