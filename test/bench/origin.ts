/**
 * What a server before a cluster costs and saves, on a real cluster of three masters that this starts.
 *
 * - path: GETs of 64 bytes that the first level answers against GETs of a server without an origin, in pairs of processes, without sockets;
 *   and with --baseline OTHER_CHECKOUT, a server without an origin against the one of that checkout.
 * - hits: the same over sockets, CPU of the server's process.
 * - misses: batches of 64 misses and of 64 writes: what each master is sent, how long they take, and CPU.
 * - zipf: reads and writes by Zipf's law through one node, through two, and to the cluster alone with its client.
 *
 *   bun run bench:origin [--baseline OTHER_CHECKOUT] [--rounds 5] [--seconds 2] [--seed 1] [--only path,hits,misses,zipf] [--no-write]
 */
import { parseArgs } from "node:util";
import type { StatsReport } from "../../src/commands/report";
import { type Cluster, startCluster } from "../support/cluster";
import { startServer, type TestServer } from "../support/server";
import type { Load } from "./origin-load";
import {
  type Batch,
  BATCH,
  ClusterLane,
  keepBusy,
  type Lane,
  NodeLane,
  sendAll,
  sequentialBatches,
  zipfBatches,
} from "./origin-lanes";
import { cpuSeconds } from "./peers/cpu";
import { median } from "./peers/report";
import { machineLine } from "./peers/results";
import { markdownTable, writeSection } from "./results";

const { values } = parseArgs({
  options: {
    baseline: { type: "string" },
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "2" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "path,hits,misses,zipf" },
    "no-write": { type: "boolean", default: false },
  },
});
const ROUNDS = Number(values.rounds);
const ROUND_MS = Number(values.seconds) * 1000;
const HERE = new URL("../../", import.meta.url).pathname;
const LOAD = new URL("./origin-load.ts", import.meta.url).pathname;
const MASTERS = 3;
const LANES = 16;
const HIT_KEYS = 10_000;
const KEYS = 100_000;
const SKEW = 0.99;
const WRITE_SHARE = 0.05;
const ZIPF_BATCHES = 4096;
/** Batches of the part about misses, in each round. */
const MISS_BATCHES = 200;
const SMALL = Buffer.alloc(64, 0x76);
const SIZES: readonly [string, Buffer][] = [
  ["64 bytes", SMALL],
  ["1 KB", Buffer.alloc(1024, 0x76)],
];
/** A timeout that a busy machine does not reach. */
const NODE_FLAGS = ["--workers", "1", "--memory", "64mb", "--origin-timeout", "10s"];

const spread = (all: readonly number[], digits = 2) =>
  `${Math.min(...all).toFixed(digits)}–${Math.max(...all).toFixed(digits)}`;
const count = (value: number) => Math.round(value).toLocaleString("en");
const sum = (all: readonly number[]) => all.reduce((one, other) => one + other, 0);

/** In turn, so that a machine that changes its pace changes all of them. */
async function inTurns<Name extends string, Figure>(
  names: readonly Name[],
  measure: (name: Name, round: number) => Promise<Figure>,
): Promise<Record<Name, Figure[]>> {
  const figures = Object.fromEntries(names.map((name) => [name, [] as Figure[]])) as Record<Name, Figure[]>;
  for (let round = 0; round < ROUNDS; round++)
    for (const name of round % 2 === 0 ? names : names.toReversed())
      figures[name].push(await measure(name, round));
  return figures;
}

function compared(name: string, ours: readonly number[], theirs: readonly number[]): string[] {
  const ratios = ours.map((figure, i) => figure / theirs[i]!);
  return [
    name,
    ...[theirs, ours].map((side) => median(side).toFixed(1)),
    median(ratios).toFixed(3),
    spread(ratios),
    (Math.min(...ours) / Math.min(...theirs)).toFixed(3),
  ];
}
const COMPARED = ["before", "now", "ratio", "spread", "of the least"];

// Without sockets

async function pathNanoseconds(checkout: string, load: Load): Promise<number> {
  const child = Bun.spawn([process.execPath, LOAD, checkout, load], { stdout: "pipe", stderr: "inherit" });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`${load} of ${checkout} failed`);
  return Number(text);
}

