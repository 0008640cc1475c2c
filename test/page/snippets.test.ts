/** The lines that the page shows, run as they are pasted: with every token that leads to other ones. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { Access } from "../../src/page/rights";
import { Rights } from "../../src/page/rights";
import { snippets } from "../../src/page/snippets";
import { scopedToken, SECRET } from "../support/scoped";
import { startServer, type TestServer } from "../support/server";
import { temporaryFile, temporaryPath } from "../support/temporary";

const ROOT = new URL("../../", import.meta.url).pathname;
const ALL = "token-that-may-do-everything";
const READ = "token-that-may-only-read";
const HELLO = "hello from the page";

let open: TestServer;
let guarded: TestServer;
/** The command, as the package installs it. */
let bin: string;

beforeAll(async () => {
  const build = Bun.spawnSync([process.execPath, "run", "build:client"], { cwd: ROOT });
  expect(build.exitCode).toBe(0);
  bin = temporaryPath("page-bin");
  mkdirSync(bin);
  symlinkSync(
    temporaryFile(
      "breadbox-command",
      `#!/bin/sh\nexec "${process.execPath}" "${ROOT}src/bin.ts" "$@"\n`,
      0o700,
    ),
    join(bin, "breadbox"),
  );
  const tokens = temporaryFile("snippet-tokens", `all ${ALL}\nread ${READ}\n`);
  const secrets = temporaryFile("snippet-secrets", `${SECRET}\n`);
  [open, guarded] = await Promise.all([
    startServer(),
    startServer({ flags: ["--token-file", tokens, "--token-secret-file", secrets] }),
  ]);
}, 60_000);

afterAll(async () => {
  expect(await Promise.all([open.stop(), guarded.stop()])).toEqual([0, 0]);
});

function bearer(token: string | null): Record<string, string> {
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}

async function snippetsFor(server: TestServer, token: string | null) {
  const response = await fetch(`${server.http}/access`, { headers: bearer(token) });
  const access = (await response.json()) as Access;
  return snippets({ origin: server.http, hasToken: token !== null, rights: new Rights(access) });
}

/** As it is pasted: a shell's lines, or a file in a project that has the package. */
async function run(title: string, text: string, token: string | null): Promise<string> {
  const isScript = title.startsWith("JavaScript");
  const command = isScript ? [process.execPath, "-"] : ["bash", "-euo", "pipefail", "-c", text];
  const { BREADBOX_TOKEN: _, PORT: __, ...env } = process.env;
  const child = Bun.spawn(command, {
    cwd: ROOT,
    stdin: new Blob([isScript ? text : ""]),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...env, PATH: `${bin}:${env.PATH}`, ...(token !== null && { BREADBOX_TOKEN: token }) },
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  expect({ title, code, stderr: code === 0 ? "" : stderr }).toEqual({ title, code: 0, stderr: "" });
  return stdout;
}

const CASES: [name: string, server: () => TestServer, token: () => string | null, prefix: string][] = [
  ["without tokens", () => open, () => null, ""],
  ["with a token for everything", () => guarded, () => ALL, ""],
  ["with a scoped one, whose prefix a shell would take apart", () => guarded, scoped, "it's $HOME:"],
];

function scoped(): string {
  return scopedToken("it's $HOME:", ["get", "put", "scan", "stats"]);
}

for (const [name, server, tokenOf, prefix] of CASES)
  test(`they work as they are pasted, ${name}`, async () => {
    const token = tokenOf();
    const all = await snippetsFor(server(), token);
    expect(all.length).toBe(4);
    for (const { title, text } of all) {
      expect(text).not.toContain(token ?? "no token");
      const output = await run(title, text, token);
      expect({ title, output }).toEqual({ title, output: expect.stringContaining(HELLO) });
      if (title === "curl") expect(output).toContain('"uptime"');
      if (title === "Command line") expect(output).toContain(`${prefix}hello`);
      const key = encodeURIComponent(`${prefix}hello`);
      const removed = await fetch(`${server().http}/kv/${key}`, {
        method: "DELETE",
        headers: bearer(token === null ? null : ALL),
      });
      expect({ title, removed: removed.status }).toEqual({ title, removed: 204 });
    }
  }, 60_000);

test("with a read token they only read", async () => {
  await fetch(`${guarded.http}/kv/hello`, {
    method: "PUT",
    body: HELLO,
    headers: bearer(ALL),
  });
  for (const { title, text } of await snippetsFor(guarded, READ)) {
    expect(text.toLowerCase()).not.toContain("put");
    expect({ title, output: await run(title, text, READ) }).toEqual({
      title,
      output: expect.stringContaining(HELLO),
    });
  }
}, 60_000);
