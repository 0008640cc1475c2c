/** The command line as a person uses it: a process each, exact bytes, exit codes. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { version } from "../../package.json";
import { connect } from "../../src/client/client";
import { HostileServer } from "../client/hostile-server";
import { freeze, thaw } from "../support/process";
import { startServer, type TestServer } from "../support/server";
import { temporaryFile } from "../support/temporary";
import { WireClient } from "../support/wire-client";
import { request } from "../support/frames";
import { BIN, breadboxAt, NOWHERE, type RunOptions, shellAt } from "./run";

let server: TestServer;

beforeAll(async () => {
  server = await startServer();
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

const breadbox = (args: string[], options?: RunOptions) => breadboxAt(server.http, args, options);
const shell = (line: string) => shellAt(server.http, line);

const everyByte = Buffer.from(Array.from({ length: 70_000 }, (_, i) => (i * 7) % 256));

describe("watch", () => {
  /** A watch that has begun: what it prints from then on, and its exit code. */
  async function watching(args: string[], env: Record<string, string> = {}) {
    const child = Bun.spawn([process.execPath, BIN, "watch", ...args], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, BREADBOX_URL: server.http, ...env },
    });
    const reader = child.stderr.getReader();
    const said = Buffer.from((await reader.read()).value!).toString();
    return { child, said, output: new Response(child.stdout).text() };
  }

  test("prints the changes under a prefix, as text and as JSON, and ends after so many", async () => {
    const text = await watching(["w:", "--count", "2"]);
    const json = await watching(["w:", "--count", "2", "--json"]);
    expect(text.said).toBe('watching "w:"\n');
    const cache = await connect(server.ws);
    await cache.put("beside", "x");
    await cache.put("w:1", "x");
    await cache.clear("w:");
    await cache.close();
    expect(await text.output).toMatch(/^changed "w:1" \d+\nreset "w:"\n$/);
    const [changed, reset] = (await json.output).trimEnd().split("\n");
    expect(JSON.parse(changed!)).toEqual({ key: "w:1", version: expect.any(Number) });
    expect(JSON.parse(reset!)).toEqual({ reset: "w:" });
    expect([await text.child.exited, await json.child.exited]).toEqual([0, 0]);
  });

  test("ends with Ctrl-C, and with an error where no server is", async () => {
    const interrupted = await watching([]);
    interrupted.child.kill("SIGINT");
    expect(await interrupted.child.exited).toBe(0);
    expect(await breadbox(["watch"], { env: { BREADBOX_URL: NOWHERE } })).toMatchObject({
      code: 69,
      stderr: expect.stringContaining("nobody listens there"),
    });
  });

  test("needs a token where one is needed", async () => {
    const closed = await startServer({ env: { BREADBOX_TOKEN: "secret" } });
    expect(await breadbox(["watch"], { env: { BREADBOX_URL: closed.http } })).toMatchObject({ code: 77 });
    const open = await watching(["--count", "1"], { BREADBOX_URL: closed.http, BREADBOX_TOKEN: "secret" });
    await breadbox(["put", "k", "x"], { env: { BREADBOX_URL: closed.http, BREADBOX_TOKEN: "secret" } });
    expect(await open.output).toMatch(/^changed "k" /);
    await closed.stop();
  });
});

