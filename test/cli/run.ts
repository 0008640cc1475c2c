/** The command line as a process, for tests: exact bytes, exit codes. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const BIN = new URL("../../src/bin.ts", import.meta.url).pathname;
/** Nobody listens there. */
export const NOWHERE = "http://127.0.0.1:1";
const PROGRAMS = mkdtempSync(join(tmpdir(), "breadbox-"));
writeFileSync(join(PROGRAMS, "breadbox"), `#!/bin/sh\nexec "${process.execPath}" "${BIN}" "$@"\n`, {
  mode: 0o755,
});

/** The command line, for a process of one's own. */
export const BREADBOX = [process.execPath, BIN];

export interface Ran {
  code: number;
  stdout: Buffer;
  stderr: string;
}

export interface RunOptions {
  /** All of standard input; without it there is none. */
  input?: Uint8Array | string;
  env?: Record<string, string>;
}

/** Runs a subcommand against a server. */
export async function breadboxAt(url: string, args: string[], options: RunOptions = {}): Promise<Ran> {
  const { input, env } = options;
  const child = Bun.spawn([process.execPath, BIN, ...args], {
    stdin: input === undefined ? "ignore" : new Blob([input as string]),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, BREADBOX_URL: url, ...env },
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).bytes(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout: Buffer.from(stdout), stderr };
}

/** Runs a line of shell, in which `breadbox` is the command. */
export async function shellAt(
  url: string,
  line: string,
  cwd = process.cwd(),
): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = Bun.spawn(["sh", "-c", line], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    cwd,
    env: { ...process.env, BREADBOX_URL: url, PATH: `${PROGRAMS}:${process.env.PATH}` },
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}
