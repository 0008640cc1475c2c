/**
 * Tail latency of single requests: Breadbox and Redis in turn at one and the same rate, half of what the slower of the two
 * sustains, 64 connections, 90 % GET. An open loop: latency counts from when a request was due (paced.ts).
 *
 *   bun run bench:latency [--rounds 5] [--seconds 3] [--no-write]
 *   bun run bench:latency --entries-bytes 100mb,4gb [--server OTHER/src/main.ts]
 *
 * The second form compares ours with itself, with so many bytes of other entries stored. --per-second N sets the rate.
 */
import { parseArgs } from "node:util";
import { connect } from "../../../src/client/client";
import { Histogram } from "../../../src/cli/histogram";
import { placement } from "./cpu";
import { LoadProcess, WrongAnswers } from "./load-process";
import type { ProtocolName } from "./orders";
import { median, table } from "./report";
import { machineLine, writeSection } from "./results";
import { findPeer, type RunningServer, startBreadbox, startPeer } from "./servers";

const EXIT_USAGE = 64;
const EXIT_WRONG = 2;
const PLAN = { connections: 64, batchSize: 1, getShare: 0.9 };
const KEYS = 100_000;
const WARMUP_MS = 1000;
const CEILING_MS = 2000;
/** Of the entries that are stored beside the keys of the load. */
const FILL_VALUE_BYTES = 1000;
const FILL_TOGETHER = 4096;
/** Memory of the server, so that nothing is evicted, as a multiple of what is stored. */
const ROOM = 1.3;
/** A side that answers less of what was due is overloaded. */
const SUSTAINED_SHARE = 0.97;
const SIZES: Record<string, number> = { mb: 2 ** 20, gb: 2 ** 30 };

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    "entries-bytes": { type: "string" },
    "per-second": { type: "string" },
    server: { type: "string" },
    "no-write": { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds);
const measureMs = Number(values.seconds) * 1000;
if (!(rounds >= 1 && measureMs > 0)) usage("--rounds and --seconds: numbers above 0");
const fills = values["entries-bytes"]?.split(",") ?? [];
const fillBytes = fills.map(bytesOf);

interface Side {
  name: string;
  server: RunningServer;
  rounds: { p50: number; p99: number; p999: number }[];
  all: Histogram;
}

const place = placement();
const load = new LoadProcess(place.load);
const sides: Side[] = [];
try {
  for (const [i, bytes] of fillBytes.entries())
    await addSide(`Breadbox, ${fills[i]} of entries`, "wire", await startOurs(bytes), ({ port }) =>
      fill(port, bytes),
    );
  if (fills.length === 0) await addBoth();
  const perSecond = Number(values["per-second"] ?? Math.floor((await slowest()) / 2));
  if (!(perSecond > 0)) usage("--per-second: a number above 0");
  for (let round = 0; round < rounds; round++)
    for (const side of sides) {
      const order = { name: side.name, perSecond, warmupMs: WARMUP_MS, measureMs };
      add(side, (await load.latency(order)).latencies);
    }
  report(perSecond);
} catch (error) {
  if (!(error instanceof WrongAnswers)) throw error;
  console.error(`bench:latency: ${error.message}`);
  process.exitCode = EXIT_WRONG;
} finally {
  await load.end();
  for (const { server } of sides) await server.stop();
}

async function addBoth(): Promise<void> {
  await addSide("Breadbox", "wire", await startOurs(0));
  const redis = findPeer("redis");
  if (typeof redis === "string") console.log(redis);
  else await addSide("Redis", "resp", await startPeer(redis, place.server));
}

/** What the slowest side sustains, requests a second. */
async function slowest(): Promise<number> {
  let least = Infinity;
  for (const { name } of sides) {
    const { operations, seconds } = await load.round({ name, warmupMs: WARMUP_MS, measureMs: CEILING_MS });
    least = Math.min(least, operations / seconds);
  }
  return least;
}

async function addSide(
  name: string,
  protocol: ProtocolName,
  server: RunningServer,
  prepare?: (server: RunningServer) => Promise<void>,
): Promise<void> {
  sides.push({ name, server, rounds: [], all: new Histogram() });
  await prepare?.(server);
  await load.open({ name, pid: server.pid, port: server.port, protocol, keys: KEYS, ...PLAN });
}

function startOurs(bytesBeside: number): Promise<RunningServer> {
  const memory = Math.ceil(Math.max(2 ** 30, bytesBeside * ROOM));
  return startBreadbox(values.server, ["--workers", "1", "--memory", String(memory)], place.server);
}

/** Stores entries of FILL_VALUE_BYTES until they are so many bytes, and sees that all are there. */
async function fill(port: number, bytes: number): Promise<void> {
  const entries = Math.ceil(bytes / FILL_VALUE_BYTES);
  const cache = await connect(`ws://127.0.0.1:${port}`);
  const value = new Uint8Array(FILL_VALUE_BYTES).fill(0x76);
  for (let from = 0; from < entries; from += FILL_TOGETHER) {
    const count = Math.min(FILL_TOGETHER, entries - from);
    await Promise.all(Array.from({ length: count }, (_, i) => cache.put(`fill:${from + i}`, value)));
  }
  const stored = ((await cache.stats()) as { entries: number }).entries;
  await cache.close();
  if (stored !== entries) throw new Error(`${entries} entries were stored, ${stored} are there`);
}

function add(side: Side, latencies: { counts: number[]; maxNs: number; total: number }): void {
  const round = new Histogram();
  const typed = { ...latencies, counts: Float64Array.from(latencies.counts) };
  round.add(typed);
  side.all.add(typed);
  const ms = (share: number) => round.percentile(share) / 1e6;
  side.rounds.push({ p50: ms(0.5), p99: ms(0.99), p999: ms(0.999) });
}

function report(perSecond: number): void {
  const rows = sides.map(({ name, rounds, all }) => [
    name,
    ...(["p50", "p99", "p999"] as const).map((p) => median(rounds.map((round) => round[p])).toFixed(3)),
    (all.percentile(0.999) / 1e6).toFixed(3),
    (all.maxNs / 1e6).toFixed(3),
  ]);
  const headings = [`ms, ${perSecond.toLocaleString("en")} a second`, "p50", "p99", "p99.9"];
  const lines = table([...headings, "p99.9 of all rounds", "max"], rows, 1);
  console.log(lines.join("\n"));
  const due = (perSecond * rounds * measureMs) / 1000;
  for (const { name, all } of sides)
    if (all.total < due * SUSTAINED_SHARE)
      console.log(
        `${name} did not sustain the rate (${Math.round((all.total / due) * 100)} %): these are no latencies`,
      );
  const isWhole =
    fills.length === 0 &&
    values["per-second"] === undefined &&
    sides.length > 1 &&
    values.server === undefined;
  if (values["no-write"] || !isWhole) return;
  writeSection("bench:latency", "Latency against Redis", [
    `\`bun run bench:latency --rounds ${rounds} --seconds ${values.seconds}\` on ${machineLine()}.`,
    "Single requests, 64 connections, 90 % GET, at half of the rate that the slower one sustains, from when each was due.",
    "Medians of the rounds' percentiles; the last two columns are of all rounds together.",
    "",
    ...lines,
  ]);
}

function bytesOf(text: string): number {
  const match = /^([0-9]+)(mb|gb)$/.exec(text);
  return match === null
    ? usage("--entries-bytes: a size such as 100mb or 4gb")
    : Number(match[1]) * SIZES[match[2]!]!;
}

function usage(message: string): never {
  console.error(`bench:latency: ${message}`);
  process.exit(EXIT_USAGE);
}
