/** What the README shows is run: the client's example line by line, with the results its comments name, and the shell's. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startServer, type TestServer } from "../support/server";
import { temporaryFile } from "../support/temporary";
import { blocksOf, claimsOf, moduleOf } from "./examples";

const ROOT = new URL("../../", import.meta.url).pathname;
const README = readFileSync(join(ROOT, "README.md"), "utf8");
let server: TestServer;

beforeAll(async () => {
  server = await startServer();
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

/** Code blocks of a language within a section. */
function blocks(section: string, language: string): string[] {
  return blocksOf(README.slice(README.indexOf(`\n## ${section}\n`)).split(/\n## /)[1]!, language);
}

async function run(command: string[], options: { env?: Record<string, string>; cwd?: string } = {}) {
  const child = Bun.spawn(command, {
    stdout: "pipe",
    stderr: "pipe",
    cwd: ROOT,
    ...options,
    env: { ...process.env, ...options.env },
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, code };
}

test("the client's example runs, and what its comments claim is so", async () => {
  const [code] = blocks("Client", "ts");
  const example = { name: "README.md", code: code! };
  expect(claimsOf(example)).toBeGreaterThanOrEqual(3);
  const file = temporaryFile("readme-example.ts", moduleOf(example, server.ws));
  const { stdout, stderr, code: exit } = await run([process.execPath, file]);
  expect({ exit, stderr, stdout }).toEqual({ exit: 0, stderr: "", stdout: "" });
});

test("the shell's commands run", async () => {
  const env = {
    BREADBOX_URL: server.http,
    PATH: `${process.execPath.replace(/\/[^/]*$/, "")}:${process.env.PATH}`,
  };
  const [commands] = blocks("Command line", "sh");
  for (const line of commands!.trim().split("\n")) {
    const { code, stderr } = await run(
      [
        "sh",
        "-c",
        line.replace(/^bun /, `"${process.execPath}" `).replaceAll("&& bun ", `&& "${process.execPath}" `),
      ],
      { env },
    );
    expect({ line, code, stderr }).toEqual({ line, code: 0, stderr: "" });
  }
});

test("curl, as in the first minute", async () => {
  const [, first, raw] = blocks("In one minute", "sh");
  const on = (text: string) => text.replaceAll("localhost:7171", `127.0.0.1:${server.port}`);
  const [put, putAnswer, , get, getAnswer] = on(first!).trim().split("\n");
  expect((await run(["sh", "-c", put!])).stdout).toBe(putAnswer!.replace("# ", ""));
  expect((await run(["sh", "-c", get!])).stdout).toBe(getAnswer!.replace("# ", ""));
  const { stdout, code } = await run(["sh", "-c", on(raw!)]);
  expect({ code, stdout }).toEqual({ code: 0, stdout: readFileSync(join(ROOT, "package.json"), "utf8") });
});