describe("monitor", () => {
  /** One that has begun; its lines as they come. */
  async function monitoring(args: string[], env: Record<string, string> = {}) {
    const child = Bun.spawn([process.execPath, BIN, "monitor", ...args], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, BREADBOX_URL: server.http, ...env },
    });
    const reader = child.stderr.getReader();
    let said = "";
    const more = async () => {
      const { value, done } = await reader.read();
      if (!done) said += Buffer.from(value).toString();
      return !done;
    };
    while (!said.includes("watching") && (await more()));
    /** All of standard error, when it has ended. */
    const saidInAll = async () => {
      while (await more());
      return said;
    };
    const lines = createInterface({ input: Readable.fromWeb(child.stdout as never) })[Symbol.asyncIterator]();
    /** The next line of which this is true. */
    const lineWith = async (isIt: (line: string) => boolean): Promise<string> => {
      for (;;) {
        const { value, done } = await lines.next();
        if (done) throw new Error("it has ended");
        if (isIt(value)) return value;
      }
    };
    return { child, saidInAll, lineWith };
  }

  test("lists changes with their time, and counts verbs, until Ctrl-C", async () => {
    const { child, saidInAll, lineWith } = await monitoring(["m:", "--interval", "50"]);
    await using cache = await connect(server.ws);
    await cache.put("beside", "x");
    await cache.put("m:1", "x");
    const changed = await lineWith((line) => line.includes("changed"));
    expect(changed).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z {2}changed "m:1" \d+$/);
    let reading = true;
    const reads = (async () => {
      while (reading) await cache.get("nothing");
    })();
    const rates = await lineWith((line) => line.includes("get "));
    expect(rates).toMatch(/Z {2}[\d,.]+ a second: (\w+ [\d,.]+, )*get [\d,.]+/);
    reading = false;
    await reads;
    child.kill("SIGINT");
    expect(await child.exited).toBe(0);
    expect(await saidInAll()).toBe('watching "m:"\n');
  });

  test("as JSON, and for so many lines; its own requests are not counted", async () => {
    const { child, lineWith } = await monitoring(["--json", "--interval", "50", "--count", "2"]);
    await using cache = await connect(server.ws);
    await cache.put("m:2", "x");
    const lines = [await lineWith(() => true), await lineWith(() => true)].map((line) => JSON.parse(line));
    const change = lines.find(({ key }) => key !== undefined);
    const rates = lines.find(({ perSecond }) => perSecond !== undefined);
    expect(change).toEqual({ time: expect.any(String), key: "m:2", version: expect.any(Number) });
    expect(rates.perSecond.put).toBeGreaterThan(0);
    expect(rates.perSecond.stats).toBeUndefined();
    expect(await child.exited).toBe(0);
  });

  test("a token that may not ask for stats sees the changes", async () => {
    const secret = temporaryFile("monitor-secret", "x".repeat(40));
    const scoped = await startServer({ flags: ["--token-secret-file", secret, "--token", "all"] });
    const signed = ["token", "--secret-file", secret, "--prefix", "m:", "--allow", "get", "--expires", "1h"];
    const token = await breadbox(signed);
    const env = { BREADBOX_URL: scoped.http, BREADBOX_TOKEN: token.stdout.toString().trim() };
    const { child, saidInAll, lineWith } = await monitoring(["--count", "1"], env);
    await using cache = await connect(scoped.ws, { token: "all" });
    await cache.putMany([
      ["other", "x"],
      ["m:1", "x"],
    ]);
    expect(await lineWith(() => true)).toContain('changed "m:1"');
    expect(await child.exited).toBe(0);
    expect(await saidInAll()).toContain("verbs are not counted: this token may only do");
    expect(await scoped.stop()).toBe(0);
  });

  test("a token that may only read sees changes and counts", async () => {
    const guarded = await startServer({ flags: ["--token", "all", "--read-token", "reader"] });
    const env = { BREADBOX_URL: guarded.http, BREADBOX_TOKEN: "reader" };
    const { child, lineWith } = await monitoring(["--interval", "50"], env);
    await using cache = await connect(guarded.ws, { token: "all" });
    await cache.put("m:1", "x");
    expect(await lineWith((line) => line.includes("changed"))).toContain('changed "m:1"');
    child.kill("SIGINT");
    await child.exited;
    expect(await guarded.stop()).toBe(0);
  });

  test("ends with an error where no server is", async () => {
    expect(await breadbox(["monitor"], { env: { BREADBOX_URL: NOWHERE } })).toMatchObject({ code: 69 });
  });
});

