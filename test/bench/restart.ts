/**
 * What --data-dir costs and gives.
 *
 *   bun run bench:restart [--entries 1000000] [--value 64] [--memory 1gb] [--times 5] [--dir /dev/shm/…] [--disk DIR] [--rounds 9] [--no-write]
 *
 * 1. Start: a server is filled, killed with SIGKILL in the middle of writes, and started again over what it left: ms from exec to the
 *    first GET that finds its key, and the same after SIGTERM and without a kept cache.
 * 2. Hot path: lock, get and put of one thread, in memory of both kinds, in turn.
 * 3. Writes on a disk: CPU and throughput of a server under batches of puts, with its memory from the system, in a file system in
 *    memory, and on a disk.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createStore } from "../../src/store/store";
import { request } from "../support/frames";
import { mappedBytes } from "../support/mapped";
import { cpuSeconds } from "../support/process";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";
import { median } from "./peers/report";
import { machineLine } from "./peers/results";
import { Keys, PreparedStore } from "./prepared-store";
import { markdownTable, writeSection } from "./results";

const { values } = parseArgs({
  options: {
    entries: { type: "string", default: "1000000" },
    value: { type: "string", default: "64" },
    memory: { type: "string", default: "1gb" },
    times: { type: "string", default: "5" },
    dir: { type: "string", default: "/dev/shm" },
    disk: { type: "string", default: tmpdir() },
    rounds: { type: "string", default: "9" },
    "no-write": { type: "boolean", default: false },
  },
});
const ENTRIES = Number(values.entries);
const VALUE = Buffer.alloc(Number(values.value), 0x76);
const BATCH = 512;
const IN_FLIGHT = 8;
const OP = { GET: 1, PUT: 2 } as const;
const SECONDS = 4;

const ms = (numbers: number[]) =>
  [median(numbers), Math.min(...numbers), Math.max(...numbers)].map((n) => n.toFixed(0));

function batchOf(first: number, keys: number): Buffer {
  return Buffer.concat(
    Array.from({ length: BATCH }, (_, i) =>
      request({ op: OP.PUT, key: `key:${String((first + i) % keys).padStart(9, "0")}`, value: VALUE }),
    ),
  );
}

/** Batches of puts, some in flight; returns how many entries were written. Ends when `goOn` says so. */
async function write(client: WireClient, keys: number, goOn: (written: number) => boolean): Promise<number> {
  let sent = 0;
  let written = 0;
  const send = () => {
    client.send(batchOf(sent, keys));
    sent += BATCH;
  };
  for (let i = 0; i < IN_FLIGHT; i++) send();
  while (goOn(written)) {
    for (let i = 0; i < BATCH; i++) await client.reply();
    written += BATCH;
    send();
  }
  return written;
}

function start(directory: string | null): Promise<TestServer> {
  return startServer({
    flags: ["--memory", values.memory, ...(directory === null ? [] : ["--data-dir", directory])],
  });
}

/** From exec to the first GET that is answered, ms. */
async function startAgain(directory: string): Promise<{ ms: number; log: string }> {
  const started = performance.now();
  const server = await start(directory);
  const reply = await fetch(`${server.http}/get?key=key:000000000`);
  const took = performance.now() - started;
  await reply.arrayBuffer();
  server.process.kill("SIGKILL");
  await server.process.exited;
  return { ms: took, log: server.log() };
}

