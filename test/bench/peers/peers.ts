/**
 * Breadbox against its peers, all in one run: one core each, the same work, CPU time per operation as the kernel accounts
 * it. Every value is checked; a wrong one ends the run with exit code 2 and without figures.
 *
 *   bun run bench:peers [--rows ws64,http-get] [--rounds 5] [--seconds 3] [--quick] [--no-write]
 *   bun run bench:peers --server OTHER/src/main.ts --baseline BEFORE/src/main.ts --without-peers
 *
 * Redis and memcached are found in PATH; Pogocache is the program that BREADBOX_BENCH_POGOCACHE names, the fasthttp server
 * the one of BREADBOX_BENCH_FASTHTTP (see fasthttp/README.md). What is missing is named.
 */
import { parseArgs } from "node:util";
import { placement } from "./cpu";
import { WrongAnswers } from "./load-process";
import { measure, type Measured } from "./measure";
import { HEADINGS, rowsOf, table, TEXT_COLUMNS } from "./report";
import { machineLine, writeSection } from "./results";
import { WORKS } from "./rows";
import { findPeer, PEERS } from "./servers";

const EXIT_USAGE = 64;
const EXIT_WRONG = 2;
const WARMUP_MS = 500;
const QUICK = { rounds: 3, seconds: 1 };

const { values } = parseArgs({
  options: {
    rows: { type: "string", default: WORKS.map(({ name }) => name).join(",") },
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    quick: { type: "boolean", default: false },
    "no-write": { type: "boolean", default: false },
    server: { type: "string" },
    baseline: { type: "string" },
    "without-peers": { type: "boolean", default: false },
  },
});

function usage(message: string): never {
  console.error(`bench:peers: ${message}`);
  process.exit(EXIT_USAGE);
}

const works = values.rows.split(",").map((name) => {
  const work = WORKS.find((candidate) => candidate.name === name);
  return work ?? usage(`--rows: ${name} is none of ${WORKS.map((w) => w.name).join(", ")}`);
});
const rounds = values.quick ? QUICK.rounds : Number(values.rounds);
const seconds = values.quick ? QUICK.seconds : Number(values.seconds);
if (!Number.isInteger(rounds) || rounds < 3) usage("--rounds: a whole number, at least 3");
if (!(seconds >= 0.1 && seconds <= 600)) usage("--seconds: a number from 0.1 to 600");

const place = placement();
const pinning =
  place.server === null
    ? "nothing is pinned: one core only, or no taskset"
    : `servers on core ${place.server}, the load on core ${place.load}`;
console.log(`${machineLine()}; ${pinning}`);

const measured: Measured[] = [];
try {
  for (const work of works) {
    const result = await measure(work, {
      rounds,
      warmupMs: WARMUP_MS,
      measureMs: seconds * 1000,
      placement: place,
      server: values.server,
      baseline: values.baseline,
      withoutPeers: values["without-peers"],
    });
    measured.push(result);
    for (const row of rowsOf(result)) console.log(row.join("  "));
  }
} catch (error) {
  if (!(error instanceof WrongAnswers)) throw error;
  console.error(`bench:peers: ${error.message}`);
  process.exit(EXIT_WRONG);
}

const lines = table(HEADINGS, measured.flatMap(rowsOf), TEXT_COLUMNS);
console.log(`\n${lines.join("\n")}\n`);
console.log("* the load was busy all the time: the throughput is the load's, not the server's");

/** Other servers' figures, and single rows, are for who asked for them. */
const isWhole = works.length === WORKS.length && values.server === undefined && values.baseline === undefined;
if (isWhole && !values["no-write"] && !values["without-peers"]) {
  writeSection("bench:peers", "Against peers", [
    `\`bun run bench:peers --rounds ${rounds} --seconds ${seconds}\` on ${machineLine()}; ${pinning}.`,
    `${versions()}`,
    "",
    "Each server has one core: Redis with `--save '' --appendonly no --io-threads 1`, memcached with `-t 1 -m 1024`, Pogocache",
    "with one thread, fasthttp with `GOMAXPROCS=1`, Breadbox with one worker. Keys of 13 bytes, values of 64, 100,000 keys, all",
    "stored, picked by zipf 0.99 from one seed; 90 % GET where nothing else is said. One load generator speaks every protocol,",
    "from requests made beforehand, checks every value, and has one batch on its way on each connection. Servers take turns;",
    "the figures are medians of the rounds, the ratio the median of the ratios within a round, the spread their least and most.",
    "Two workers and the one they are compared with are loaded by two processes each, and share all cores with them where there",
    "are fewer than four. µs/op is CPU time of the server's whole process, all threads, user and system, as the kernel",
    "accounts it. Throughput is for information: `*` marks where the load was busy all the time, so that it is the load's and not the server's.",
    "",
    ...lines,
  ]);
}

function versions(): string {
  const found = PEERS.map(findPeer).flatMap((peer) => (typeof peer === "string" ? [] : [peer.version]));
  return `Peers: ${found.join(", ") || "none"}.`;
}
