/** The kernel and limits profile: ops/test/profile has the cases; each runs in a network and a /proc/sys of its own. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { missingCommands, testThatNeeds } from "../support/needs";

const OPS = new URL("../../ops/", import.meta.url).pathname;

function missing(): string[] {
  const lacking = missingCommands("unshare", "setpriv", "prlimit", "setsid", "ip", "ss");
  if (process.getuid!() !== 0) return ["root", ...lacking];
  if (lacking.length > 0) return lacking;
  const mayUnshare = Bun.spawnSync(["unshare", "--net", "--mount", "true"]).exitCode === 0;
  return mayUnshare ? [] : ["the right to make namespaces"];
}

testThatNeeds(
  missing(),
  "ops/tune checks, applies and reverts, and nothing is seen outside",
  async () => {
    const child = Bun.spawn([join(OPS, "test/profile")], {
      env: { ...process.env, BUN: process.execPath },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, code] = await Promise.all([
      child.stdout.text(),
      child.stderr.text(),
      child.exited,
    ]);
    if (code !== 0) throw new Error(`ops/test/profile ended with ${code}:\n${stdout}${stderr}`);
    expect(stdout.match(/^not ok/gm)).toBeNull();
    // It says at the end how many cases there are.
    const [, cases] = /^1\.\.(\d+)\n$/m.exec(stdout)!;
    expect(stdout.match(/^ok /gm)!.length).toBe(Number(cases));
  },
  180_000,
);

test("the profile has one comment with a rule for each key, and root has the limits of everyone", () => {
  const lines = readFileSync(join(OPS, "sysctl/90-breadbox.conf"), "utf8").split("\n");
  const keys = lines.flatMap((line, at) => (/^(#unsafe )?[a-z][^ ]*=/.test(line) ? [at] : []));
  expect(keys.length).toBe(17);
  for (const at of keys)
    expect(lines[at - 1]).toMatch(/^# \[(at least|at most|range|bits|ports|exactly)\] .{20,}/);

  const limits = readFileSync(join(OPS, "limits/90-breadbox.conf"), "utf8").match(/^[^#\n].*$/gm)!;
  const of = (who: string) =>
    limits.filter((line) => line.startsWith(`${who} `)).map((line) => line.slice(who.length));
  expect(of("*")).toEqual([" soft nofile 1048576", " hard nofile 1048576"]);
  expect(of("root")).toEqual(of("*"));
});
