/**
 * Replays a cache trace against the real store, in process: GET, and on a miss PUT of that many bytes.
 *
 *   bun run bench:hit-ratio TRACE.csv.gz --memory 512mb [--scale 16] [--shards N] [--max-value SIZE]
 *   bun run bench:hit-ratio --all DIR [--only NAME] [--fractions 0.01,0.1,0.3]
 *
 * A trace is CSV, gzipped or not: `time_s,key,size`, one request a line, one size per key. `--scale` multiplies sizes,
 * where a trace's footprint is so small that fixed costs would show. `--max-value` is a tenth of the memory unless given: what S3-FIFO itself refuses.
 *
 * `--all` compares with the figures of EXPECTED.csv in DIR (see TRACE_POLICY): at equal payload, that is with as much
 * memory as makes the values kept as many bytes as the reference may keep, and at equal memory, all overhead included.
 * The reference refuses objects as big as its small ring, a tenth of its capacity; these columns are of a server with
 * that limit (--max-value). The column "defaults" is of one that takes values up to a quarter of a shard, at equal memory.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { readInvocation } from "../../src/config/config";
import type { ValueSink } from "../../src/store/write";
import { createStore, Store } from "../../src/store/store";
import { Write } from "../../src/store/write";
import type { Machine } from "../../src/system/machine";

const TRACE_POLICY = "s3:10:1:90:0";
const KEY_BYTES = 8;
/** Traces of small objects are multiplied, so that an entry's overhead is what it is for objects of usual size. */
const SMALL_OBJECT_BYTES = 1024;
const SMALL_OBJECT_SCALE = 16;

interface Trace {
  name: string;
  /** One number each: key, as an index into sizes. */
  requests: Uint32Array;
  sizes: Uint32Array;
  uniqueBytes: number;
}

/** Flags of the server. */
interface Options {
  shards: string | undefined;
  maxValue?: number | string | undefined;
}

interface Replay {
  requests: number;
  misses: number;
  copiedPerAdmitted: number;
  valueBytesMax: number;
  entries: number;
  promiseBreaks: number;
}

function readTrace(file: string, scale: number | null): Trace {
  const raw = readFileSync(file);
  const text = new TextDecoder().decode(file.endsWith(".gz") ? Bun.gunzipSync(raw) : raw);
  const keys = new Map<string, number>();
  const requests: number[] = [];
  const sizes: number[] = [];
  for (let at = text.indexOf("\n") + 1; at < text.length;) {
    const end = text.indexOf("\n", at) < 0 ? text.length : text.indexOf("\n", at);
    const [, key, size] = text.slice(at, end).split(",");
    at = end + 1;
    if (key === undefined || size === undefined) continue;
    let index = keys.get(key);
    if (index === undefined) {
      index = sizes.length;
      keys.set(key, index);
      sizes.push(Number(size));
    }
    requests.push(index);
  }
  const unscaled = sizes.reduce((sum, size) => sum + size, 0);
  const times = scale ?? (unscaled / sizes.length < SMALL_OBJECT_BYTES ? SMALL_OBJECT_SCALE : 1);
  return {
    name: basename(file).replace(/\.csv(\.gz)?$/, ""),
    requests: Uint32Array.from(requests),
    sizes: Uint32Array.from(sizes, (size) => size * times),
    uniqueBytes: unscaled * times,
  };
}

class Sink implements ValueSink {
  bytes: Buffer = Buffer.alloc(0);
  constructor(bytes: number) {
    this.bytes = Buffer.alloc(bytes);
  }
  begin(): number {
    return 0;
  }
}

/** Large enough for any --memory. */
const MACHINE: Machine = {
  platform: "linux",
  cores: 1,
  memoryBytes: 2 ** 40,
  filesMax: 1024,
  backlogMax: 4096,
};

/** As the server would set itself up with this much memory. */
function storeFor(memoryBytes: number, options: Options): { store: Store; valueBytesMax: number } {
  const flags = ["--memory", String(Math.floor(memoryBytes))];
  if (options.shards !== undefined) flags.push("--shards", options.shards);
  if (options.maxValue !== undefined) flags.push("--max-value", String(options.maxValue));
  const invocation = readInvocation(flags, {}, MACHINE);
  if (invocation.kind !== "serve") throw new Error("no settings");
  const { settings } = invocation;
  const { shards, shardBytes } = settings;
  const memory = createStore({ shards, shardBytes, seed: [1, 2] }, 0);
  return { store: new Store(memory, 1), valueBytesMax: settings.valueBytesMax };
}

function replay(trace: Trace, memoryBytes: number, options: Options): Replay {
  const { store, valueBytesMax } = storeFor(memoryBytes, options);
  const key = store.newKey();
  const write = new Write();
  const keyBytes = Buffer.alloc(KEY_BYTES);
  const keyView = new DataView(keyBytes.buffer, keyBytes.byteOffset, KEY_BYTES);
  const value = Buffer.alloc(trace.sizes.reduce((max, size) => Math.max(max, size), 0));
  const sink = new Sink(value.length);
  let misses = 0;
  let valueBytesKept = 0;
  for (const [turn, index] of trace.requests.entries()) {
    keyBytes.writeDoubleLE(index);
    key.aim(keyBytes, keyView, 0, KEY_BYTES);
    const shard = store.shardFor(key);
    if (!shard.get(key, sink, 1)) {
      misses++;
      const size = trace.sizes[index]!;
      if (size <= valueBytesMax) shard.put(key, write.set(value, 0, size), 1);
    }
    if ((turn & 1023) === 0) {
      const { bytesPayload, entries } = store.stats().total;
      valueBytesKept = Math.max(valueBytesKept, bytesPayload - entries * KEY_BYTES);
    }
  }
  const { total } = store.stats();
  return {
    requests: trace.requests.length,
    misses,
    copiedPerAdmitted: total.bytesCopied / total.bytesAdmitted,
    valueBytesMax: valueBytesKept,
    entries: total.entries,
    promiseBreaks: total.promiseBreaks,
  };
}