async function path(): Promise<string> {
  const sides: Record<string, [checkout: string, load: Load]> = {
    get: [HERE, "GET"],
    long: [HERE, "GET, as long"],
    hit: [HERE, "GET, first level"],
    put: [HERE, "PUT"],
  };
  const { baseline } = values;
  if (baseline !== undefined) {
    sides["get before"] = [baseline, "GET"];
    sides["put before"] = [baseline, "PUT"];
  }
  const ns = await inTurns(Object.keys(sides), (name) => pathNanoseconds(...sides[name]!));
  const rows = [
    compared("GET, first level, against no origin", ns["hit"]!, ns["get"]!),
    compared("the same, against entries that are as long", ns["hit"]!, ns["long"]!),
  ];
  if (baseline !== undefined)
    rows.push(
      compared("GET without an origin, against the checkout before", ns["get"]!, ns["get before"]!),
      compared("PUT without an origin, against the checkout before", ns["put"]!, ns["put before"]!),
    );
  return [
    markdownTable(["in one thread, ns of CPU an operation", ...COMPARED], rows),
    "A copy has a stamp of 8 bytes, with which many an entry of 64-byte values reaches into a third line of the caches; the second row is without that.",
  ].join("\n\n");
}

// Over sockets

async function startNode(cluster: Cluster): Promise<TestServer> {
  const server = await startServer({ flags: [...NODE_FLAGS, "--origin", cluster.url] });
  await server.logged(`origin: connected to ${MASTERS} masters`);
  await server.loggedTimes("origin: tracks the master", MASTERS);
  return server;
}

const lanesTo = (servers: readonly TestServer[]): Promise<NodeLane[]> =>
  Promise.all(Array.from({ length: LANES }, (_, i) => NodeLane.open(servers[i % servers.length]!.ws)));
const closeAll = (lanes: readonly Lane[]) => lanes.forEach((lane) => lane.close());

/** µs of CPU of these processes for each request. */
async function microseconds(pids: readonly number[], work: () => Promise<number>): Promise<number> {
  const cpuOf = () => sum(pids.map(cpuSeconds));
  const before = cpuOf();
  const requests = await work();
  return ((cpuOf() - before) / requests) * 1e6;
}

async function hits(cluster: Cluster): Promise<string> {
  const sides = {
    without: await startServer({ flags: NODE_FLAGS.slice(0, 4) }),
    with: await startNode(cluster),
  };
  const batchCount = Math.floor(HIT_KEYS / BATCH);
  const [puts, gets] = [false, true].map((isRead) => sequentialBatches(0, batchCount, isRead, SMALL)) as [
    Batch[],
    Batch[],
  ];
  const lanes = { without: await lanesTo([sides.without]), with: await lanesTo([sides.with]) };
  for (const side of ["without", "with"] as const) {
    await sendAll(lanes[side], puts);
    await sendAll(lanes[side], gets);
  }
  const asked = async () => (await statsOf(sides.with)).origin!.calls["get"]!;
  const before = await asked();
  let requests = 0;
  const micros = await inTurns(["without", "with"] as const, (side) =>
    microseconds([sides[side].process.pid], async () => {
      const done = await keepBusy(lanes[side], gets, ROUND_MS);
      if (side === "with") requests += done;
      return done;
    }),
  );
  const missed = (await asked()) - before;
  for (const side of ["without", "with"] as const) {
    closeAll(lanes[side]);
    await sides[side].stop();
  }
  const toNs = (all: number[]) => all.map((figure) => figure * 1000);
  const row = compared("GET, first level, against no origin", toNs(micros.with), toNs(micros.without));
  return [
    markdownTable([`over ${LANES} sockets, ns of CPU an operation`, ...COMPARED], [row]),
    `${count(missed)} of ${count(requests)} reads asked the cluster.`,
  ].join("\n\n");
}

async function statsOf(server: TestServer): Promise<StatsReport> {
  return (await (await fetch(`${server.http}/stats`)).json()) as StatsReport;
}

// What the masters see

interface Seen {
  reads: number;
  gets: number;
  writes: number;
}

/** Of one master: reads of its sockets, and commands. */
async function seenBy(master: Cluster["nodes"][number]): Promise<Seen> {
  const text = (await master.command("INFO", "everything")) as string;
  const calls = (name: string) =>
    Number(new RegExp(`^cmdstat_${name}:calls=(\\d+)`, "m").exec(text)?.[1] ?? 0);
  const reads = Number(/^total_reads_processed:(\d+)/m.exec(text)![1]);
  return { reads, gets: calls("get"), writes: calls("evalsha") };
}

