/** Flags and environment: values, defaults that adapt, contradictions, and what the process says and exits with. */
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { adviceFor } from "../../src/config/advice";
import { repl } from "../../src/cli/repl/repl";
import type { Option } from "../../src/cli/usage";
import { readInvocation, type Settings, UsageError } from "../../src/config/config";
import type { Machine } from "../../src/system/machine";
import { runServer, startServer } from "../support/server";
import { temporaryFile } from "../support/temporary";

const MACHINE: Machine = {
  platform: "linux",
  cores: 4,
  memoryBytes: 16 * 2 ** 30,
  filesMax: 1_048_576,
  backlogMax: 4096,
};
const MB = 2 ** 20;
const BIN = new URL("../../src/bin.ts", import.meta.url).pathname;

function settings(args: string[], environment: Record<string, string> = {}, machine = MACHINE): Settings {
  const invocation = readInvocation(args, environment, machine);
  if (invocation.kind !== "serve") throw new Error("does not serve");
  return invocation.settings;
}

function problem(args: string[], environment: Record<string, string> = {}): string {
  try {
    settings(args, environment);
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  throw new Error(`${args.join(" ")} was taken`);
}

describe("settings", () => {
  test("defaults", () => {
    expect(settings([])).toEqual({
      host: "127.0.0.1",
      port: 7171,
      workers: 4,
      shards: 32,
      shardBytes: 32 * MB,
      memoryBytes: 1024 * MB,
      keyBytesMax: 1024,
      valueBytesMax: 8 * MB,
      messageBytesMax: 16 * MB,
      batchRequestsMax: 10_000,
      bufferedBytesMax: 256 * MB,
      watchBytes: 16 * 2 ** 20,
      dataDir: undefined,
      origin: null,
      dataMaxAgeMs: 300_000,
      clientTimeoutMs: 60_000,
      workerTimeoutMs: 10_000,
      connectionsMax: 16_384,
      connectionsWanted: 16_384,
      backlog: 4096,
      tokens: [],
      tokenFile: undefined,
      tokenSecretFile: undefined,
      tlsCert: undefined,
      tlsKey: undefined,
      isOpen: true,
      authFailuresMax: 10,
      http2: false,
      http3: false,
      allowOrigin: [],
      allowHost: [],
      protectMetrics: false,
      servesPage: true,
      dialects: ["turborepo", "nx", "webdav", "unstorage", "upstash"],
      drainTimeoutMs: 10_000,
      logLevel: "info",
    });
    expect(Object.isFrozen(settings([]))).toBe(true);
  });

  test("flags win over the environment, BREADBOX_PORT over PORT", () => {
    expect(settings(["--port", "1"], { BREADBOX_PORT: "2", PORT: "3" }).port).toBe(1);
    expect(settings([], { BREADBOX_PORT: "2", PORT: "3" }).port).toBe(2);
    expect(settings([], { PORT: "3" }).port).toBe(3);
    expect(settings([], { PORT: "" }).port).toBe(7171);
    expect(settings(["--max-key=99"], { BREADBOX_MAX_KEY: "98", BREADBOX_LOG_LEVEL: "warn" })).toMatchObject({
      keyBytesMax: 99,
      logLevel: "warn",
    });
  });

  test("an address in brackets, a level in capitals", () => {
    expect(settings(["--host", "[::1]"]).host).toBe("::1");
    expect(settings(["--host", "::1"]).host).toBe("::1");
    expect(settings(["--log-level", "WARN"]).logLevel).toBe("warn");
  });

  test("sizes and shares", () => {
    for (const [text, bytes] of [
      ["512mb", 512 * MB],
      ["4gb", 4096 * MB],
      ["4GB", 4096 * MB],
      ["1.5gb", 1536 * MB],
      ["67108864", 64 * MB],
      ["67108864b", 64 * MB],
      ["65536k", 64 * MB],
      ["1G", 1024 * MB],
      ["1g", 1024 * MB],
      ["1GiB", 1024 * MB],
      ["1Gi", 1024 * MB],
      ["512MiB", 512 * MB],
      ["512 MB", 512 * MB],
      ["0.001T", Math.floor(0.001 * 2 ** 40)],
      ["25%", 4096 * MB],
      ["25 %", 4096 * MB],
    ] as const)
      expect({ text, bytes: settings(["--memory", text]).memoryBytes }).toEqual({ text, bytes });
  });

  test("times", () => {
    for (const [text, ms] of [
      ["30", 30_000],
      ["30s", 30_000],
      ["30 s", 30_000],
      ["9500ms", 9500],
      ["2m", 120_000],
      ["2M", 120_000],
    ] as const)
      expect({ text, ms: settings(["--client-timeout", text]).clientTimeoutMs }).toEqual({ text, ms });
    expect(settings(["--worker-timeout", "1h"]).workerTimeoutMs).toBe(3_600_000);
    expect(settings(["--drain-timeout", "0"]).drainTimeoutMs).toBe(0);
  });

  test("memory that is kept", () => {
    expect(settings(["--data-dir", "/dev/shm/breadbox"])).toMatchObject({
      dataDir: "/dev/shm/breadbox",
      dataMaxAgeMs: 300_000,
    });
    const environment = { BREADBOX_DATA_DIR: "kept", BREADBOX_DATA_MAX_AGE: "30d" };
    expect(settings([], environment)).toMatchObject({ dataDir: "kept", dataMaxAgeMs: 30 * 86_400_000 });
    expect(settings([], { BREADBOX_DATA_DIR: "" }).dataDir).toBeUndefined();
    expect(problem(["--data-max-age", "1h"])).toBe(
      "--data-max-age needs --data-dir: without it nothing is kept",
    );
    const elsewhere = { ...MACHINE, platform: "darwin" as const };
    expect(() => settings(["--data-dir", "kept"], {}, elsewhere)).toThrow(
      new UsageError("--data-dir works on Linux only"),
    );
    expect(settings([], {}, elsewhere).dataDir).toBeUndefined();
  });

  test("a store of record", () => {
    expect(settings([]).origin).toBeNull();
    expect(settings(["--origin", "redis://user:p%40ss@one:7001,[::1]:7002"]).origin).toEqual({
      address: {
        seeds: [
          { host: "one", port: 7001 },
          { host: "::1", port: 7002 },
        ],
        ...{ username: "user", password: "p@ss", isTls: false },
      },
      ...{ namespace: "bb", caFile: undefined, timeoutMs: 250, maxAgeMs: 1000, staleMaxMs: 0 },
    });
    const environment = { BREADBOX_ORIGIN: "rediss://one", BREADBOX_L1_STALE_MAX: "1h" };
    expect(
      settings(["--origin-namespace", "web", "--origin-timeout", "1s", "--l1-max-age", "5s"], environment)
        .origin,
    ).toMatchObject({ namespace: "web", timeoutMs: 1000, maxAgeMs: 5000, staleMaxMs: 3_600_000 });
    for (const name of [
      "--origin-ca",
      "--origin-namespace",
      "--origin-timeout",
      "--l1-max-age",
      "--l1-stale-max",
    ])
      expect(problem([name, "1s"])).toBe(
        `${name} needs --origin: without it this server is the store of record`,
      );
    expect(problem(["--origin", "redis://one", "--origin-ca", "ca.pem"])).toStartWith(
      "--origin-ca needs an --origin that begins with rediss://",
    );
    expect(settings(["--origin", "rediss://one", "--origin-ca", "ca.pem"]).origin).toMatchObject({
      caFile: "ca.pem",
    });
    expect(problem(["--origin", "redis://one", "--data-dir", "kept"])).toStartWith(
      "--data-dir contradicts --origin",
    );
  });

  test("the address of a store of record that is none is told without its password", () => {
    for (const [text, said] of [
      ["one:7001", "--origin: must begin with redis://"],
      ["redis://user:secret@one/3", "--origin: a cluster has database 0 alone"],
    ] as const) {
      const message = problem(["--origin", text]);
      expect(message).toStartWith(said);
      expect(message).not.toContain("secret");
    }
  });

  test("defaults adapt to each other and to the machine", () => {
    expect(settings([], {}, { ...MACHINE, cores: 1, memoryBytes: 512 * MB })).toMatchObject({
      workers: 1,
      memoryBytes: 256 * MB,
    });
    expect(settings(["--memory", "16mb"])).toMatchObject({ shards: 1, valueBytesMax: 4 * MB });
    expect(settings(["--memory", "1gb", "--max-value", "200mb"])).toMatchObject({ shards: 1 });
    expect(settings(["--memory", "1gb", "--max-value", "64mb"])).toMatchObject({
      shards: 4,
      messageBytesMax: 64 * MB + 1024 + 24,
    });
    expect(settings(["--max-message", "1mb"]).valueBytesMax).toBe(MB - 1024 - 24);
    expect(
      settings(["--memory", "100%"], {}, { ...MACHINE, cores: 64, memoryBytes: 2 ** 40 }).shardBytes,
    ).toBeLessThan(2 ** 31);
    for (const megabytes of [1, 3, 100, 1000, 5000, 100_000]) {
      const { shards, shardBytes, memoryBytes } = settings(
        ["--memory", `${megabytes}mb`],
        {},
        { ...MACHINE, memoryBytes: 2 ** 40 },
      );
      expect(shards * shardBytes).toBeLessThanOrEqual(memoryBytes);
      expect(Number.isInteger(Math.log2(shards))).toBe(true);
    }
  });

  test("what connections may hold adapts to the largest message and to the memory that is left", () => {
    const buffered = (args: string[], machine = MACHINE) => settings(args, {}, machine).bufferedBytesMax;
    expect(buffered([])).toBe(256 * MB);
    // A message of a value of 400 MB fits, and another one beside it.
    const large = settings(["--memory", "4gb", "--max-value", "400mb"]);
    expect(large.bufferedBytesMax).toBe(2 * large.messageBytesMax);
    expect(large.messageBytesMax).toBeGreaterThan(400 * MB);
    // Two workers in a small container: half of what the store leaves.
    const small = { ...MACHINE, cores: 2, memoryBytes: 512 * MB };
    expect(buffered([], small)).toBe(64 * MB);
    // But always one whole message.
    expect(buffered(["--memory", "100%"], small)).toBe(16 * MB);
    // Given alone, it bounds messages and values.
    expect(settings(["--max-buffered", "4mb"])).toMatchObject({
      bufferedBytesMax: 4 * MB,
      messageBytesMax: 4 * MB,
      valueBytesMax: 4 * MB - 1024 - 24,
    });
    expect(settings(["--max-buffered", "20mb"])).toMatchObject({
      messageBytesMax: 16 * MB,
      valueBytesMax: 8 * MB,
    });
  });

  test("connections: as many as wanted, or as files allow", () => {
    const filesMax = 5000;
    expect(settings(["--max-connections", "4744"], {}, { ...MACHINE, filesMax }).connectionsMax).toBe(4744);
    expect(settings(["--max-connections", "4745"], {}, { ...MACHINE, filesMax }).connectionsMax).toBe(4744);
    expect(settings([], {}, { ...MACHINE, filesMax: 100 }).connectionsMax).toBe(1);
    expect(settings([], {}, { ...MACHINE, filesMax: Infinity }).connectionsMax).toBe(16_384);
  });

  test("advice has the command that mends it", () => {
    const advice = (args: string[], machine = MACHINE) => adviceFor(settings(args, {}, machine), machine);
    expect(advice([])).toEqual([]);
    expect(advice(["--backlog", "4097"])).toEqual([
      expect.stringMatching(/4096 .*4097 .*"sysctl -w net\.core\.somaxconn=4097"/),
    ]);
    expect(advice([], { ...MACHINE, backlogMax: 128 })).toEqual([
      expect.stringContaining("128 new connections"),
    ]);
    expect(advice([], { ...MACHINE, filesMax: 16_384 + 255 })).toEqual([
      expect.stringContaining('"ulimit -n 16640"'),
    ]);
    expect(advice([], { ...MACHINE, filesMax: 16_384 + 256 })).toEqual([]);
    const memory23gb = { ...MACHINE, memoryBytes: 23 * 2 ** 30 };
    expect(advice(["--memory", "20gb"], memory23gb)).toEqual([
      expect.stringMatching(/20480 of the 23552 MiB .* 1184 more, .*--memory 17664mb leaves enough/),
    ]);
    expect(advice(["--memory", "17664mb"], memory23gb)).toEqual([]);
    expect(advice(["--max-buffered", "4gb"])).toEqual([
      expect.stringMatching(/need up to 16544 more.*a lower --max-buffered/),
    ]);
    const enough = [64, 8, 2, 0.5].map((gb) =>
      advice([], { ...MACHINE, cores: 2, memoryBytes: gb * 2 ** 30 }),
    );
    expect(enough.flat()).toEqual([]);
    expect(advice(["--host", "::"])).toEqual([expect.stringContaining("--token")]);
    expect(advice(["--host", "::", "--token", "t"])).toEqual([]);
  });

  test("a wrong value is named with the flag and what is allowed", () => {
    for (const [flag, value, allowed] of [
      ["--port", "70000", "0 to 65535"],
      ["--port", "x", "0 to 65535"],
      ["--workers", "0", "1 to 256"],
      ["--shards", "3", "power of two"],
      ["--memory", "much", "512mb"],
      ["--memory", "0", "512mb"],
      ["--memory", "101%", "60%"],
      ["--memory", "1ib", "512mb"],
      ["--memory", "1 g b", "512mb"],
      ["--memory", "1xb", "512mb"],
      ["--max-key", "70000", "65535"],
      ["--log-level", "loud", "debug"],
      ["--drain-timeout", "soon", "10s"],
      ["--drain-timeout", "61m", "at most 1h"],
      ["--client-timeout", "7999ms", "8s to 240s"],
      ["--client-timeout", "241s", "8s to 240s"],
      ["--worker-timeout", "999ms", "1s to 1h"],
      ["--worker-timeout", "3601s", "1s to 1h"],
      ["--data-dir", "", "a path"],
      ["--data-max-age", "1999ms", "2s to 30d"],
      ["--data-dir", "~/cache", "the shell has to expand ~"],
      ["--data-max-age", "30.1d", "2s to 30d"],
      ["--origin-namespace", "a:b", "letters, digits"],
      ["--origin-timeout", "9ms", "10ms to 60s"],
      ["--l1-max-age", "99ms", "100ms to 1h"],
      ["--l1-stale-max", "2d", "at most 1d"],
      ["--max-batch", "0", "from 1 to"],
      ["--max-buffered", "much", "256mb"],
      ["--allow-origin", "example.org", "https://"],
      ["--host", "a b", "address"],
      ["--host", "127.0.0.1:8080", "given by --port"],
      ["--host", "[::1]:8080", "given by --port"],
      ["--host", "http://localhost", "address or host name"],
      ["--allow-host", "https://example.org", "host names without ports"],
      ["--allow-host", "example.org:80", "host names without ports"],
      ["--auth-failures", "0", "1 to 1000000"],
    ] as const) {
      const message = problem([flag, value]);
      expect(message).toContain(flag);
      expect(message).toContain(JSON.stringify(value));
      expect(message).toContain(allowed);
      expect(message).not.toContain("\n");
    }
    expect(problem([], { BREADBOX_WORKERS: "many" })).toStartWith('BREADBOX_WORKERS: "many" is not');
    expect(problem([], { PORT: "many" })).toStartWith('PORT: "many" is not');
  });

  test("tokens: several of each, kept as SHA-256 only", () => {
    const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
    const { tokens } = settings(["--token", "one", "--token", "t,wo"], {
      BREADBOX_READ_TOKEN: " three\tfour\n",
    });
    expect(tokens).toEqual([
      { digest: sha256("one"), right: "all" },
      { digest: sha256("t,wo"), right: "all" },
      { digest: sha256("three"), right: "read" },
      { digest: sha256("four"), right: "read" },
    ]);
    expect(settings(["--token", "one"], { BREADBOX_TOKEN: "two" }).tokens).toHaveLength(1);
    expect(JSON.stringify(settings(["--token", "hush-hush"]))).not.toContain("hush");
    expect(settings([]).isOpen).toBe(true);
    for (const flag of ["--token", "--token-file", "--token-secret-file"])
      expect(settings([flag, "x"]).isOpen).toBe(false);
  });

  test("switches stand alone on the command line, and are 1, 0, true or false in a variable", () => {
    const protect = (args: string[], value = "") =>
      settings(["--token", "t", ...args], { BREADBOX_PROTECT_METRICS: value }).protectMetrics;
    expect([protect([]), protect([], "0"), protect([], "false")]).toEqual([false, false, false]);
    expect([protect(["--protect-metrics"]), protect([], "1"), protect([], "true")]).toEqual([
      true,
      true,
      true,
    ]);
    expect(protect(["--protect-metrics"], "0")).toBe(true);
    expect(settings(["--no-nx", "--no-webdav"], { BREADBOX_NO_UPSTASH: "1" }).dialects).toEqual([
      "turborepo",
      "unstorage",
    ]);
    expect(problem(["--protect-metrics=yes"])).toStartWith("--protect-metrics takes no value");
    expect(problem([], { BREADBOX_PROTECT_METRICS: "maybe" })).toStartWith(
      'BREADBOX_PROTECT_METRICS: "maybe" is not 1, 0, true or false',
    );
  });

  test("flags that do not exist, stand alone or lack their value", () => {
    expect(problem(["--prot", "1"])).toBe(
      "unknown flag --prot; did you mean --port?; --help lists the flags",
    );
    expect(problem(["--memroy=1gb"])).toStartWith("unknown flag --memroy; did you mean --memory?");
    expect(problem(["--frobnicate"])).toBe("unknown flag --frobnicate; --help lists the flags");
    expect(problem(["7171"])).toBe("everything is a flag; --help lists the flags");
    expect(problem(["port", "7171"])).toBe(
      "everything is a flag; did you mean --port?; --help lists the flags",
    );
    expect(problem(["help"])).toContain("did you mean --help?");
    expect(problem(["--port"])).toContain("--port needs a value");
  });

  test("a misspelt variable is named, with the one that was meant; its value is not shown", () => {
    const warnings = (environment: Record<string, string>) => {
      const invocation = readInvocation([], environment, MACHINE);
      return invocation.kind === "serve" ? invocation.warnings : [];
    };
    expect(warnings({ BREADBOX_MEMROY: "1gb", BREADBOX_TOKENS: "hush", BREADBOX_FROBNICATE: "" })).toEqual([
      "BREADBOX_MEMROY is not a setting and changes nothing; did you mean BREADBOX_MEMORY?",
      "BREADBOX_TOKENS is not a setting and changes nothing; did you mean BREADBOX_TOKEN?",
      "BREADBOX_FROBNICATE is not a setting and changes nothing; --help lists the flags",
    ]);
    // What the command line and the benchmarks read may be set as well.
    const others = Object.values(repl.options).flatMap((option: Option) => option.variables ?? []);
    expect(others.length).toBeGreaterThan(3);
    expect(warnings(Object.fromEntries(others.map((name) => [name, "x"])))).toEqual([]);
    expect(warnings({ BREADBOX_BENCH_FASTHTTP: "x", BREADBOX_PORT: "1", PATH: "x", TERM: "x" })).toEqual([]);
  });

  test("contradictions have the numbers in them", () => {
    expect(problem(["--memory", "64mb", "--shards", "64", "--max-value", "1mb"])).toBe(
      "--max-value 1mb is more than a quarter of a shard: --memory 64mb in --shards 64 takes values of at most 256kb; --memory 4mb in --shards 1 would do",
    );
    expect(problem(["--memory", "8gb", "--max-value", "600mb"])).toContain(
      "no shard takes more than 511.7mb",
    );
    expect(problem(["--memory", "1mb", "--shards", "64"])).toMatch(/--memory 1mb .*--shards 64 .*256kb/);
    expect(problem(["--memory", "8gb", "--shards", "1"])).toMatch(/--shards 1 makes 8gb .*at most 1.9gb/);
    expect(problem(["--max-message", "1mb", "--max-value", "2mb"])).toMatch(
      /--max-value 2mb .*--max-message 1mb, .* 1047528 bytes/,
    );
    expect(problem(["--max-message", "32mb", "--max-buffered", "16mb"])).toMatch(
      /--max-buffered 16mb is less than one message of --max-message 32mb/,
    );
    expect(problem(["--max-value", "4mb", "--max-buffered", "4mb"])).toMatch(
      /--max-value 4mb does not fit --max-buffered 4mb, .* at most 4193256 bytes/,
    );
    expect(problem(["--max-buffered", "1kb"])).toMatch(
      /--max-buffered 1kb is too small .* at least 1049 bytes/,
    );
    expect(problem(["--read-token", "abc"])).toContain("--read-token needs --token");
    expect(problem(["--read-token", "abc", "--token-secret-file", "f"])).toContain("--token-file");
    expect(settings(["--read-token", "abc", "--token-file", "f"]).isOpen).toBe(false);
    expect(problem(["--protect-metrics"])).toContain("--protect-metrics needs --token");
    expect(problem(["--tls-cert", "f"])).toContain("--tls-cert and --tls-key need each other");
    expect(problem([], { BREADBOX_TLS_KEY: "f" })).toContain("--tls-cert and --tls-key need each other");
    expect(problem(["--read-token", "abc", "--token", "abc"])).toContain("the same");
    expect(problem(["--memory", "100tb"])).toMatch(/--memory 100tb is more than the 16gb that/);
  });

  test("a token is never part of a message", () => {
    expect(problem(["--token", "two words"])).not.toContain("two words");
    expect(problem([], { BREADBOX_TOKEN: "zwölf" })).not.toContain("zwölf");
    expect(problem(["--token", "--secret"])).not.toContain("secret-");
    expect(problem([], { BREADBOX_READ_TOKEN: "good zwölf" })).not.toContain("zwölf");
    expect(problem(["--token", "hush", "--read-token", "hush"])).not.toContain("hush");
    expect(problem(["--token=hush", "--protect-metrics=hush"])).not.toContain("hush");
  });
});

describe("the process", () => {
  test("a wrong value: one line, exit code 64", async () => {
    const { code, stderr, stdout } = await runServer(["--memory", "lots"]);
    expect(code).toBe(64);
    expect(stdout).toBe("");
    expect(stderr).toBe(
      'breadbox: --memory: "lots" is not a size such as 512mb or 4gb, or a share such as 60%\n',
    );
  });

  test("--help and --version", async () => {
    const help = await runServer(["--help"]);
    expect(help.code).toBe(0);
    for (const flag of ["--host", "--port", "--workers", "--memory", "--token", "--drain-timeout"])
      expect(help.stdout).toContain(flag);
    expect(help.stdout).toContain("\nUsage: bun src/main.ts [flags]\n");
    const command = Bun.spawnSync([process.execPath, BIN, "serve", "--help"]);
    expect(command.stdout.toString()).toBe(help.stdout.replaceAll("bun src/main.ts", "breadbox serve"));
    const version = await runServer(["--version"]);
    expect(version.stdout).toMatch(/^breadbox \d+\.\d+\.\d+\n$/);
  });

  test("an address that is not here: one line, exit code 71", async () => {
    const { code, stderr } = await runServer(["--host", "192.0.2.1", "--port", "0"]);
    expect(code).toBe(71);
    expect(stderr).toMatch(/^breadbox: 192\.0\.2\.1.*--host\n$/);
  });

  test("a misspelt variable: one warning, and the server serves", async () => {
    const server = await startServer({ env: { BREADBOX_MEMROY: "1gb" } });
    expect(await server.stop()).toBe(0);
    expect(server.log().match(/ warn .*/g)).toEqual([
      expect.stringContaining(
        "BREADBOX_MEMROY is not a setting and changes nothing; did you mean BREADBOX_MEMORY?",
      ),
    ]);
  });

  test("a host name that nobody knows: one line, exit code 71", async () => {
    const { code, stderr } = await runServer(["--host", "no-such-host.invalid", "--port", "0"]);
    expect(code).toBe(71);
    expect(stderr).toBe("breadbox: no-such-host.invalid is no name that this machine knows; see --host\n");
  });

  test("--token-file counts as a token, too", async () => {
    const server = await startServer({
      flags: ["--host", "0.0.0.0", "--token-file", temporaryFile("tokens", "read t\n")],
    });
    await server.stop();
    expect(server.log()).not.toContain("without a token");
  });

  test("listening beyond loopback without a token warns once, with one it does not", async () => {
    const open = await startServer({ flags: ["--host", "0.0.0.0"] });
    await open.stop();
    expect(open.log().match(/without a token/g)).toHaveLength(1);
    const closed = await startServer({ flags: ["--host", "0.0.0.0", "--token", "t"] });
    await closed.stop();
    expect(closed.log()).not.toContain("without a token");
  });

  test("an open-file limit below --max-connections: one warning with the command, and what is allowed", async () => {
    const flags = ["--max-connections", "5000"];
    const low = await startServer({ flags, shell: "ulimit -n 2000" });
    const stats = (await (await fetch(`${low.http}/stats`)).json()) as { connectionsMax: number };
    expect(stats.connectionsMax).toBe(2000 - 256);
    await low.stop();
    expect(low.log().match(/ warn .*/g)).toEqual([
      expect.stringMatching(/limit of 2000 .*1744.*5000.*"ulimit -n 5256".*nofile=5256:5256/),
    ]);
    const enough = await startServer({ flags, shell: "ulimit -n 5256" });
    await enough.stop();
    expect(enough.log()).not.toContain(" warn ");
  });

  test("the start-up line says address, workers, shards, memory", async () => {
    const server = await startServer({ flags: ["--workers", "1", "--shards", "4"] });
    await server.stop();
    expect(server.log()).toMatch(/serves http:\/\/127\.0\.0\.1:\d+ with 1 worker, 4 shards, 64 MiB/);
  });
});
