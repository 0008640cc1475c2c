/**
 * A put or a get on the binary path allocates nothing: hundreds of thousands of them leave the heap as large as it was.
 * Messages are of two thousand requests, so that what one message costs (a view of its bytes) does not count as its
 * requests'.
 */
import { expect, test } from "bun:test";
import { OPERATIONS } from "./allocation-probe";

const PROBE = new URL("./allocation-probe.ts", import.meta.url).pathname;
/** An object for each operation would be 16 bytes at least: one for each hundred of them is still found. */
const BYTES_MAX = OPERATIONS / 8;

test("puts and gets allocate nothing, and an object for each hundredth of them would be noticed", async () => {
  const probe = Bun.spawn([process.execPath, PROBE], { stdout: "pipe", stderr: "inherit" });
  const { growth, withObjects } = (await new Response(probe.stdout).json()) as {
    growth: Record<string, number>;
    withObjects: number;
  };
  expect(Object.keys(growth)).toHaveLength(4);
  for (const [work, bytes] of Object.entries(growth))
    expect({ work, bytes, isNothing: bytes < BYTES_MAX }).toEqual({ work, bytes, isNothing: true });
  expect(withObjects).toBeGreaterThan(BYTES_MAX);
});
