/**
 * What near caches save a real server, and how old the values are that they serve: clients with copies of a part of the keys, in
 * threads of their own, writers beside them, two workers. The ways of some clients are held up and cut all the time. The age of every
 * value that is served is judged by what the writers know; one that is too old ends the run with an error.
 *
 *   bun run bench:near-live [--reads 10000000] [--max-age 1000]
 */
import { parseArgs } from "node:util";
import { COPY_BYTES } from "../../src/client/near/copies";
import { runNearLoad } from "../client/near-load";
import { markdownTable } from "./results";

const { values } = parseArgs({
  options: { reads: { type: "string", default: "10000000" }, "max-age": { type: "string", default: "1000" } },
});
const KEYS = 10_000;
/** Of a key, its value, and what a copy takes beside. */
const ENTRY_BYTES = COPY_BYTES + 2 * "key:1234".length + 110;
const HELD_SHARE = 0.1;
const SKEW = 0.99;

const rows: string[][] = [];
for (const writesPerSecond of [100, 1000]) {
  const report = await runNearLoad({
    ...{ readers: 10, writers: 2, disturbed: 3, seed: 1 },
    ...{ reads: Number(values.reads) / 2, writesPerSecond: writesPerSecond / 2, keys: KEYS, skew: SKEW },
    ...{ maxBytes: Math.round(KEYS * HELD_SHARE * ENTRY_BYTES), maxAgeMs: Number(values["max-age"]) },
  });
  const { reads, hits, requests, writes, seconds, oldestMs } = report;
  const violations = report.tooOld + report.neverWritten + report.backwards;
  rows.push([
    `${(writes / seconds).toFixed(0)} / s`,
    reads.toLocaleString("en"),
    (hits / reads).toFixed(3),
    `${((1 - requests / reads) * 100).toFixed(1)} %`,
    `${(reads / seconds / 1000).toFixed(0)} k/s`,
    oldestMs.toFixed(0),
    String(violations),
  ]);
  if (violations > 0) throw new Error(`what was served is wrong: ${JSON.stringify(report)}`);
}
const HEAD = [
  "writes",
  "reads",
  "hit ratio",
  "requests saved",
  "reads, all clients",
  "oldest, ms",
  "violations",
];
console.log(
  `10 clients, Zipf ${SKEW} over ${KEYS} keys, a tenth of them held, maxAgeMs ${values["max-age"]}\n`,
);
console.log(markdownTable(HEAD, rows));
process.exit(0);
