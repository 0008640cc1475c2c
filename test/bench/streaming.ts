/**
 * What watches cost, and how soon they tell.
 *
 * - Operations of batches in one thread, in pairs with another checkout: reads and writes that nobody watches, writes while others
 *   are watched, and, against the same checkout's own writes, writes that are watched by another worker.
 * - An idle watcher hears of a write on another worker.
 * - Very many connections watch one key, and are told.
 * - A million watches: what memory they take.
 *
 *   bun run bench:streaming [--baseline OTHER_CHECKOUT] [--pairs 9] [--connections 10000] [--only cost,latency,crowd,memory]
 */
import { parseArgs } from "node:util";
import { residentBytes } from "../support/process";
import { startServer } from "../support/server";
import { getWatched, put } from "../support/stream-requests";
import { WireClient } from "../support/wire-client";
import { markdownTable } from "./results";
import { type Load } from "./streaming-load";

const { values } = parseArgs({
  options: {
    baseline: { type: "string" },
    pairs: { type: "string", default: "9" },
    connections: { type: "string", default: "10000" },
    only: { type: "string", default: "cost,latency,crowd,memory" },
  },
});
const HERE = new URL("../../", import.meta.url).pathname;
const LOAD = new URL("./streaming-load.ts", import.meta.url).pathname;
const MB = 2 ** 20;
const LATENCY_ROUNDS = 2000;
const WATCHES = 1_000_000;

const median = (all: number[]) => all.toSorted((a, b) => a - b)[all.length >> 1]!;

/** Nanoseconds an operation. */
async function run(checkout: string, load: Load): Promise<number> {
  const child = Bun.spawn([process.execPath, LOAD, checkout, load], { stdout: "pipe", stderr: "inherit" });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`${load} of ${checkout} failed`);
  return Number(text);
}

type Side = readonly [checkout: string, load: Load];

/** The medians of both sides, run one after the other in turn, and of their ratios. */
async function pairs(name: string, ours: Side, theirs: Side): Promise<string[]> {
  const sides: [ours: number[], theirs: number[]] = [[], []];
  for (let pair = 0; pair < Number(values.pairs); pair++)
    for (const side of pair % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const))
      sides[side].push(await run(...(side === 0 ? ours : theirs)));
  const ratio = median(sides[0].map((ns, i) => ns / sides[1][i]!));
  const difference = median(sides[0].map((ns, i) => ns - sides[1][i]!));
  const row = [
    name,
    median(sides[1]).toFixed(0),
    median(sides[0]).toFixed(0),
    ratio.toFixed(3),
    difference.toFixed(0),
  ];
  console.log(row.join("  "));
  return row;
}

async function cost(): Promise<void> {
  const rows: string[][] = [];
  const { baseline } = values;
  if (baseline !== undefined)
    for (const load of ["GET", "GET META", "PUT"] as const)
      rows.push(await pairs(`${load}, against before`, [HERE, load], [baseline, load]));
  const before = baseline ?? HERE;
  rows.push(await pairs("PUT, 10,000 others watched", [HERE, "PUT, others watched"], [before, "PUT"]));
  rows.push(await pairs("PUT, watched", [HERE, "PUT, watched by another worker"], [HERE, "PUT"]));
  console.log(`\n${markdownTable(["", "before, ns", "now, ns", "ratio", "difference, ns"], rows)}`);
}

/** From the send of a write to what its watchers hear, on a server whose workers have nothing else to do. */
async function latency(): Promise<void> {
  const server = await startServer({ flags: ["--workers", "2"] });
  const [writer, ...watchers] = await Promise.all(
    Array.from({ length: 9 }, () => WireClient.connect(server.ws)),
  );
  const samples: number[] = [];
  for (let round = 0; round < LATENCY_ROUNDS; round++) {
    const watcher = watchers[round % watchers.length]!;
    await watcher.ask(getWatched("k"));
    // The worker has gone to sleep by then.
    await Bun.sleep(1);
    const start = performance.now();
    writer!.send(put("k", String(round)));
    await watcher.push();
    samples.push(performance.now() - start);
    await writer!.reply();
  }
  samples.sort((a, b) => a - b);
  const at = (share: number) => samples[Math.floor(samples.length * share)]!.toFixed(2);
  console.log(
    `\nidle watchers hear after: median ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${samples.at(-1)!.toFixed(2)} ms`,
  );
  for (const client of [writer!, ...watchers]) client.close();
  await server.stop();
}

async function crowd(): Promise<void> {
  const count = Number(values.connections);
  const server = await startServer({ flags: ["--workers", "2"] });
  const clients: WireClient[] = [];
  while (clients.length < count)
    clients.push(
      ...(await Promise.all(
        Array.from({ length: Math.min(500, count - clients.length) }, () => WireClient.connect(server.ws)),
      )),
    );
  const writer = await WireClient.connect(server.ws);
  for (const client of clients) await client.ask(getWatched("k"));
  const told = clients.map((client) => client.push());
  const start = performance.now();
  writer.send(put("k", "x"));
  await Promise.all(told);
  console.log(
    `\n${count} connections that watch one key are told within ${(performance.now() - start).toFixed(0)} ms`,
  );
  for (const client of [...clients, writer]) client.close();
  await server.stop();
}

async function memory(): Promise<void> {
  const server = await startServer({
    flags: ["--workers", "1", "--memory", "256mb", "--watch-memory", "64mb"],
  });
  const client = await WireClient.connect(server.ws);
  const batch = (from: number) =>
    Array.from({ length: 1000 }, (_, i) => getWatched(`user:${String(from + i).padStart(12, "0")}`));
  const read = (from: number) => batch(from).map((bytes) => ((bytes[1]! &= ~0x10), bytes));
  for (let from = 0; from < WATCHES; from += 1000) await client.ask(...read(from));
  const before = residentBytes(server.process.pid);
  for (let from = 0; from < WATCHES; from += 1000) await client.ask(...batch(from));
  const { watches } = (await (await fetch(`${server.http}/stats`)).json()) as { watches: number };
  const grown = (residentBytes(server.process.pid) - before) / MB;
  console.log(`\n${watches} watches of 17-byte keys take ${grown.toFixed(1)} MiB of resident memory`);
  client.close();
  await server.stop();
}

const PARTS: Record<string, () => Promise<void>> = { cost, latency, crowd, memory };
for (const name of values.only.split(",")) {
  const part = PARTS[name];
  if (part === undefined) throw new Error(`--only ${name}: one of ${Object.keys(PARTS).join(", ")}`);
  await part();
}
process.exit(0);
