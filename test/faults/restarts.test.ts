/** Servers that are killed under write load and start again; `bun run faults:restarts` does it a thousand times. */
import { expect, test } from "bun:test";
import { killAndRestart, WORLDS } from "./restarts";

for (const world of WORLDS)
  test(`4 kills under write load of a store ${world.name}: what was acknowledged is there, whole`, async () => {
    const { acknowledged, lookedFor, gone } = await killAndRestart(world, 5, 4);
    expect(acknowledged).toBeGreaterThan(100);
    expect(lookedFor).toBeGreaterThan(100);
    if (world.hasRoom) expect(gone).toBeLessThanOrEqual(8);
  });
