/** Tests that need programs of the system. Where one is missing the test says which; under CI that is a failure. */
import { test } from "bun:test";

/** A test that is skipped where one of the programs is missing, by a name that says so, but never when CI is set. */
export function testWith(
  programs: readonly string[],
  name: string,
  run: () => Promise<void>,
  timeoutMs?: number,
): void {
  const missing = programs.filter((program) => Bun.which(program) === null);
  if (missing.length === 0) test(name, run, timeoutMs);
  else if (process.env["CI"]) test(name, () => Promise.reject(new Error(`${missing.join(", ")}: not found`)));
  else test.skip(`${name} (needs ${missing.join(", ")})`, run);
}