const seenByAll = (cluster: Cluster) => Promise.all(cluster.nodes.map(seenBy));

async function misses(cluster: Cluster): Promise<string> {
  const node = await startNode(cluster);
  const [lane] = await lanesTo([node]);
  const pids = { node: [node.process.pid], masters: cluster.nodes.map(({ pid }) => pid) };
  const rows: string[][] = [];
  for (const [name, isRead] of [
    ["64 writes", false],
    ["64 misses", true],
  ] as const) {
    const times: number[] = [];
    const perBatch: Seen[] = [];
    const micros = { node: [] as number[], masters: [] as number[] };
    for (let round = 0; round < ROUNDS; round++) {
      const batches = sequentialBatches(round * MISS_BATCHES * BATCH, MISS_BATCHES, isRead, SMALL);
      const before = await seenByAll(cluster);
      const cpu = { node: sum(pids.node.map(cpuSeconds)), masters: sum(pids.masters.map(cpuSeconds)) };
      for (const batch of batches) {
        const start = performance.now();
        await lane!.ask(batch);
        times.push(performance.now() - start);
      }
      for (const side of ["node", "masters"] as const)
        micros[side].push(((sum(pids[side].map(cpuSeconds)) - cpu[side]) / (MISS_BATCHES * BATCH)) * 1e6);
      const after = await seenByAll(cluster);
      for (const [i, seen] of after.entries())
        perBatch.push({
          reads: (seen.reads - before[i]!.reads) / MISS_BATCHES,
          gets: (seen.gets - before[i]!.gets) / MISS_BATCHES,
          writes: (seen.writes - before[i]!.writes) / MISS_BATCHES,
        });
    }
    times.sort((a, b) => a - b);
    rows.push([
      name,
      median(perBatch.map(({ reads }) => reads)).toFixed(2),
      median(perBatch.map(({ gets, writes }) => gets + writes)).toFixed(1),
      times[times.length >> 1]!.toFixed(2),
      times[Math.floor(times.length * 0.99)]!.toFixed(2),
      median(micros.node).toFixed(1),
      median(micros.masters).toFixed(1),
    ]);
  }
  lane!.close();
  await node.stop();
  return markdownTable(
    [
      "one batch at a time",
      "reads of its socket, each master",
      "commands, each master",
      "ms, median",
      "ms, p99",
      "µs of CPU each, node",
      "µs of CPU each, masters",
    ],
    rows,
  );
}

// By Zipf's law

interface ZipfFigure {
  perSecond: number;
  nodeMicros: number;
  masterMicros: number;
  loadMicros: number;
  hitRatio: number;
  /** Of the reads, those that no master has seen. */
  saved: number;
}

const SETUPS = ["one node", "two nodes", "the cluster alone"] as const;

async function zipf(cluster: Cluster): Promise<string> {
  const rows: string[][] = [];
  for (const [size, value] of SIZES) {
    const nodes = [await startNode(cluster), await startNode(cluster)];
    const used = { "one node": nodes.slice(0, 1), "two nodes": nodes, "the cluster alone": [] };
    const ports = cluster.nodes.map(({ port }) => port);
    const lanes: Record<string, Lane[]> = {
      "one node": await lanesTo(used["one node"]),
      "two nodes": await lanesTo(used["two nodes"]),
      "the cluster alone": [await ClusterLane.open(ports, value)],
    };
    // One client for all: it sends the commands of all lanes in a turn together.
    while (lanes["the cluster alone"]!.length < LANES)
      lanes["the cluster alone"]!.push(lanes["the cluster alone"]![0]!);
    const load = { keys: KEYS, skew: SKEW, writeShare: WRITE_SHARE, seed: Number(values.seed) };
    const batches = zipfBatches(ZIPF_BATCHES, load, value);
    const [writes, reads] = [false, true].map((isRead) =>
      sequentialBatches(0, Math.ceil(KEYS / BATCH), isRead, value),
    ) as [Batch[], Batch[]];
    for (const setup of ["one node", "the cluster alone"] as const) await sendAll(lanes[setup]!, writes);
    for (const node of nodes) await readAll(node, reads);
    for (const setup of SETUPS) await keepBusy(lanes[setup]!, batches, ROUND_MS);
    const readShare =
      sum(batches.map(({ reads }) => reads.filter(Boolean).length)) / (batches.length * BATCH);
    const rounds = await inTurns(SETUPS, (setup) =>
      zipfRound({ cluster, nodes: used[setup], lanes: lanes[setup]! }, batches, readShare),
    );
    for (const setup of SETUPS) rows.push([`${size}, ${setup}`, ...zipfRow(rounds[setup], setup)]);
    for (const setup of SETUPS) closeAll(lanes[setup]!);
    for (const node of nodes) await node.stop();
    await cluster.flushAll();
  }
  const figures = markdownTable(
    [
      `Zipf ${SKEW}, ${count(KEYS)} keys, ${WRITE_SHARE * 100} % writes`,
      "operations/s",
      "spread",
      "µs of CPU each: nodes",
      "masters",
      "load",
      "hit ratio",
      "reads that the cluster is spared",
    ],
    rows,
  );
  return [
    `${LANES} connections, batches of ${BATCH}, one worker a node. The load runs on the same machine: for the cluster alone it is one client of iovalkey with automatic pipelining, for nodes a WebSocket for each connection. Reads that wait for another one's answer are misses, too, and spare the cluster a read.`,
    figures,
  ].join("\n\n");
}