describe("values in and out", () => {
  test("from an argument, out exactly as it went in", async () => {
    expect(await breadbox(["put", "arg", "grüße"])).toMatchObject({ code: 0, stderr: "" });
    const got = await breadbox(["get", "arg"]);
    expect({ code: got.code, text: got.stdout.toString() }).toEqual({ code: 0, text: "grüße" });
  });

  test("bytes of every kind from standard input and from a file", async () => {
    expect((await breadbox(["put", "stdin", "-"], { input: everyByte })).code).toBe(0);
    expect((await breadbox(["get", "stdin"])).stdout.equals(everyByte)).toBe(true);
    const file = join(mkdtempSync(join(tmpdir(), "breadbox-")), "value");
    writeFileSync(file, everyByte);
    expect((await breadbox(["put", "file", "--file", file])).code).toBe(0);
    expect((await breadbox(["get", "file"])).stdout.equals(everyByte)).toBe(true);
  });

  test("a miss is exit code 1, with nothing on standard output", async () => {
    const miss = await breadbox(["get", "nothing here"]);
    expect(miss).toMatchObject({ code: 1, stderr: 'there is no entry "nothing here"\n' });
    expect(miss.stdout).toHaveLength(0);
    expect((await breadbox(["del", "nothing here"])).code).toBe(1);
  });

  test("conditions and ttl", async () => {
    expect((await breadbox(["put", "c", "1", "--if", "absent", "--ttl", "60000"])).code).toBe(0);
    expect((await breadbox(["put", "c", "2", "--if", "absent"])).code).toBe(1);
    const entry = JSON.parse((await breadbox(["get", "c", "--json"])).stdout.toString());
    expect(entry).toMatchObject({ key: "c", found: true, value: "1" });
    expect(entry.version).toBeGreaterThan(0);
    expect(entry.ttlMs).toBeGreaterThan(1000);
    const stored = await breadbox(["put", "c", "3", "--if-version", String(entry.version), "--json"]);
    expect(JSON.parse(stored.stdout.toString())).toMatchObject({ key: "c", stored: true });
  });

  test("scan and del", async () => {
    for (const key of ["sc:1", "sc:2", "sc:3"]) await breadbox(["put", key, "x"]);
    const keys = (await breadbox(["scan", "sc:"])).stdout.toString().trimEnd().split("\n").sort();
    expect(keys).toEqual(["sc:1", "sc:2", "sc:3"]);
    expect((await breadbox(["del", ...keys])).code).toBe(0);
    expect(JSON.parse((await breadbox(["scan", "sc:", "--json"])).stdout.toString())).toEqual([]);
  });

  test("scan --null and xargs -0, as the help shows it, for keys of every kind", async () => {
    const keys = ["nul:with space", "nul:line\nbreak", "nul:'quotes\"", "nul:plain"];
    for (const key of keys) await breadbox(["put", key, "x"]);
    await breadbox(["put", "--", "-nul", "x"]);
    const { stdout } = await breadbox(["scan", "nul:", "--null"]);
    expect(stdout.toString().split("\0").sort()).toEqual(["", ...keys].sort());
    const [, example] = /\| (xargs .*)/.exec((await breadbox(["scan", "--help"])).stdout.toString())!;
    const { code } = await shell(
      `breadbox scan nul: --null | ${example}; breadbox scan --null -- -nul | ${example}`,
    );
    expect(code).toBe(0);
    expect((await breadbox(["scan", "nul:"])).stdout).toHaveLength(0);
    expect((await breadbox(["scan", "--", "-nul"])).stdout).toHaveLength(0);
  });

  test("times with units and without, in every option that takes one", async () => {
    const left = async (ttl: string) => {
      expect(await breadbox(["put", "timed", "x", "--ttl", ttl])).toMatchObject({ code: 0, stderr: "" });
      return JSON.parse((await breadbox(["get", "timed", "--json"])).stdout.toString()).ttlMs as number;
    };
    for (const [ttl, ms] of [
      ["60000", 60_000],
      ["60000ms", 60_000],
      ["60s", 60_000],
      ["1.5h", 5_400_000],
      ["15m", 900_000],
      ["30d", 2_592_000_000],
    ] as const)
      expect(await left(ttl)).toBeWithin(ms - 30_000, ms + 1);
    for (const ttl of ["0", "0s", "-5", "1.5", "60  s", "60x", "s", "1e3"])
      expect((await breadbox(["put", "timed", "x", `--ttl=${ttl}`])).code).toBe(64);
    expect((await breadbox(["get", "timed", "--timeout", "5s"])).code).toBe(0);
    expect((await breadbox(["watch-stats", "--count", "2", "--interval", "50ms"])).code).toBe(0);
  });

  test("a byte order mark is text like any other", async () => {
    await breadbox(["put", "marked", "\ufefftext"]);
    expect(JSON.parse((await breadbox(["get", "marked", "--json"])).stdout.toString()).value).toBe(
      "\ufefftext",
    );
  });
});

