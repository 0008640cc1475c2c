/**
 * Servers with --data-dir that find what they should not: each of these ends in a line that says what was found, and in a server
 * that serves, or in a refusal where somebody's data could be destroyed.
 */
import { afterEach, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { join } from "node:path";
import { createStore, Store } from "../../src/store/store";
import { Random } from "../support/random";
import { request } from "../support/frames";
import { runServer, startServer, type TestServer } from "../support/server";
import { temporaryPath } from "../support/temporary";
import { WireClient } from "../support/wire-client";
import type { FaultOrder } from "./fault-order";

const HEADER_BYTES = 4096;
const SHARDS = 4;
const KEYS = 500;
const OP = { GET: 1, PUT: 2 } as const;
const GET_META = 0x08;

let number = 0;
let running: TestServer[] = [];

afterEach(async () => {
  for (const server of running) if (server.process.exitCode === null) server.process.kill("SIGKILL");
  running = [];
});

function newDirectory(): string {
  const directory = temporaryPath(`warm ${++number}`);
  fs.mkdirSync(directory, { mode: 0o700 });
  return directory;
}

const flagsFor = (directory: string) => [
  "--memory",
  "8mb",
  "--shards",
  String(SHARDS),
  "--data-dir",
  directory,
];
const fileIn = (directory: string) => join(directory, "breadbox.cache");

async function start(directory: string, more: string[] = [], env: Record<string, string> = {}) {
  const server = await startServer({ flags: [...flagsFor(directory), ...more], env });
  running.push(server);
  return server;
}

async function kill(server: TestServer): Promise<void> {
  server.process.kill("SIGKILL");
  await server.process.exited;
}

async function fill(server: TestServer): Promise<void> {
  const client = await WireClient.connect(server.ws);
  const puts = Array.from({ length: KEYS }, (_, i) =>
    request({ op: OP.PUT, key: `key ${i}`, value: Buffer.from(`value ${i} ${"x".repeat(i)}`) }),
  );
  for (const reply of await client.ask(...puts)) expect(reply.status).toBe("OK");
  client.close();
}

/** How many of the keys are there; each must have its value. */
async function countFound(server: TestServer): Promise<number> {
  const client = await WireClient.connect(server.ws);
  const gets = Array.from({ length: KEYS }, (_, i) => request({ op: OP.GET, key: `key ${i}` }));
  let found = 0;
  (await client.ask(...gets)).forEach((reply, i) => {
    if (reply.status === "MISS") return;
    expect(reply).toEqual({ status: "VALUE", value: Buffer.from(`value ${i} ${"x".repeat(i)}`) });
    found++;
  });
  client.close();
  return found;
}

async function statsOf(server: TestServer): Promise<Record<string, number>> {
  return (await (await fetch(`${server.http}/stats`, { keepalive: false })).json()) as Record<string, number>;
}

/** A directory with a cache that a server has left. */
async function leave(how: "stopped" | "killed"): Promise<string> {
  const directory = newDirectory();
  const server = await start(directory);
  await fill(server);
  if (how === "killed") await kill(server);
  else expect(await server.stop()).toBe(0);
  return directory;
}

describe("a cache that fits goes on", () => {
  for (const how of ["stopped", "killed"] as const)
    test(`of a server that was ${how}: entries, versions, stats, metrics`, async () => {
      const directory = await leave(how);
      const server = await start(directory);
      expect(server.log()).toMatch(new RegExp(`kept ${KEYS} entries of the server that (was )?${how} `));
      expect(await countFound(server)).toBe(KEYS);
      expect(await statsOf(server)).toMatchObject({
        entries: KEYS,
        entriesKept: KEYS,
        shardsLost: 0,
        puts: 0,
      });
      const metrics = await (await fetch(`${server.http}/metrics`)).text();
      expect(metrics).toContain(`breadbox_entries_kept ${KEYS}\n`);
      expect(metrics).toContain("breadbox_shards_lost_total 0\n");
      expect(await server.stop()).toBe(0);
    });

  test("versions go on above all that were given out, over every kind of start", async () => {
    const directory = newDirectory();
    let highest = 0n;
    const steps: [flags: string[], end: (server: TestServer) => Promise<unknown>][] = [
      [[], kill],
      [[], (server) => server.stop()],
      [["--memory", "16mb"], kill],
      [["--shards", "8"], (server) => server.stop()],
      [[], kill],
    ];
    for (const [flags, end] of steps) {
      const server = await start(directory, flags);
      const client = await WireClient.connect(server.ws);
      const [put] = await client.ask(request({ op: OP.PUT, flags: 0x20, key: "k", value: Buffer.from("v") }));
      expect(put!.status).toBe("NUMBER");
      const { number } = put as { number: bigint };
      expect(number).toBeGreaterThan(highest);
      highest = number;
      await end(server);
    }
  });

  test("versions go on above those of a server that kept nothing in between", async () => {
    const directory = newDirectory();
    const versions: bigint[] = [];
    for (const flags of [flagsFor(directory), ["--memory", "8mb"], flagsFor(directory)]) {
      const server = await startServer({ flags });
      running.push(server);
      const client = await WireClient.connect(server.ws);
      const puts = Array.from({ length: 2000 }, () =>
        request({ op: OP.PUT, flags: 0x20, key: "k", value: Buffer.from("v") }),
      );
      for (const reply of await client.ask(...puts)) versions.push((reply as { number: bigint }).number);
      await server.stop();
    }
    for (let i = 1; i < versions.length; i++) expect(versions[i]!).toBeGreaterThan(versions[i - 1]!);
  });

  test("what was written as soon as one worker served", async () => {
    const directory = newDirectory();
    const port = 20_000 + (process.pid % 20_000);
    const command = [process.execPath, "src/main.ts", "--port", String(port), "--workers", "16"];
    const child = Bun.spawn([...command, ...flagsFor(directory)], { stdout: "ignore", stderr: "pipe" });
    const url = `http://127.0.0.1:${port}/kv/early`;
    while ((await fetch(url, { method: "PUT", body: "bird" }).catch(() => null))?.status !== 204)
      if (child.exitCode !== null) throw new Error(await new Response(child.stderr).text());
    child.kill("SIGKILL");
    await child.exited;
    const server = await start(directory);
    expect(await (await fetch(`${server.http}/kv/early`)).text()).toBe("bird");
  });

  test("what expires does so while nobody is there", async () => {
    const directory = newDirectory();
    const server = await start(directory);
    const client = await WireClient.connect(server.ws);
    const value = Buffer.from("v");
    await client.ask(
      request({ op: OP.PUT, key: "soon", value, ttlMs: 1n }),
      request({ op: OP.PUT, key: "later", value, ttlMs: 60_000n }),
    );
    await kill(server);
    const again = await start(directory);
    const reader = await WireClient.connect(again.ws);
    const [soon, later] = await reader.ask(
      request({ op: OP.GET, key: "soon" }),
      request({ op: OP.GET, flags: GET_META, key: "later" }),
    );
    expect(soon!.status).toBe("MISS");
    expect(later!.status).toBe("META_VALUE");
    const { ttlMs } = later as { ttlMs: bigint };
    expect(ttlMs).toBeGreaterThan(0n);
    expect(ttlMs).toBeLessThanOrEqual(60_000n);
    reader.close();
  });

  test("after a drain that a worker held up, holding a lock: it is ended, and what is left is whole", async () => {
    const directory = newDirectory();
    const program = new URL("./faulty-server.ts", import.meta.url).pathname;
    const server = await startServer({
      program,
      flags: [...flagsFor(directory), "--drain-timeout", "300ms"],
    });
    running.push(server);
    await fill(server);
    server.process.stdin.write(
      `${JSON.stringify({ worker: 0, fault: "hang holding a lock" } satisfies FaultOrder)}\n`,
    );
    server.process.stdin.flush();
    await server.logged("worker 0 hangs now");
    expect(await server.stop()).toBe(1);
    const again = await start(directory);
    expect(again.log()).toContain(`kept ${KEYS} entries of the server that stopped `);
    expect(await countFound(again)).toBe(KEYS);
  });
});

describe("a cache that does not fit is dropped, with the reason", () => {
  const cases: [what: string, change: (directory: string) => void, flags: string[], reason: string][] = [
    ["other shards", () => {}, ["--shards", "8"], "it was made with --shards 4, now it is 8"],
    ["other memory", () => {}, ["--memory", "16mb"], "it was made with --memory 8mb, now it is 16mb"],
    [
      "a truncated file",
      (directory) => fs.truncateSync(fileIn(directory), HEADER_BYTES + 100),
      [],
      "it has 4196 bytes instead of",
    ],
    ["half a header", (directory) => fs.truncateSync(fileIn(directory), 20), [], "its header is cut short"],
    [
      "another layout",
      (directory) => rewriteIdentity(directory, 12, 99),
      [],
      "it was written by another version of Breadbox (layout 99, now",
    ],
    [
      "a bit that flipped in the header",
      (directory) => flip(fileIn(directory), 20),
      [],
      "its header is damaged",
    ],
  ];
  for (const [what, change, flags, reason] of cases)
    test(what, async () => {
      const directory = await leave("stopped");
      change(directory);
      const server = await start(directory, flags);
      expect(server.log()).toContain(`begins cold: ${reason}`);
      expect(await countFound(server)).toBe(0);
      await fill(server);
      await server.stop();
      const again = await start(directory, flags);
      expect(again.log()).toContain(`kept ${KEYS} entries`);
    });

  test("one that was left too long ago", async () => {
    const directory = await leave("killed");
    await Bun.sleep(2100);
    const server = await start(directory, ["--data-max-age", "2s"]);
    expect(server.log()).toMatch(/begins cold: it was down for [\d.]+s, longer than --data-max-age 2s/);
    expect(await countFound(server)).toBe(0);
  });

  test("a clock that was set back", async () => {
    const directory = newDirectory();
    const hour = new URL("./clock-ahead.ts", import.meta.url).pathname;
    const ahead = await startServer({ program: hour, flags: flagsFor(directory) });
    running.push(ahead);
    await fill(ahead);
    await kill(ahead);
    const server = await start(directory);
    expect(server.log()).toMatch(/begins cold: the clock went back by (60m|1h)/);
    expect(await countFound(server)).toBe(0);
  });
});

/** Writes a number of the header's part that is written once, with its checksum. */
function rewriteIdentity(directory: string, at: number, value: number): void {
  const file = fs.openSync(fileIn(directory), "r+");
  const part = Buffer.alloc(48);
  fs.readSync(file, part, 0, part.length, 0);
  part.writeUInt32LE(value, at);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32LE(Bun.hash.crc32(part));
  fs.writeSync(file, Buffer.concat([part, checksum]), 0, part.length + 4, 0);
  fs.closeSync(file);
}

function flip(path: string, at: number, bit = 3): void {
  const file = fs.openSync(path, "r+");
  const byte = Buffer.alloc(1);
  fs.readSync(file, byte, 0, 1, at);
  byte[0]! ^= 1 << bit;
  fs.writeSync(file, byte, 0, 1, at);
  fs.closeSync(file);
}

describe("blocks that are damaged", () => {
  test("flipped bits all over a shard: it is emptied and counted, or they are where nothing depends on them", async () => {
    const whole = await leave("stopped");
    const original = fs.readFileSync(fileIn(whole));
    const blockBytes = (original.length - HEADER_BYTES) / SHARDS;
    const random = new Random(11);
    let lost = 0;
    for (let round = 0; round < 6; round++) {
      const bytes = Buffer.from(original);
      // Of one shard: its words and pages, of which few bytes are those of values.
      const block = HEADER_BYTES + blockBytes * (round % SHARDS);
      for (let flips = 0; flips < 12; flips++) {
        const at = block + random.below(round < 3 ? 1024 : blockBytes / 8);
        bytes[at]! ^= 1 << random.below(8);
      }
      const directory = newDirectory();
      fs.writeFileSync(fileIn(directory), bytes, { mode: 0o600 });
      const server = await start(directory);
      const { shardsLost, entries, entriesLost } = await statsOf(server);
      lost += shardsLost!;
      expect(shardsLost).toBeLessThanOrEqual(1);
      if (shardsLost! > 0) expect(server.log()).toContain("could not be repaired, and is empty now");
      expect(entries! + entriesLost!).toBeGreaterThan(0);
      const client = await WireClient.connect(server.ws);
      const gets = Array.from({ length: KEYS }, (_, i) => request({ op: OP.GET, key: `key ${i}` }));
      for (const reply of await client.ask(...gets)) expect(["VALUE", "MISS"]).toContain(reply.status);
      await client.ask(request({ op: OP.PUT, key: "after", value: Buffer.from("it goes on") }));
      client.close();
      expect(await server.stop()).toBe(0);
    }
    expect(lost).toBeGreaterThan(2);
  });

  test("random memory of any kind: it is found out, and the shard serves", () => {
    const random = new Random(3);
    for (let round = 0; round < 30; round++) {
      const memory = createStore({ shards: 1, shardBytes: 256 << 10, seed: [1, 2] }, 0);
      const { bytes } = new Store(memory, 1).shards[0]!.block;
      const kind = round % 3;
      for (let at = 0; at < bytes.length; at++)
        if (kind === 0 || random.below(50) === 0) bytes[at] = kind === 2 ? 0 : random.below(256);
      const [shard] = new Store(memory, 1).shards;
      const recovered = shard!.attach(77);
      if (recovered.problem !== null) expect(shard!.stats()).toMatchObject({ entries: 0, shardsLost: 1 });
      expect(shard!.highestVersion).toBeGreaterThanOrEqual(77);
      expect(shard!.attach(0)).toMatchObject({ problem: null });
    }
  });
});

describe("a directory that is not to be used", () => {
  test("another server has it: refused in one line, and that one goes on", async () => {
    const directory = newDirectory();
    const first = await start(directory);
    await fill(first);
    const second = await runServer(["--port", "0", ...flagsFor(directory)]);
    expect(second.code).toBe(71);
    expect(second.stderr.trim().split("\n")).toHaveLength(1);
    expect(second.stderr).toContain("is in use by another server");
    expect(await countFound(first)).toBe(KEYS);
  });

  test("a file that is not ours: refused, and left as it is", async () => {
    const directory = newDirectory();
    const content = "somebody's letters\n".repeat(1000);
    fs.writeFileSync(fileIn(directory), content, { mode: 0o600 });
    const { code, stderr } = await runServer(["--port", "0", ...flagsFor(directory)]);
    expect(code).toBe(71);
    expect(stderr).toContain("is not a Breadbox cache; choose another --data-dir or remove it");
    expect(fs.readFileSync(fileIn(directory), "utf8")).toBe(content);
  });

  test("no directory can be made there: it serves, and says that nothing is kept", async () => {
    const server = await start("/proc/breadbox");
    expect(server.log()).toContain("--data-dir is of no use, the cache will not be kept: /proc/breadbox");
    await fill(server);
    expect(await countFound(server)).toBe(KEYS);
  });

  test("no room for the cache: it serves, and says that nothing is kept", async () => {
    const directory = newDirectory();
    // Larger than any file may be, for this process: as good as a disk that is full.
    const server = await startServer({ flags: flagsFor(directory), shell: "ulimit -f 2048; trap '' XFSZ" });
    running.push(server);
    expect(server.log()).toContain("--data-dir is of no use, the cache will not be kept");
    await fill(server);
    expect(await countFound(server)).toBe(KEYS);
    expect(await server.stop()).toBe(0);
  });
});

describe("a kill while the cache is being taken over", () => {
  test("again and again: the next server finds all that was there", async () => {
    const directory = await leave("killed");
    const random = new Random(2);
    for (let round = 0; round < 8; round++) {
      const child = Bun.spawn(
        [process.execPath, "src/main.ts", "--port", "0", "--workers", "2", ...flagsFor(directory)],
        { stdout: "ignore", stderr: "ignore" },
      );
      await Bun.sleep(20 + random.below(120));
      child.kill("SIGKILL");
      await child.exited;
    }
    const server = await start(directory);
    expect(server.log()).toContain(`kept ${KEYS} entries`);
    expect(await countFound(server)).toBe(KEYS);
  });
});
