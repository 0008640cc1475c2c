/** The command line as a person uses it: a process each, exact bytes, exit codes. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HostileServer } from "../client/hostile-server";
import { freeze, thaw } from "../support/process";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";
import { request } from "../support/frames";

const BIN = new URL("../../src/bin.ts", import.meta.url).pathname;
const NOWHERE = "http://127.0.0.1:1";
let server: TestServer;

beforeAll(async () => {
  server = await startServer();
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

interface Ran {
  code: number;
  stdout: Buffer;
  stderr: string;
}

async function breadbox(
  args: string[],
  options: { input?: Uint8Array; env?: Record<string, string> } = {},
): Promise<Ran> {
  const child = Bun.spawn([process.execPath, BIN, ...args], {
    stdin: options.input ? new Blob([options.input as Uint8Array<ArrayBuffer>]) : "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, BREADBOX_URL: server.http, ...options.env },
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).bytes(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout: Buffer.from(stdout), stderr };
}

const everyByte = Buffer.from(Array.from({ length: 70_000 }, (_, i) => (i * 7) % 256));

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
    ["get", "a", "b"],
    ["get", "--colour", "red", "a"],
    ["put", "a"],
    ["put", "a", "b", "--file", "c"],
    ["put", "a", "--file", "/does/not/exist"],
    ["put", "a", "b", "--ttl", "soon"],
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
    expect(stderr).toBe("breadbox: put: unknown option --port; --help lists the options\n");
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
      "scan",
      "stats",
      "watch-stats",
      "ping",
      "health",
      "token",
      "bench",
    ]);
    for (const name of names.slice(1)) {
      const { code, stdout } = await breadbox([name, "--help"]);
      expect({ name, code }).toEqual({ name, code: 0 });
      expect(stdout.toString()).toContain("Examples:");
    }
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