describe("output that is not taken", () => {
  test("nobody reads it any more: the end, quietly, with exit code 141", async () => {
    await breadbox(["put", "large", "-"], { input: new Uint8Array(4_000_000) });
    const client = await connect(server.http);
    await Promise.all(Array.from({ length: 20_000 }, (_, i) => client.put(`pipe:${i}`, "x")));
    for (const command of ["breadbox get large", "breadbox scan pipe:", "breadbox scan pipe: --json"]) {
      const { stdout, stderr } = await shell(`{ ${command}; echo "exit $?" >&2; } | head -c1 > /dev/null`);
      expect({ command, stdout, stderr }).toEqual({ command, stdout: "", stderr: "exit 141\n" });
    }
    await client.clear("pipe:");
    await client.close();
  });

  test("the disk is full: one line, exit code 74", async () => {
    await breadbox(["put", "some", "value"]);
    for (const command of ["get some", "scan", "stats --json", "help"]) {
      const { code, stderr } = await shell(`breadbox ${command} > /dev/full`);
      const [name] = command.split(" ");
      const about = name === "help" ? "" : `${name}: `;
      expect({ code, stderr }).toEqual({
        code: 74,
        stderr: `breadbox: ${about}standard output: no space left on device\n`,
      });
    }
  });

  test("nobody reads what it says: the exit code stays", async () => {
    expect((await shell("breadbox get nothing 2> /dev/full")).code).toBe(1);
    expect((await shell("breadbox get nothing 2>&-")).code).toBe(1);
  });
});

describe("the server itself", () => {
  test("stats, watch-stats, ping, health", async () => {
    const stats = JSON.parse((await breadbox(["stats", "--json"])).stdout.toString());
    expect(stats).toMatchObject({ workers: 2 });
    expect((await breadbox(["stats"])).stdout.toString()).toContain("memory");
    const watched = await breadbox(["watch-stats", "--count", "3", "--interval", "50", "--json"]);
    expect(watched.stdout.toString().trimEnd().split("\n")).toHaveLength(3);
    const plain = await breadbox(["watch-stats", "--count", "2", "--interval", "50"]);
    expect(plain.stdout.toString()).toContain("hits/s");
    expect(
      JSON.parse((await breadbox(["ping", "--count", "2", "--json"])).stdout.toString()).ms,
    ).toHaveLength(2);
    expect((await breadbox(["health"])).code).toBe(0);
    const unset = { BREADBOX_URL: "", BREADBOX_PORT: "", PORT: "" };
    expect((await breadbox(["health", "--port", String(server.port)], { env: unset })).code).toBe(0);
    expect((await breadbox(["health"], { env: { ...unset, PORT: String(server.port) } })).code).toBe(0);
    expect(await breadbox(["health", "--url", NOWHERE])).toMatchObject({
      code: 1,
      stderr: `${NOWHERE} does not answer: nobody listens there\n`,
    });
  });

  test("breadbox serve takes the server's flags", async () => {
    const served = await startServer({ program: BIN, flags: [], before: ["serve"] });
    expect((await breadbox(["ping", "--count", "1", "--url", served.http])).code).toBe(0);
    expect(await served.stop()).toBe(0);
    expect((await breadbox(["serve", "--nonsense"])).code).toBe(64);
  });

  test("tokens by flag and by environment", async () => {
    const guarded = await startServer({ flags: ["--token", "secret"] });
    const url = ["--url", guarded.http];
    const none = await breadbox(["put", "a", "b", ...url]);
    expect({ code: none.code, stderr: none.stderr }).toEqual({
      code: 77,
      stderr: `breadbox: put: no connection to ${guarded.ws}: a token is needed\n`,
    });
    expect((await breadbox(["put", "a", "b", ...url, "--token", "secret"])).code).toBe(0);
    expect((await breadbox(["get", "a", ...url], { env: { BREADBOX_TOKEN: "secret" } })).code).toBe(0);
    const wrong = await breadbox(["get", "a", ...url, "--token", "hush-hush"]);
    expect({ code: wrong.code, stderr: wrong.stderr }).toEqual({
      code: 77,
      stderr: `breadbox: get: no connection to ${guarded.ws}: the token is not accepted\n`,
    });
    expect((await breadbox(["bench", ...url])).code).toBe(77);
    await guarded.stop();
  });
});

test("a token that may not do this is exit code 77", async () => {
  const guarded = await startServer({ flags: ["--token", "all", "--read-token", "reader"] });
  const { code, stderr } = await breadbox(["put", "a", "b", "--url", guarded.http, "--token", "reader"]);
  expect(code).toBe(77);
  expect(stderr).toMatch(/^breadbox: put: [^\n]+\n$/);
  expect((await breadbox(["del", "a", "--url", guarded.http, "--token", "reader"])).code).toBe(77);
  await guarded.stop();
});

