/**
 * Tests that need more of a machine than Bun. Where something is missing, such a test is skipped and its name says what is
 * missing; with CI=true it fails instead, so that a test is never left out unnoticed.
 */
import { expect, test } from "bun:test";

/** A test that runs only where `missing`, the list of what this machine lacks, is empty. */
export function testThatNeeds(
  missing: string[],
  name: string,
  body: () => Promise<void>,
  timeoutMs?: number,
): void {
  const maySkip = missing.length > 0 && process.env.CI !== "true";
  const title = missing.length > 0 ? `${name} (missing here: ${missing.join(", ")})` : name;
  test.skipIf(maySkip)(
    title,
    async () => {
      expect(missing).toEqual([]);
      await body();
    },
    timeoutMs,
  );
}

/** Those of the commands that are not on the PATH. */
export function missingCommands(...commands: string[]): string[] {
  return commands.filter((command) => Bun.which(command) === null);
}

/** What this machine lacks for a mount namespace of one's own. */
export function missingMounts(): string[] {
  if (process.getuid!() !== 0) return ["root"];
  const lacking = missingCommands("unshare", "mount");
  if (lacking.length > 0) return lacking;
  const mayUnshare = Bun.spawnSync(["unshare", "--mount", "true"]).exitCode === 0;
  return mayUnshare ? [] : ["the right to make namespaces"];
}
