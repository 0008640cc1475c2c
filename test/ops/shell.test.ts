/** Every shell file of the repository passes shellcheck, and those to be run can be run. */
import { expect } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { missingCommands, testThatNeeds } from "../support/needs";

const ROOT = new URL("../../", import.meta.url).pathname;

/** Paths of files that git knows and that are shell by name or first line. New files count, deleted ones do not. */
function shellFiles(): string[] {
  const list = (...flags: string[]) => {
    const { exitCode, stdout, stderr } = Bun.spawnSync(["git", "ls-files", "-z", ...flags], { cwd: ROOT });
    if (exitCode !== 0) throw new Error(`git ls-files: ${stderr.toString()}`);
    return stdout.toString().split("\0").filter(Boolean);
  };
  const deleted = new Set(list("--deleted"));
  return list("--cached", "--others", "--exclude-standard").filter(
    (path) => !deleted.has(path) && isShell(path),
  );
}

function isShell(path: string): boolean {
  if (!statSync(join(ROOT, path)).isFile()) return false;
  if (/\.(sh|bash)$/.test(path)) return true;
  return /^#!.*\b(ba|da|k|z)?sh\b/.test(readFileSync(join(ROOT, path), "latin1").slice(0, 128));
}

const FILES = missingCommands("git").length > 0 ? [] : shellFiles();

testThatNeeds(missingCommands("git", "shellcheck"), "shell files pass shellcheck", async () => {
  expect(FILES).toContain(".ci/run");
  expect(FILES).toContain("ops/tune");
  const { exitCode, stdout } = Bun.spawnSync(["shellcheck", ...FILES], { cwd: ROOT });
  if (exitCode !== 0) throw new Error(stdout.toString());
});

testThatNeeds(missingCommands("git"), "shell files under ops can be run", async () => {
  const scripts = FILES.filter((path) => path.startsWith("ops/"));
  expect(scripts).toContain("ops/test/profile");
  expect(scripts.filter((path) => (statSync(join(ROOT, path)).mode & 0o111) !== 0o111)).toEqual([]);
});
