/** Each verb on the command line: hit, miss, JSON, null bytes, keys of every kind, and its examples as the help has them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Cache, connect } from "../../src/client/client";
import { repl } from "../../src/cli/repl/repl";
import { VERBS } from "../../src/cli/verbs";
import { HostileServer } from "../client/hostile-server";
import { missingCommands, testThatNeeds } from "../support/needs";
import { startServer, type TestServer } from "../support/server";
import { temporaryFile, temporaryPath } from "../support/temporary";
import { PseudoTerminal } from "./pseudo-terminal";
import { BIN, BREADBOX, breadboxAt, type RunOptions, shellAt } from "./run";

let server: TestServer;
let cache: Cache;

beforeAll(async () => {
  server = await startServer();
  cache = await connect(server.ws);
});

afterAll(async () => {
  await cache.close();
  expect(await server.stop()).toBe(0);
});

/** Exit code, and both outputs as text. */
async function breadbox(args: string[], options?: RunOptions) {
  const { code, stdout, stderr } = await breadboxAt(server.http, args, options);
  return { code, stdout: stdout.toString(), stderr };
}

/** What a JSON line each says. */
function jsonLines(text: string): any[] {
  expect(text).toEndWith("\n");
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

/** Of every kind that the client can carry. */
const KEYS = [
  "all:plain",
  "all:with space",
  "all:line\nbreak",
  "all:'quotes\"",
  "all:back\\slash",
  "all:grüße 🍞",
  "all:\ufeffmark",
  "all:\u0001\u001b[2J\u007f\u0085",
  "-all",
  "--all",
  "-5",
];

describe("get", () => {
  test("with --delete, entries are gone when they are read", async () => {
    await cache.put("take:1", Buffer.from([0, 255]));
    await cache.put("take:2", "two", { ttlMs: 60_000 });
    const { code, stdout } = await breadboxAt(server.http, ["get", "take:1", "--delete"]);
    expect({ code, stdout: [...stdout] }).toEqual({ code: 0, stdout: [0, 255] });
    expect(await breadbox(["get", "take:1", "--delete"])).toMatchObject({ code: 1, stdout: "" });
    const json = await breadbox(["get", "take:1", "take:2", "--delete", "--json"]);
    expect(json.code).toBe(1);
    expect(jsonLines(json.stdout)).toEqual([
      { key: "take:1", found: false },
      { key: "take:2", found: true, value: "two" },
    ]);
    expect(await cache.many(["take:1", "take:2"])).toEqual([null, null]);
  });

  test("of several keys: a line each, an empty one for a miss, which standard error names", async () => {
    await cache.put("get:1", "one");
    await cache.put("get:3", "");
    expect(await breadbox(["get", "get:1", "get:2", "get:3"])).toEqual({
      code: 1,
      stdout: "one\n\n\n",
      stderr: 'there is no entry "get:2"\n',
    });
    expect(await breadbox(["get", "get:1", "get:3"])).toEqual({ code: 0, stdout: "one\n\n", stderr: "" });
    expect(await breadbox(["get", "get:3"])).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test("--null ends each value, also a single one", async () => {
    await cache.put("get:1", "one\n");
    expect((await breadbox(["get", "get:1", "get:2", "--null"])).stdout).toBe("one\n\0\0");
    expect((await breadbox(["get", "get:1", "--null"])).stdout).toBe("one\n\0");
  });

  test("--json: a line for each key", async () => {
    const version = await cache.put("get:json", new Uint8Array([255]), { ttlMs: 60_000 });
    const { code, stdout } = await breadbox(["get", "get:json", "get:2", "--json"]);
    const [found, missing] = jsonLines(stdout);
    expect({ code, found, missing }).toEqual({
      code: 1,
      found: { key: "get:json", found: true, value: { base64: "/w==" }, version, ttlMs: expect.any(Number) },
      missing: { key: "get:2", found: false },
    });
  });

  test("keys from standard input, more than are asked together, in their order", async () => {
    const keys = Array.from({ length: 1000 }, (_, i) => `many:${i}`);
    await Promise.all(keys.map((key, i) => cache.put(key, `value ${i}`)));
    const { code, stdout } = await breadbox(["get", "-"], { input: keys.join("\n") });
    expect(code).toBe(0);
    expect(stdout).toBe(keys.map((_, i) => `value ${i}\n`).join(""));
    expect(await breadbox(["get", "-"], { input: "" })).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test("keys of standard input that no key can be: which one", async () => {
    await cache.put("get:1", "one");
    const cases: [Uint8Array, string][] = [
      [Buffer.from("get:1\n\xff\n", "latin1"), "get: standard input: key 2 is not UTF-8"],
      [Buffer.alloc(65_536, "k"), "get: standard input: key 1 is longer than 65535 bytes"],
    ];
    for (const [input, message] of cases) {
      const { code, stderr } = await breadbox(["get", "-"], { input });
      expect({ code, stderr }).toEqual({ code: 64, stderr: `breadbox: ${message}\n` });
    }
    expect((await breadbox(["get", "-"], { input: "\n" })).code).toBe(64);
  });
});

describe("info", () => {
  test("a line for each key; a miss is exit code 1", async () => {
    const version = await cache.put("info:1", "four");
    await cache.put("info:2", "1", { ttlMs: 3_600_000 });
    const { code, stdout, stderr } = await breadbox(["info", "info:1", "info:0", "info:2"]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'there is no entry "info:0"\n' });
    const [first, second] = stdout.trimEnd().split("\n");
    expect(first).toBe(`"info:1"  4 bytes, version ${version}, does not expire`);
    expect(second).toMatch(/^"info:2" {2}1 byte, version \d+, expires in (1h|60m)$/);
  });

  test("--json: a line for each key", async () => {
    const version = await cache.put("info:1", "four");
    expect(jsonLines((await breadbox(["info", "info:1", "info:0", "--json"])).stdout)).toEqual([
      { key: "info:1", found: true, version, ttlMs: null, length: 4 },
      { key: "info:0", found: false },
    ]);
  });
});

describe("touch", () => {
  test("gives a time to live, and takes it away; the version stays", async () => {
    const version = await cache.put("touch", "x");
    expect(await breadbox(["touch", "touch", "--ttl", "1h"])).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(await cache.info("touch")).toEqual({ version: version!, ttlMs: expect.any(Number), length: 1 });
    expect((await breadbox(["touch", "touch", "--json"])).stdout).toBe('{"key":"touch","touched":true}\n');
    expect(await cache.info("touch")).toEqual({ version: version!, ttlMs: null, length: 1 });
  });

  test("a miss", async () => {
    expect(await breadbox(["touch", "no"])).toEqual({
      code: 1,
      stdout: "",
      stderr: 'there is no entry "no"\n',
    });
    expect(await breadbox(["touch", "no", "--json"])).toEqual({
      code: 1,
      stdout: '{"key":"no","touched":false}\n',
      stderr: "",
    });
  });
});

describe("incr", () => {
  test("by one, by more, by less, beyond 2^53", async () => {
    const printed: string[] = [];
    for (const amount of [[], ["41"], ["-50"], ["+1"], ["9223372036854775807"], ["-9223372036854775808"]])
      printed.push((await breadbox(["incr", "counter", ...amount])).stdout);
    expect(printed).toEqual(["1\n", "42\n", "-8\n", "-7\n", "9223372036854775800\n", "-8\n"]);
    expect((await breadbox(["incr", "counter", "9007199254740999", "--json"])).stdout).toBe(
      '{"key":"counter","number":9007199254740991}\n',
    );
  });

  test("--ttl counts for the one that creates it", async () => {
    await breadbox(["incr", "limited", "--ttl", "1h"]);
    expect((await cache.info("limited"))!.ttlMs).toBeWithin(1, 3_600_001);
    await cache.touch("limited");
    await breadbox(["incr", "limited", "--ttl", "1h"]);
    expect((await cache.info("limited"))!.ttlMs).toBeNull();
  });

  test("what is no number stays as it is", async () => {
    await cache.put("word", "bread");
    const { code, stdout, stderr } = await breadbox(["incr", "word"]);
    expect({ code, stdout }).toEqual({ code: 64, stdout: "" });
    expect(stderr).toMatch(/^breadbox: incr: [^\n]+\n$/);
    expect(await cache.get("word")).toBe("bread");
  });
});

describe("append", () => {
  test("from an argument, from standard input, from a file", async () => {
    await cache.put("log", "a");
    const file = temporaryFile("append", "c");
    expect(await breadbox(["append", "log", "b"])).toEqual({ code: 0, stdout: "", stderr: "" });
    expect((await breadbox(["append", "log", "--file", file, "--json"])).stdout).toBe(
      '{"key":"log","appended":true}\n',
    );
    expect((await breadbox(["append", "log", "-"], { input: new Uint8Array([255, 0]) })).code).toBe(0);
    expect(Buffer.from((await cache.getBytes("log"))!).toString("latin1")).toBe("abc\xff\0");
  });

  test("to what is not there: a miss, and it is not created", async () => {
    expect(await breadbox(["append", "no", "b"])).toEqual({
      code: 1,
      stdout: "",
      stderr: 'there is no entry "no"\n',
    });
    expect(await cache.get("no")).toBeNull();
  });
});

describe("del", () => {
  test("of several: each is said that was not there", async () => {
    await cache.put("del:1", "x");
    await cache.put("del:3", "x");
    expect(await breadbox(["del", "del:1", "del:2"])).toEqual({
      code: 1,
      stdout: "",
      stderr: 'there is no entry "del:2"\n',
    });
    expect(jsonLines((await breadbox(["del", "del:2", "del:3", "--json"])).stdout)).toEqual([
      { key: "del:2", removed: false },
      { key: "del:3", removed: true },
    ]);
  });
});

describe("keys of every kind", () => {
  test("as arguments of every verb", async () => {
    await Promise.all(
      KEYS.map(async (key) => {
        expect((await breadbox(["put", "--ttl", "1h", "--", key, "1"])).code).toBe(0);
        expect((await breadbox(["incr", "--", key, "10"])).stdout).toBe("11\n");
        expect((await breadbox(["append", "--", key, "0"])).code).toBe(0);
        expect((await breadbox(["touch", "--", key])).code).toBe(0);
        const [info] = jsonLines((await breadbox(["info", "--json", "--", key])).stdout);
        expect(info).toMatchObject({ key, found: true, ttlMs: null, length: 3 });
        expect((await breadbox(["get", "--", key])).stdout).toBe("110");
        expect((await breadbox(["del", "--", key])).code).toBe(0);
        expect(await cache.get(key)).toBeNull();
      }),
    );
  });

  test("through scan, and from standard input to get, info and del", async () => {
    await Promise.all(KEYS.map((key, i) => cache.put(key, `value ${i}`)));
    const { stdout: scanned } = await breadbox(["scan", "all:", "--null"]);
    const keys = KEYS.filter((key) => key.startsWith("all:"));
    expect(scanned.split("\0").sort()).toEqual(["", ...keys].sort());
    const input = KEYS.map((key) => `${key}\0`).join("");
    expect((await breadbox(["get", "-", "--null"], { input })).stdout).toBe(
      KEYS.map((_, i) => `value ${i}\0`).join(""),
    );
    const infos = jsonLines((await breadbox(["info", "-", "--null", "--json"], { input })).stdout);
    expect(infos.map(({ key, found }) => ({ key, found }))).toEqual(
      KEYS.map((key) => ({ key, found: true })),
    );
    expect((await breadbox(["del", "-", "--null"], { input })).code).toBe(0);
    expect(await cache.many(KEYS)).toEqual(KEYS.map(() => null));
  });

  test("a key that is - itself, through standard input", async () => {
    await cache.put("-", "dash");
    expect((await breadbox(["get", "-"], { input: "-" })).stdout).toBe("dash\n");
    expect((await breadbox(["del", "-"], { input: "-" })).code).toBe(0);
  });
});

describe("clear", () => {
  test("refuses where it cannot ask, and changes nothing", async () => {
    await cache.put("clear:1", "x");
    const { code, stderr } = await breadbox(["clear", "clear:"]);
    expect({ code, stderr }).toEqual({
      code: 64,
      stderr: "breadbox: clear: it asks first, and there is no terminal to ask at; --yes answers for it\n",
    });
    expect(await cache.get("clear:1")).toBe("x");
  });

  test("a prefix, and how many it were", async () => {
    await Promise.all(["clear:1", "clear:2", "clean"].map((key) => cache.put(key, "x")));
    expect(await breadbox(["clear", "clear:", "--yes"])).toEqual({ code: 0, stdout: "2\n", stderr: "" });
    expect((await breadbox(["clear", "clear:", "--yes", "--json"])).stdout).toBe(
      '{"prefix":"clear:","removed":0}\n',
    );
    expect(await cache.get("clean")).toBe("x");
  });

  test("at a terminal it asks, and only yes is a yes", async () => {
    await Promise.all(["ask:1", "ask:2"].map((key) => cache.put(key, "x")));
    for (const [answer, code, after] of [
      ["n\r", 1, "nothing was removed"],
      ["\r", 1, "nothing was removed"],
      ["\x04", 1, "nothing was removed"],
      ["\x03", 130, ""],
      ["y\r", 0, "2"],
    ] as const) {
      const terminal = new PseudoTerminal([...BREADBOX, "clear", "ask:"], { BREADBOX_URL: server.http });
      await terminal.shows('remove every entry whose key begins with "ask:"? [y/N] ');
      terminal.type(answer);
      expect({ answer, code: await terminal.exited }).toEqual({ answer, code });
      expect(terminal.screen).toContain(after);
      expect((await cache.many(["ask:1"]))[0]).toBe(code === 0 ? null : "x");
    }
  });

  test("before it removes everything it says how much that is", async () => {
    await cache.clear();
    await cache.put("one", "x");
    const terminal = new PseudoTerminal([...BREADBOX, "clear", "--all"], { BREADBOX_URL: server.http });
    await terminal.shows("remove every entry (1)? [y/N] ");
    terminal.type("yes\r");
    expect(await terminal.exited).toBe(0);
    expect(await cache.get("one")).toBeNull();
  });

  test("an empty prefix is an error that says what to say", async () => {
    const { stderr } = await breadbox(["clear", "", "--yes"]);
    expect(stderr).toBe("breadbox: clear: an empty prefix is that of every key; --all says so\n");
  });
});

describe("what comes in between", () => {
  for (const args of [
    ["incr", "k"],
    ["touch", "k"],
    ["append", "k", "x"],
    ["info", "k"],
    ["clear", "k", "--yes"],
  ])
    test(`Ctrl-C ends ${args[0]} with exit code 130, and says of a write that it may have happened`, async () => {
      const waiting = Promise.withResolvers<void>();
      await using silent = new HostileServer([{ received: () => waiting.resolve() }]);
      const child = Bun.spawn([process.execPath, BIN, ...args, "--url", silent.url], { stderr: "pipe" });
      await waiting.promise;
      child.kill("SIGINT");
      expect(await child.exited).toBe(130);
      const wanted =
        args[0] === "info" ? "" : `breadbox: ${args[0]}: interrupted; the write may have happened\n`;
      expect(await new Response(child.stderr).text()).toBe(wanted);
    });

  test("nobody reads the output any more: exit code 141, quietly", async () => {
    const keys = Array.from({ length: 20_000 }, (_, i) => `pipe:${i}`);
    await Promise.all(keys.map((key) => cache.put(key, "x".repeat(100))));
    temporaryFile("pipe-keys", keys.join("\n"));
    for (const verb of ["get -", "info -", "del - --json"]) {
      const line = `{ breadbox ${verb} < ${temporaryPath("pipe-keys")}; echo "exit $?" >&2; } | head -c1 > /dev/null`;
      const { stderr } = await shellAt(server.http, line);
      expect({ verb, stderr }).toEqual({ verb, stderr: "exit 141\n" });
    }
  });
});

describe("the examples of the help run, and none fails", () => {
  const directory = temporaryPath("examples");
  mkdirSync(directory, { recursive: true });
  for (const file of ["logo.png", "today.log"]) writeFileSync(join(directory, file), "content");
  /** It ends with Ctrl-C alone. */
  const endless = /^breadbox watch-stats/;
  const toolsOf = (examples: string[]) =>
    missingCommands(
      ...examples.flatMap((example) => [...example.matchAll(/\| (jq|xargs)/g)].map(([, tool]) => tool!)),
    );

  // What these print depends on what others do meanwhile: cli.test.ts has it.
  const { watch: _, monitor: __, ...verbs } = VERBS;
  for (const [name, { examples }] of Object.entries({ ...verbs, repl }))
    testThatNeeds(toolsOf(examples), name, async () => {
      // No other machine is there.
      for (const example of examples.filter((one) => !one.includes("--url"))) {
        await cache.clear();
        for (const key of ["backup", "log", "logo", "session:ada", "user:1", "old:1", "old:2"])
          await cache.put(key, "x");
        if (name !== "put") await cache.put("name", "Breadbox", { ttlMs: 60_000 });
        const line = endless.test(example) ? `${example} --count 1` : example;
        const { code, stderr } = await shellAt(server.http, line, directory);
        expect({ line, code, stderr }).toEqual({ line, code: 0, stderr: "" });
      }
    });
});
