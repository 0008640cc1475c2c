/** CONFIGURATION.md names every flag once, with the default that it has. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readInvocation } from "../../src/config/config";
import { type Flag, FLAG_NAMES, FLAGS, type FlagName } from "../../src/config/flags";
import type { Machine } from "../../src/system/machine";

const ROOT = new URL("../../", import.meta.url).pathname;
const TEXT = readFileSync(join(ROOT, "src/config/CONFIGURATION.md"), "utf8");
/** Large enough that no default is less than what its flag says. */
const MACHINE: Machine = {
  platform: "linux",
  cores: 4,
  memoryBytes: 64 * 2 ** 30,
  filesMax: 1_048_576,
  backlogMax: 4096,
};

/** What flags mean nothing without. */
const ORIGIN = ["--origin", "redis://localhost"];
const NEEDED: Partial<Record<string, string[]>> = {
  "data-max-age": ["--data-dir", "kept"],
  "origin-ca": ["--origin", "rediss://localhost"],
  "origin-namespace": ORIGIN,
  "origin-timeout": ORIGIN,
  "l1-max-age": ORIGIN,
  "l1-stale-max": ORIGIN,
};

interface Row {
  flag: string;
  /** As a value to type; empty where there is none. */
  defaultValue: string;
  text: string;
}

/** Rows that begin with a flag, of all tables. */
const ROWS: Row[] = [...TEXT.matchAll(/^\| `--([a-z0-9-]+)` *\|([^|]*)\|(.*)\|$/gm)].map(
  ([, flag, byDefault, text]) => ({
    flag: flag!,
    defaultValue: /^ `([^`]+)`/.exec(byDefault!)?.[1] ?? "",
    text: text!,
  }),
);

function settings(args: string[]) {
  const invocation = readInvocation(args, {}, MACHINE);
  if (invocation.kind !== "serve") throw new Error("does not serve");
  return invocation.settings;
}

test("every flag has one row, and every row is a flag", () => {
  expect(ROWS.map(({ flag }) => flag).sort()).toEqual([...FLAG_NAMES].sort());
});

describe("the default", () => {
  const withDefault = ROWS.filter(({ defaultValue }) => defaultValue !== "");

  test("that a row names is the one that holds without the flag", () => {
    expect(withDefault.length).toBeGreaterThan(12);
    for (const { flag, defaultValue } of withDefault) {
      const needed = NEEDED[flag] ?? [];
      expect({ flag, settings: settings([...needed, `--${flag}`, defaultValue]) }).toEqual({
        flag,
        settings: settings(needed),
      });
    }
  });

  test("is the one that --help names", () => {
    for (const { flag, defaultValue } of withDefault)
      expect({ flag, help: FLAGS[flag as FlagName].help }).toEqual({
        flag,
        help: expect.stringMatching(new RegExp(`\\(${RegExp.escape(defaultValue)}[,;) ]`)),
      });
  });
});

test("what may be given several times, and what stands alone, is said", () => {
  for (const name of FLAG_NAMES) {
    const { repeats, value }: Flag = FLAGS[name];
    const { text } = ROWS.find(({ flag }) => flag === name)!;
    expect({ name, says: text.includes("several times") }).toEqual({ name, says: repeats === true });
    expect({ name, says: text.includes("a switch") }).toEqual({ name, says: value === undefined });
  }
});

test("what README names is a flag, too", () => {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const section = readme.slice(readme.indexOf("\n## Configuration\n")).split(/\n## /)[1]!;
  const named = [...section.matchAll(/^\| `--([a-z0-9-]+)`/gm)].map(([, flag]) => flag!);
  expect(named.length).toBeGreaterThan(4);
  expect(named.filter((flag) => !FLAG_NAMES.includes(flag as FlagName))).toEqual([]);
});
