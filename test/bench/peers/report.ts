/** Figures of a run: medians, ratios of the rounds that stood side by side, and whether they meet their goals. */
import type { RoundResult } from "./orders";
import { type Comparison, CORES_FOR_TWO_WORKERS, type Measured, type Side } from "./measure";
import { coresAllowed } from "./cpu";

export const HEADINGS = [
  "work",
  "against",
  "ours µs/op",
  "theirs µs/op",
  "ratio",
  "spread",
  "goal",
  "met",
  "ours op/s",
  "theirs op/s",
] as const;
/** Columns of text; the others are numbers. */
export const TEXT_COLUMNS = 2;
/** A load that is busy for more than this is what limits the throughput. */
const LOAD_BUSY_SHARE = 0.95;

const microseconds = ({ cpuSeconds, operations }: RoundResult) => (cpuSeconds / operations) * 1e6;
const perSecond = ({ operations, seconds }: RoundResult) => operations / seconds;

export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The table's rows of one work, one for each peer. */
export function rowsOf({ work, ours, others, missing }: Measured): string[][] {
  const rows = others.flatMap((other) => compare(work.text, ours, other));
  for (const peer of missing) rows.push([...alone(work.text, ours, peer)]);
  return rows.length > 0 ? rows : [alone(work.text, ours, "–")];
}

function compare(text: string, ours: Side, { side, goal, throughputGoal }: Comparison): string[][] {
  const ratios = ratiosOf(ours, side, microseconds);
  const ratio = median(ratios);
  const row = [
    text,
    side.label,
    ...[ours, side].map(({ rounds }) => median(rounds.map(microseconds)).toFixed(3)),
    ...[ratio.toFixed(2), spread(ratios)],
    ...(goal === null ? ["", ""] : [`≤ ${goal}`, ratio <= goal ? "yes" : "no"]),
    ...[ours, side].map(throughput),
  ];
  if (throughputGoal === null) return [row];
  const gains = ratiosOf(ours, side, perSecond);
  const enough = coresAllowed().length >= CORES_FOR_TWO_WORKERS;
  const met = !enough ? "too few cores" : median(gains) >= throughputGoal ? "yes" : "no";
  return [
    row,
    [
      `${text}: throughput`,
      ...[side.label, "", "", median(gains).toFixed(2), spread(gains), `≥ ${throughputGoal}`, met],
      ...[ours, side].map(throughput),
    ],
  ];
}

/** Our own figures where a peer is missing. */
function alone(text: string, ours: Side, instead: string): string[] {
  const cpu = median(ours.rounds.map(microseconds)).toFixed(3);
  return [text, instead, cpu, "", "", "", "", "", throughput(ours), ""];
}

function ratiosOf(ours: Side, theirs: Side, figure: (round: RoundResult) => number): number[] {
  return ours.rounds.map((round, i) => figure(round) / figure(theirs.rounds[i]!));
}

function spread(numbers: readonly number[]): string {
  return `${Math.min(...numbers).toFixed(2)}–${Math.max(...numbers).toFixed(2)}`;
}

function throughput({ rounds }: Side): string {
  const isLoadBusy = median(rounds.map((r) => r.loadCpuSeconds / r.seconds)) > LOAD_BUSY_SHARE;
  return `${Math.round(median(rounds.map(perSecond))).toLocaleString("en")}${isLoadBusy ? " *" : ""}`;
}

/** A Markdown table; cells are padded, so that it can be read as it stands. */
export function table(headings: readonly string[], rows: readonly string[][], textColumns: number): string[] {
  const widths = headings.map((heading, i) => Math.max(heading.length, ...rows.map((row) => row[i]!.length)));
  const cell = (text: string, i: number) =>
    i < textColumns ? text.padEnd(widths[i]!) : text.padStart(widths[i]!);
  const rule = widths.map((width, i) => (i < textColumns ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [headings, rule, ...rows].map((row) => `| ${row.map(cell).join(" | ")} |`);
}

/** Median, least and most of each side's figures, as a table. */
export function spreadTable(heading: string, sides: readonly string[], figures: readonly number[][]): string {
  const rows = sides.map((side, i) => {
    const all = figures[i]!;
    return [side, ...[median(all), Math.min(...all), Math.max(...all)].map((figure) => figure.toFixed(2))];
  });
  return table([heading, "median", "least", "most"], rows, 1).join("\n");
}
