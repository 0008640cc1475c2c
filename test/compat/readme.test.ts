/** What src/http/dialects/README.md and src/adapters/README.md show runs as it stands, with the real clients and libraries. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { blocksOf, claimsOf, documentedIn, type Example, examplesOf, moduleOf } from "../docs/examples";
import { patternOf, stepsOf } from "../docs/shell";
import { missingCommands, testThatNeeds } from "../support/needs";
import { startServer, type TestServer } from "../support/server";
import { SECRET } from "../support/scoped";
import { installClients, Project, TWO_PACKAGES } from "./clients";

const ROOT = join(import.meta.dir, "../..");
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const TEXT = read("src/http/dialects/README.md");
const ADAPTERS = read("src/adapters/README.md");
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
  const imports = `import { createKeyv, KeyvBreadbox } from "@breadbox/server/keyv";
    import breadboxDriver from "@breadbox/server/unstorage";
    void [createKeyv, KeyvBreadbox, breadboxDriver];\n`;
  const examples: Example[] = [
    ...[...blocksOf(TEXT, "js"), ...blocksOf(ADAPTERS, "js")].map((code) => ({
      name: code.split("\n", 1)[0]!,
      code,
    })),
    ...["keyv.ts", "unstorage.ts"]
      .flatMap((file) => documentedIn(read(`src/adapters/${file}`)).flatMap(examplesOf))
      .map(({ name, code }) => ({ name, code: imports + code })),
  ];
  for (const [i, example] of examples.entries())
    test(example.name, async () => {
      expect(claimsOf(example)).toBeGreaterThanOrEqual(1);
      const program = moduleOf(example, server.ws).replaceAll("http://localhost:7171", server.http);
      project.write(`program-${i}.ts`, program);
      expect(await project.run(`"${process.execPath}" program-${i}.ts`)).toBe("");
    });

  test("are all found", () => {
    expect(examples.length).toBe(8);
    const claims = examples.reduce((sum, example) => sum + claimsOf(example), 0);
    expect(claims).toBeGreaterThanOrEqual(23);
  });
});
