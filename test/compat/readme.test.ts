/** What src/http/dialects/README.md shows runs as it stands, with the real clients. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { blocksOf, claimsOf, moduleOf } from "../docs/examples";
import { patternOf, stepsOf } from "../docs/shell";
import { missingCommands, testThatNeeds } from "../support/needs";
import { startServer, type TestServer } from "../support/server";
import { SECRET } from "../support/scoped";
import { installClients, Project, TWO_PACKAGES } from "./clients";

const ROOT = join(import.meta.dir, "../..");
const TEXT = readFileSync(join(ROOT, "src/http/dialects/README.md"), "utf8");
const STARTS = /^breadbox serve /;
let server: TestServer;
let project: Project;

beforeAll(async () => {
  await installClients();
  server = await startServer();
  project = new Project(
    {
      ...TWO_PACKAGES,
      "hello.c": "int main(void) { return 0; }\n",
      secrets: SECRET,
      ".curlrc": "silent\nshow-error\n",
    },
    { CCACHE_DIR: "cache" },
  );
  project.write("bin/breadbox", `#!/bin/sh\nexec "${process.execPath}" "${ROOT}/src/bin.ts" "$@"\n`);
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

const puts = async () => ((await (await fetch(`${server.http}/stats`)).json()) as { puts: number }).puts;

describe("commands", () => {
  const blocks = blocksOf(TEXT, "sh");
  const missing = missingCommands("ccache", "gcc");
  for (const block of blocks)
    testThatNeeds(block.includes("ccache gcc") ? missing : [], block.split("\n", 1)[0]!, async () => {
      const before = await puts();
      for (const { command, output } of stepsOf(block)) {
        if (STARTS.test(command)) {
          // As it stands, on another port and with the memory that a test may have.
          const flags = command.replace(STARTS, "").replace("8gb", "2gb").replace("256mb", "64mb").split(" ");
          const started = await startServer({ flags });
          expect(await started.stop()).toBe(0);
          continue;
        }
        const here = command.replaceAll("localhost:7171", `127.0.0.1:${server.port}`);
        const printed = await project.run(`PATH="$PWD/bin:$PATH"; chmod +x bin/breadbox; ${here}`);
        if (output !== null) expect(printed.trim()).toMatch(patternOf(output));
      }
      if (block.includes("localhost:7171")) expect(await puts()).toBeGreaterThan(before);
    });

  test("are all found", () => {
    expect(blocks.flatMap(stepsOf).length).toBeGreaterThanOrEqual(10);
  });
});

describe("programs", () => {
  const blocks = blocksOf(TEXT, "js");
  for (const [i, code] of blocks.entries())
    test(code.split("\n", 1)[0]!, async () => {
      const example = { name: `README, program ${i}`, code };
      expect(claimsOf(example)).toBeGreaterThanOrEqual(2);
      const program = moduleOf(example, "").replaceAll("http://localhost:7171", server.http);
      project.write(`program-${i}.ts`, program);
      expect(await project.run(`"${process.execPath}" program-${i}.ts`)).toBe("");
    });

  test("are all found", () => {
    expect(blocks.length).toBe(2);
  });
});