test("a server that stands still is exit code 69, and in time", async () => {
  const still = await startServer();
  await freeze(still.process.pid);
  for (const args of [["get", "a"], ["put", "a", "b"], ["scan"], ["ping"]]) {
    const { code, stderr } = await breadbox([...args, "--url", still.http, "--timeout", "200"]);
    expect({ args, code }).toEqual({ args, code: 69 });
    expect(stderr).toMatch(/^breadbox: [^\n]+ no answer within 200 ms\n$/);
  }
  thaw(still.process.pid);
  await still.stop();
});

test("a server that falls silent in the middle of it", async () => {
  await using silent = new HostileServer([{}]);
  const { code, stderr } = await breadbox(["get", "a", "--url", silent.url, "--timeout", "100"]);
  expect({ code, stderr }).toEqual({ code: 69, stderr: "breadbox: get: no answer within 100 ms\n" });
});

describe("wrong usage is one line and exit code 64", () => {
  for (const args of [
    ["fly"],
    ["get"],
    ["get", "a", "-"],
    ["repl", "a"],
    ["repl", "--history", "x"],
    ["get", "a", "--null", "--json"],
    ["del", "a", "--null"],
    ["del", "-", "a"],
    ["info"],
    ["info", "a", "--null"],
    ["incr", "a", "1.5"],
    ["incr", "a", "-5x"],
    ["incr", "a", "9223372036854775808"],
    ["incr", "a", "1", "--ttl", "-5"],
    ["touch", "a", "60s"],
    ["append", "a"],
    ["clear"],
    ["clear", "--yes"],
    ["clear", "", "--yes"],
    ["clear", "a", "--all", "--yes"],
    ["clear", "a"],
    ["get", "--colour", "red", "a"],
    ["put", "a"],
    ["put", "a", "b", "--file", "c"],
    ["put", "a", "--file", "/does/not/exist"],
    ["put", "a", "b", "--ttl", "soon"],
    ["put", "a", "b", "--if", "absent", "--if-version", "7"],
    ["scan", "--null", "--json"],
    ["get", "a", "-x"],
    ["set", "a", "b"],
    ["help", "fly"],
    ["token", "--prefix", "a", "--allow", "get", "--secret-file", "x", "--expires", "3600"],
    ["put", "a", "b", "--if", "maybe"],
    ["get", "a", "--url", "nonsense"],
    ["get", "a", "--timeout", "0"],
    ["bench", "--mix", "0:0"],
    ["bench", "--self", "--url", NOWHERE],
    ["bench", "--protocol", "http", "--batch", "5"],
  ]) {
    test(args.join(" "), async () => {
      const { code, stderr, stdout } = await breadbox(args);
      expect({ code, stdout: stdout.toString() }).toEqual({ code: 64, stdout: "" });
      expect(stderr).toMatch(/^breadbox: [^\n]+\n$/);
    });
  }

  test("an option that is not there: where they are listed", async () => {
    const { stderr } = await breadbox(["put", "--port", "7171", "a", "b"]);
    const options = "--help lists the options, and after -- all are arguments";
    expect(stderr).toBe(`breadbox: put: unknown option --port; ${options}\n`);
    const dashed = await breadbox(["put", "a", "-b"]);
    expect(dashed.stderr).toBe(`breadbox: put: unknown option -b; ${options}\n`);
    expect((await breadbox(["put", "a", "--", "-b"])).code).toBe(0);
    expect((await breadbox(["put", "a", "-5"])).code).toBe(0);
    expect((await breadbox(["get", "a"])).stdout.toString()).toBe("-5");
  });

  for (const [name, hint] of [
    ["set", " (here it is put)"],
    ["expire", " (here it is touch KEY --ttl TIME)"],
    ["incrby", " (here it is incr KEY AMOUNT)"],
    ["FLUSHALL", " (here it is clear --all)"],
    ["exists", " (here it is info)"],
    ["ttl", " (here it is info)"],
    ["GET", " (here it is get)"],
    ["sacn", " (did you mean scan?)"],
    ["constructor", ""],
  ] as const)
    test(`a command of another name: what it is called here: ${name}`, async () => {
      const { code, stderr } = await breadbox([name, "a", "b"]);
      expect({ code, stderr }).toEqual({
        code: 64,
        stderr: `breadbox: unknown command "${name}"${hint}; breadbox help lists them\n`,
      });
    });

  test("the version, of the command and of the server", async () => {
    for (const args of [["--version"], ["-v"], ["version"], ["serve", "--version"]]) {
      const { code, stdout } = await breadbox(args);
      expect({ args, code, stdout: stdout.toString() }).toEqual({
        args,
        code: 0,
        stdout: `breadbox ${version}\n`,
      });
    }
  });

  test("the server's help names the command that it was asked by", async () => {
    const { stdout } = await breadbox(["serve", "--help"]);
    expect(stdout.toString()).toContain("Usage: breadbox serve [flags]");
    expect(stdout.toString()).not.toContain("src/main.ts");
  });

  test("Ctrl-C ends a command that waits for a server, with exit code 130", async () => {
    await using silent = new HostileServer([{ received: () => waiting.resolve() }]);
    const waiting = Promise.withResolvers<void>();
    const child = Bun.spawn([process.execPath, BIN, "get", "a", "--url", silent.url, "--timeout", "10m"]);
    await waiting.promise;
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
  });

  test("a server that can't be reached is exit code 69", async () => {
    for (const args of [["get", "a"], ["put", "a", "b"], ["stats"], ["ping"], ["bench"]]) {
      const { code, stderr } = await breadbox([...args, "--url", NOWHERE]);
      expect({ args, code }).toEqual({ args, code: 69 });
      expect(stderr).toMatch(/^breadbox: [^\n]+\n$/);
    }
  });

  test("help for all and for each, with examples", async () => {
    const help = (await breadbox(["help"])).stdout.toString();
    const names = [...help.matchAll(/^ {2}([a-z-]+) {2,}/gm)].map(([, name]) => name!);
    expect(names).toEqual([
      "serve",
      "get",
      "put",
      "del",
      "info",
      "touch",
      "incr",
      "append",
      "scan",
      "clear",
      "watch",
      "monitor",
      "stats",
      "watch-stats",
      "ping",
      "repl",
      "health",
      "token",
      "bench",
    ]);
    for (const name of names.slice(1)) {
      const { code, stdout } = await breadbox([name, "--help"]);
      expect({ name, code }).toEqual({ name, code: 0 });
      expect(stdout.toString()).toContain("Examples:");
    }
    for (const args of [
      ["get", "-h"],
      ["help", "get"],
    ])
      expect((await breadbox(args)).stdout.toString()).toContain("Usage: breadbox get KEY");
    for (const code of [1, 64, 69, 70, 74, 77, 130, 141]) expect(help).toMatch(new RegExp(`\\b${code}\\b`));
  });
});

