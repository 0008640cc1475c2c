/** What the README shows is run: the client's example line by line, with the results its comments name, and the shell's. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer, type TestServer } from "../support/server";

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
  const text = README.slice(README.indexOf(`\n## ${section}\n`)).split(/\n## /)[1]!;
  return [...text.matchAll(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``, "g"))].map(([, code]) => code!);
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

test("the client's example runs and prints what it says", async () => {
  const [example] = blocks("Client", "ts");
  const file = join(mkdtempSync(join(tmpdir(), "breadbox-")), "example.ts");
  const code = example!
    .replace("breadbox/client", join(ROOT, "dist/client.js"))
    .replace("ws://localhost:7171", server.ws)
    // A line that ends in a comment with a value is checked for it.
    .replaceAll(
      /^(await [^;]+); \/\/ (1|42|true|\["[^\n]*\]|"Breadbox"|\{ name: "Ada" \})(?=$|,)/gm,
      "check($1, $2); //",
    )
    .replace(
      "const cache",
      "const check = (got: unknown, wanted: unknown) => { if (!Bun.deepEquals(got, wanted)) throw new Error(`got ${JSON.stringify(got)}, wanted ${JSON.stringify(wanted)}`); };\nconst cache",
    );
  expect(code.match(/^check\(/gm)!.length).toBeGreaterThanOrEqual(7);
  writeFileSync(file, code);
  const { stdout, stderr, code: exit } = await run([process.execPath, file]);
  expect({ exit, stderr, stdout }).toEqual({ exit: 0, stderr: "", stdout: "name\nnot-a-number\n" });
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