/** So that the first level has what it holds. */
async function readAll(node: TestServer, reads: readonly Batch[]): Promise<void> {
  const lanes = await lanesTo([node]);
  await sendAll(lanes, reads);
  closeAll(lanes);
}

async function zipfRound(
  { cluster, nodes, lanes }: { cluster: Cluster; nodes: readonly TestServer[]; lanes: readonly Lane[] },
  batches: readonly Batch[],
  readShare: number,
): Promise<ZipfFigure> {
  const look = async () => ({
    gets: sum((await seenByAll(cluster)).map(({ gets }) => gets)),
    stats: await Promise.all(nodes.map(statsOf)),
    nodes: sum(nodes.map(({ process }) => cpuSeconds(process.pid))),
    masters: sum(cluster.nodes.map(({ pid }) => cpuSeconds(pid))),
    load: cpuSeconds(process.pid),
    at: performance.now(),
  });
  const before = await look();
  const operations = await keepBusy(lanes, batches, ROUND_MS);
  const at = performance.now();
  const after = await look();
  const total = (name: "hits" | "misses", { stats }: typeof before) => sum(stats.map((one) => one[name]));
  const [hits, misses] = (["hits", "misses"] as const).map(
    (name) => total(name, after) - total(name, before),
  );
  const micros = (name: "nodes" | "masters" | "load") => ((after[name] - before[name]) / operations) * 1e6;
  return {
    perSecond: (operations / (at - before.at)) * 1000,
    nodeMicros: micros("nodes"),
    masterMicros: micros("masters"),
    loadMicros: micros("load"),
    hitRatio: hits! / (hits! + misses!),
    saved: 1 - (after.gets - before.gets) / (operations * readShare),
  };
}

function zipfRow(figures: readonly ZipfFigure[], setup: (typeof SETUPS)[number]): string[] {
  const of = (name: keyof ZipfFigure) => figures.map((figure) => figure[name]);
  const isAlone = setup === "the cluster alone";
  return [
    count(median(of("perSecond"))),
    `${count(Math.min(...of("perSecond")))}–${count(Math.max(...of("perSecond")))}`,
    isAlone ? "" : median(of("nodeMicros")).toFixed(2),
    median(of("masterMicros")).toFixed(2),
    median(of("loadMicros")).toFixed(2),
    isAlone ? "" : median(of("hitRatio")).toFixed(3),
    isAlone ? "" : `${(median(of("saved")) * 100).toFixed(1)} %`,
  ];
}

const PARTS: Record<string, (cluster: Cluster) => Promise<string>> = { path, hits, misses, zipf };
const chosen = values.only.split(",");
for (const name of chosen)
  if (PARTS[name] === undefined) throw new Error(`--only ${name}: one of ${Object.keys(PARTS).join(", ")}`);
const cluster = await startCluster({ masters: MASTERS, replicas: 0 });
const sections = [
  `\`bun run bench:origin --rounds ${values.rounds} --seconds ${values.seconds}\` on ${machineLine()}, three masters of redis-server on the same machine.`,
];
try {
  for (const name of chosen) {
    sections.push(await PARTS[name]!(cluster));
    console.log(`${sections.at(-1)}\n`);
  }
} finally {
  await cluster.stop();
}
if (!values["no-write"]) writeSection("Before a cluster", sections.join("\n\n"));
process.exit(0);