describe("bench", () => {
  const quick = ["--keys", "500", "--connections", "4", "--warmup", "0", "--json"];

  for (const [name, extra] of [
    ["over WebSocket", ["--requests", "20000", "--batch", "32", "--depth", "2", "--threads", "2"]],
    [
      "uniform, for a second",
      ["--duration", "1", "--distribution", "uniform", "--mix", "1:1", "--value-size", "1000"],
    ],
    ["over HTTP", ["--requests", "400", "--protocol", "http"]],
  ] as const) {
    test(name, async () => {
      const { code, stdout, stderr } = await breadbox(["bench", ...quick, ...extra]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      const summary = JSON.parse(stdout.toString());
      expect(summary).toMatchObject({ wrong: 0, errors: 0, misses: 0 });
      expect(summary.hits + summary.puts).toBe(summary.requests);
      expect(summary.requests).toBeGreaterThanOrEqual(400);
      const { p50, p90, p99, p999, max } = summary.latencyMs;
      expect([p50, p90, p99, p999, max]).toEqual([p50, p90, p99, p999, max].sort((a, b) => a - b));
    });
  }

  test("a wrong value is found, counted, and no exit code 0", async () => {
    const vandal = await WireClient.connect(server.ws);
    let done = false;
    const vandalism = (async () => {
      while (!done) await vandal.ask(request({ op: 2, key: "bench:0000003", value: Buffer.alloc(64) }));
    })();
    const { code, stdout } = await breadbox([
      "bench",
      ...quick,
      "--keys",
      "10",
      "--mix",
      "1:0",
      "--requests",
      "20000",
    ]);
    done = true;
    await vandalism;
    vandal.close();
    expect(code).toBe(2);
    expect(JSON.parse(stdout.toString()).wrong).toBeGreaterThan(0);
  });

  test("text output has a plot, and its own server goes with it", async () => {
    const { code, stdout } = await breadbox([
      "bench",
      "--self",
      "--keys",
      "1000",
      "--duration",
      "1",
      "--warmup",
      "0",
    ]);
    expect(code).toBe(0);
    const text = stdout.toString();
    for (const word of ["requests a second", "p99.9", "█", "0 wrong"]) expect(text).toContain(word);
  });
});
