/** The prompt's history file: who may read it, and how large it gets. */
import { afterEach, describe, expect, test } from "bun:test";
import { appendFileSync, chmodSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import {
  History,
  HISTORY_BYTES_MAX,
  HISTORY_LINE_MAX,
  HISTORY_LINES_MAX,
  historyFile,
} from "../../src/cli/repl/history";
import { temporaryFile, temporaryPath } from "../support/temporary";

const problems: string[] = [];
const open = (file: string) => new History(file, (problem) => problems.push(problem));
const modeOf = (file: string) => statSync(file).mode & 0o777;

afterEach(() => {
  problems.length = 0;
});

describe("the file", () => {
  test("is made, with its directory, for its owner alone; the next session has its lines, newest first", () => {
    const file = join(temporaryPath("state"), "breadbox/history");
    const first = open(file);
    expect(first.lines).toEqual([]);
    first.add("get a");
    first.add("get b");
    first.close();
    expect([modeOf(file), modeOf(dirname(file))]).toEqual([0o600, 0o700]);
    const second = open(file);
    expect(second.lines).toEqual(["get b", "get a"]);
    second.add("get c");
    second.close();
    expect(readFileSync(file, "utf8")).toBe("get a\nget b\nget c\n");
    expect(problems).toEqual([]);
  });

  test("that others may read is closed to them", () => {
    const file = temporaryFile("open-history", "get a\n");
    chmodSync(file, 0o644);
    open(file).close();
    expect(modeOf(file)).toBe(0o600);
  });

  test("keeps the newest lines when it has many, and its mode", () => {
    const lines = Array.from({ length: 2 * HISTORY_LINES_MAX + 1 }, (_, i) => `get ${i}`);
    const file = temporaryFile("many-lines", `${lines.join("\n")}\n`);
    const history = open(file);
    expect(history.lines).toEqual(lines.slice(-HISTORY_LINES_MAX).reverse());
    history.add("get last");
    history.close();
    const kept = readFileSync(file, "utf8").trimEnd().split("\n");
    expect(kept).toEqual([...lines.slice(-HISTORY_LINES_MAX), "get last"]);
    expect(modeOf(file)).toBe(0o600);
  });

  test("of many bytes is read from its end alone, and made smaller", () => {
    const file = temporaryFile("many-bytes", "");
    for (let written = 0; written <= HISTORY_BYTES_MAX; written += 40_001)
      appendFileSync(file, `${"x".repeat(40_000)}\n`);
    appendFileSync(file, "get last\n");
    const history = open(file);
    history.close();
    expect(history.lines[0]).toBe("get last");
    expect(history.lines.slice(1).every((line) => line === "x".repeat(40_000))).toBe(true);
    expect(statSync(file).size).toBeLessThanOrEqual(HISTORY_BYTES_MAX);
  });

  test("gets no line that is too long", () => {
    const file = temporaryFile("long-line", "");
    const history = open(file);
    history.add("x".repeat(HISTORY_LINE_MAX + 1));
    history.add("x".repeat(HISTORY_LINE_MAX));
    history.close();
    expect(statSync(file).size).toBe(HISTORY_LINE_MAX + 1);
  });
});

describe("no file", () => {
  test("for an empty name", () => {
    const history = open("");
    history.add("get a");
    history.close();
    expect({ lines: history.lines, problems }).toEqual({ lines: [], problems: [] });
  });

  test("where there cannot be one: it is said once, and nothing else happens", () => {
    for (const file of ["/dev/null", temporaryPath(""), join(temporaryFile("plain", ""), "history")]) {
      problems.length = 0;
      const history = open(file);
      history.add("get a");
      history.add("get b");
      history.close();
      expect({ file, lines: history.lines, count: problems.length }).toEqual({ file, lines: [], count: 1 });
      expect(problems[0]).toStartWith("no history is kept: ");
    }
    expect(modeOf("/dev/null")).toBe(0o666);
  });
});

test("where it is: as the XDG Base Directory Specification has it", () => {
  expect(historyFile({ XDG_STATE_HOME: "/state" })).toBe("/state/breadbox/history");
  const usual = join(homedir(), ".local/state/breadbox/history");
  expect([historyFile({}), historyFile({ XDG_STATE_HOME: "relative" })]).toEqual([usual, usual]);
});
