/** Every shell command of the documents for users runs, and prints what stands behind it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startServer, type TestServer } from "../support/server";
import { blocksOf } from "./examples";
import { Sandbox, stepsOf } from "./shell";

const ROOT = new URL("../../", import.meta.url).pathname;
/** How many commands each has at least: a block that is not found runs nothing. */
const DOCUMENTS = {
  "README.md": 14,
  "SECURITY.md": 4,
  "src/cli/CLI.md": 15,
  "src/http/HTTP.md": 20,
  "src/config/CONFIGURATION.md": 6,
};
let server: TestServer;

beforeAll(async () => {
  server = await startServer();
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

for (const [document, leastCommands] of Object.entries(DOCUMENTS))
  describe(document, () => {
    const blocks = blocksOf(readFileSync(join(ROOT, document), "utf8"), "sh");
    const sandbox = new Sandbox();
    for (const block of blocks)
      test(block.split("\n", 1)[0]!, async () => {
        expect(await sandbox.run(block, server)).toBeNull();
      });

    test(`has ${leastCommands} commands and more`, () => {
      expect(blocks.flatMap(stepsOf).length).toBeGreaterThanOrEqual(leastCommands);
    });
  });