async function measureStart(): Promise<string[][]> {
  const directory = mkdtempSync(join(values.dir, "breadbox-bench-"));
  try {
    const empty: number[] = [];
    for (let time = 0; time < Number(values.times); time++) {
      rmSync(join(directory, "breadbox.cache"), { force: true });
      empty.push((await startAgain(directory)).ms);
    }
    const server = await start(directory);
    const client = await WireClient.connect(server.ws);
    await write(client, ENTRIES, (written) => written < ENTRIES);
    const goesOn = write(client, ENTRIES, () => true).catch(() => 0);
    await Bun.sleep(100);
    server.process.kill("SIGKILL");
    await goesOn;
    const killed = [await startAgain(directory)];
    const kept = /kept ([\d,]+) entries/.exec(killed[0]!.log)?.[1];
    if (kept === undefined) throw new Error(killed[0]!.log);
    while (killed.length < Number(values.times)) killed.push(await startAgain(directory));
    const stopped: number[] = [];
    for (let time = 0; time < Number(values.times); time++) {
      await (await start(directory)).stop();
      stopped.push((await startAgain(directory)).ms);
    }
    return [
      [`after kill −9, ${kept} entries`, ...ms(killed.map(({ ms }) => ms))],
      [`after SIGTERM, ${kept} entries`, ...ms(stopped)],
      ["a new file", ...ms(empty)],
    ];
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** ns an operation on both kinds of memory, in turn, and the ratio of each pair. */
function measureHotPath(): string[][] {
  const keys = new Keys(200_000);
  const shards = 8;
  const shardBytes = 8 << 20;
  const options = { shards, shardBytes, seed: [1, 2] as [number, number] };
  const mapped = Array.from({ length: shards }, () => mappedBytes(shardBytes));
  const stores = {
    shared: new PreparedStore(createStore(options, 0), keys),
    mapped: new PreparedStore(createStore({ ...options, mapped }, 0), keys),
  };
  const works = {
    "put, in place": (store: PreparedStore, i: number) => store.put(i, 64),
    "put, of another size": (store: PreparedStore, i: number) => store.put(i, 32 + ((i * 7 + turn) % 90)),
    get: (store: PreparedStore, i: number) => void store.get(i),
  };
  let turn = 0;
  const time = (store: PreparedStore, work: (store: PreparedStore, i: number) => void) => {
    const from = Bun.nanoseconds();
    for (let i = 0; i < keys.count; i++) work(store, i);
    return (Bun.nanoseconds() - from) / keys.count;
  };
  return Object.entries(works).map(([name, work]) => {
    const pairs: [number, number][] = [];
    for (let round = 0; round < Number(values.rounds) + 2; round++, turn++) {
      const order = round % 2 === 0 ? (["shared", "mapped"] as const) : (["mapped", "shared"] as const);
      const times = Object.fromEntries(order.map((kind) => [kind, time(stores[kind], work)]));
      if (round >= 2) pairs.push([times["shared"]!, times["mapped"]!]);
    }
    const ratios = pairs.map(([shared, mapped]) => mapped / shared);
    const figures = [median(pairs.map(([shared]) => shared)), median(pairs.map(([, mapped]) => mapped))];
    return [
      name,
      ...figures.map((ns) => ns.toFixed(0)),
      median(ratios).toFixed(2),
      `${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}`,
    ];
  });
}

async function measureWrites(): Promise<string[][]> {
  const rows: string[][] = [];
  const places: [string, string | null][] = [
    ["the system's", null],
    ["a file in memory", values.dir],
    ["a file on a disk", values.disk],
  ];
  for (const [name, place] of places) {
    const directory = place === null ? null : mkdtempSync(join(place, "breadbox-bench-"));
    try {
      const server = await start(directory);
      const client = await WireClient.connect(server.ws);
      const until = performance.now() + SECONDS * 1000;
      const cpuBefore = cpuSeconds(server.process.pid);
      const written = await write(client, ENTRIES, () => performance.now() < until);
      const cpu = cpuSeconds(server.process.pid) - cpuBefore;
      const stopping = performance.now();
      await server.stop();
      const stopMs = performance.now() - stopping;
      rows.push([
        name,
        Math.round(written / SECONDS).toLocaleString("en"),
        ((cpu / written) * 1e6).toFixed(2),
        stopMs.toFixed(0),
      ]);
    } finally {
      if (directory !== null) rmSync(directory, { recursive: true, force: true });
    }
  }
  return rows;
}

if (!statSync(values.dir).isDirectory()) throw new Error(`${values.dir} is not a directory`);
const sections = [
  machineLine(),
  markdownTable(["ms from exec to the first answer", "median", "least", "most"], await measureStart()),
  markdownTable(["ns, one thread", "shared", "mapped", "ratio", "spread"], measureHotPath()),
  markdownTable(
    [
      `puts of ${VALUE.length} bytes in batches of ${BATCH}, memory from`,
      "puts/s",
      "µs of CPU a put",
      "ms from SIGTERM to the end",
    ],
    await measureWrites(),
  ),
];
console.log(sections.join("\n\n"));
if (!values["no-write"]) writeSection("Warm restart (`bun run bench:restart`)", sections.join("\n\n"));
