/**
 * What the workers count of the origin. One row of 64-bit floats for each worker in memory that all share, as in commands/tally.ts: only its
 * worker writes a row, and whoever reports adds up all.
 *
 *   cell   0        32       48          49         56
 *          calls │ errors │ redirects │ tracking │ traffic
 */
import { reportTraffic, Traffic, TRAFFIC_CELLS, type TrafficReport } from "../commands/traffic";
import { type Failure, FAILURES } from "./faults";

export const VERBS = [
  "get",
  "put",
  "delete",
  "touch",
  "add",
  "append",
  "getAndDelete",
  "getAndTouch",
  "scan",
  "clear",
] as const;
export type Verb = (typeof VERBS)[number];

/** Written by the tracker, in the row of its worker. */
export const TRACKING = ["connections", "beatsLate", "invalidations", "reconnects"] as const;
export type TrackingCount = (typeof TRACKING)[number];

const ERRORS_AT = 32;
const REDIRECTS = 48;
const TRACKING_AT = 49;
const TRAFFIC_AT = 56;
const ROW = TRAFFIC_AT + TRAFFIC_CELLS;

export interface CountsReport {
  readonly calls: Record<Verb, number>;
  readonly errors: Record<Failure, number>;
  /** MOVED and ASK. */
  readonly redirects: number;
  readonly tracking: Record<TrackingCount, number>;
  /** Messages are calls, bytes those of values; times are from the call to its answer. */
  readonly traffic: TrafficReport;
}

/** Memory for the counts of so many workers. */
export function createCountsMemory(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(workers * ROW * Float64Array.BYTES_PER_ELEMENT);
}

export class Counts {
  readonly traffic: Traffic;
  private readonly all: Float64Array;
  private readonly row: Float64Array;

  constructor(memory: SharedArrayBuffer = createCountsMemory(1), worker = 0) {
    this.all = new Float64Array(memory);
    this.row = this.all.subarray(worker * ROW, (worker + 1) * ROW);
    this.traffic = new Traffic(this.row.subarray(TRAFFIC_AT));
  }

  call(verb: Verb): void {
    this.row[VERBS.indexOf(verb)]! += 1;
  }

  error(failure: Failure): void {
    this.row[ERRORS_AT + FAILURES.indexOf(failure)]! += 1;
  }

  redirect(): void {
    this.row[REDIRECTS]! += 1;
  }

  track(counts: Record<TrackingCount, number>): void {
    for (const [at, name] of TRACKING.entries()) this.row[TRACKING_AT + at] = counts[name];
  }

  /** Of all workers. */
  report(): CountsReport {
    const sums = new Float64Array(ROW);
    for (let at = 0; at < this.all.length; at++) sums[at % ROW]! += this.all[at]!;
    return {
      calls: named(VERBS, sums, 0),
      errors: named(FAILURES, sums, ERRORS_AT),
      redirects: sums[REDIRECTS]!,
      tracking: named(TRACKING, sums, TRACKING_AT),
      traffic: reportTraffic(sums.subarray(TRAFFIC_AT)),
    };
  }
}

function named<Name extends string>(
  names: readonly Name[],
  cells: Float64Array,
  from: number,
): Record<Name, number> {
  return Object.fromEntries(names.map((name, at) => [name, cells[from + at]!])) as Record<Name, number>;
}