/** Replays with as much memory as makes the values kept `capacity` bytes at their most. */
function replayAtPayload(trace: Trace, capacity: number, options: Options): Replay {
  let memoryBytes = capacity * 1.05;
  let result = replay(trace, memoryBytes, options);
  for (let round = 0; round < 4 && Math.abs(result.valueBytesMax / capacity - 1) > 0.004; round++) {
    memoryBytes *= capacity / result.valueBytesMax;
    result = replay(trace, memoryBytes, options);
  }
  return result;
}

function expectedRatios(directory: string): Map<string, number> {
  const ratios = new Map<string, number>();
  for (const line of readFileSync(join(directory, "EXPECTED.csv"), "utf8").split("\n").slice(1)) {
    const [trace, , fraction, , policy, missRatio] = line.split(",");
    ratios.set(`${trace} ${fraction} ${policy!}`, Number(missRatio));
  }
  return ratios;
}

const ratio = (n: number) => n.toFixed(4);
const percent = (ours: number, theirs: number) => `${((ours / theirs - 1) * 100).toFixed(1)} %`.padStart(8);

function compareAll(
  directory: string,
  only: string | undefined,
  fractions: string[],
  shards: string | undefined,
): void {
  const expected = expectedRatios(directory);
  const columns = [
    "trace",
    "of bytes",
    "LRU",
    TRACE_POLICY,
    "payload",
    "to ref.",
    "total",
    "to ref.",
    "defaults",
    "to ref.",
    "copied/adm.",
  ];
  const widths = [14, 9, 8, 13, 8, 9, 8, 9, 9, 9, 12];
  const row = (cells: string[]) => console.log(cells.map((cell, i) => cell.padStart(widths[i]!)).join(" "));
  row(columns);
  for (const file of readdirSync(directory)
    .filter((name) => name.endsWith(".csv.gz"))
    .sort()) {
    if (only !== undefined && !file.startsWith(only)) continue;
    const trace = readTrace(join(directory, file), null);
    for (const fraction of fractions) {
      const reference = expected.get(`${trace.name} ${fraction} ${TRACE_POLICY}`);
      const lru = expected.get(`${trace.name} ${fraction} lru`);
      const capacity = trace.uniqueBytes * Number(fraction);
      // The reference refuses what is as big as its small ring; a quarter of a shard is what the store takes at most.
      const probe = storeFor(capacity, { shards });
      const maxValue = Math.min(Math.ceil(capacity / 10) - 1, probe.valueBytesMax);
      const atPayload = replayAtPayload(trace, capacity, { shards, maxValue });
      const atTotal = replay(trace, capacity, { shards, maxValue });
      const byDefault = replay(trace, capacity, { shards });
      const missRatio = (result: Replay) => result.misses / result.requests;
      const [payload, total, defaults] = [missRatio(atPayload), missRatio(atTotal), missRatio(byDefault)];
      row([
        trace.name,
        `${Number(fraction) * 100} %`,
        lru === undefined ? "?" : ratio(lru),
        reference === undefined ? "?" : ratio(reference),
        ratio(payload),
        reference === undefined ? "?" : percent(payload, reference),
        ratio(total),
        reference === undefined ? "?" : percent(total, reference),
        ratio(defaults),
        reference === undefined ? "?" : percent(defaults, reference),
        atTotal.copiedPerAdmitted.toFixed(3),
      ]);
      if (atTotal.promiseBreaks > 0)
        console.log(`  ${atTotal.promiseBreaks} entries were dropped against the promise`);
    }
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    memory: { type: "string" },
    scale: { type: "string" },
    shards: { type: "string" },
    "max-value": { type: "string" },
    all: { type: "string" },
    only: { type: "string" },
    fractions: { type: "string", default: "0.01,0.1,0.3" },
  },
});

if (values.all !== undefined) compareAll(values.all, values.only, values.fractions.split(","), values.shards);
else if (positionals[0] === undefined || values.memory === undefined) {
  console.error(
    "usage: bench:hit-ratio TRACE.csv.gz --memory SIZE [--scale K] [--shards N] [--max-value SIZE], or --all DIR",
  );
  process.exit(64);
} else {
  const invocation = readInvocation(["--memory", values.memory], {}, MACHINE);
  if (invocation.kind !== "serve") throw new Error("no settings");
  const trace = readTrace(positionals[0], values.scale === undefined ? 1 : Number(values.scale));
  const { memoryBytes, valueBytesMax } = invocation.settings;
  const tenth = Math.ceil(memoryBytes / 10) - 1;
  const options = { shards: values.shards, maxValue: values["max-value"] ?? Math.min(tenth, valueBytesMax) };
  const result = replay(trace, memoryBytes, options);
  console.log(`trace        ${trace.name}: ${trace.sizes.length} keys, ${trace.uniqueBytes} bytes`);
  console.log(`requests     ${result.requests}`);
  console.log(`misses       ${result.misses}`);
  console.log(`miss ratio   ${ratio(result.misses / result.requests)}`);
  console.log(`copied       ${result.copiedPerAdmitted.toFixed(3)} bytes per byte admitted`);
  console.log(`refused      values over ${options.maxValue} bytes (--max-value)`);
  console.log(`kept at most ${result.valueBytesMax} bytes of values`);
}
