/**
 * What the workers count beside the store: commands by verb, resets, errors, connections, traffic, failures. One row of 64-bit
 * floats for each worker in memory that all share; only its worker writes a row, so no lock is needed, and every reader sums
 * all rows.
 *
 *   cell   0       16      56       64       96          128                             255
 *          counts │ verbs │ resets │ errors │ responses │ traffic of each transport │ …
 */
import { ERROR_KINDS, type ErrorKind } from "../protocol/errors";
import { Op, OP_MAX, ResetReason } from "../protocol/wire";
import type { StreamCounts } from "../streaming/watches";
import { Traffic, TRAFFIC_CELLS, type Transport, TRANSPORTS } from "./traffic";

const VERBS_AT = 16;
/** By their reason. */
const RESETS_AT = 56;
const ERRORS_AT = 64;
const RESPONSES_AT = 96;
const TRAFFIC_AT = 128;
const ROW_LENGTH = 256;

export const Count = {
  /** Open WebSockets: a gauge, cleared when the worker ends. */
  CONNECTIONS: 0,
  CONNECTIONS_TOTAL: 1,
  REFUSED_ACCESS: 3,
  /** Written by the supervisor: times this worker died and was replaced. */
  RESTARTS: 4,
  /** WebSockets beyond --max-connections. */
  REFUSED_CONNECTIONS: 5,
  /** Wrong tokens that were tried. */
  AUTH_FAILURES: 6,
  /** WebSockets that were ended because their client did not read, was not heard of, or made them hold too much. */
  CUT_CONNECTIONS: 7,
  /** Times the worker's event loop has turned far enough to say so. */
  HEARTBEATS: 8,
  /** Written by the supervisor: times this worker hung and was ended. */
  HANGS: 9,
  /** Single keys that connections watch, and tickets that wait for a value: gauges. */
  WATCHES: 10,
  TICKETS: 11,
  /** Keys in pushes of changes. */
  KEYS_PUSHED: 12,
  /** Open streams of events: a gauge. */
  EVENT_STREAMS: 13,
  /** How late the event loop was of late, at most, ms: a gauge. */
  LAG_MS: 14,
  /** When the event loop is to turn next at the latest, on the store's clock, ms: a gauge, 0 while nobody looks. */
  LOOP_DUE: 15,
} as const;
export type Count = (typeof Count)[keyof typeof Count];

const GAUGES: readonly Count[] = [
  Count.CONNECTIONS,
  Count.WATCHES,
  Count.TICKETS,
  Count.EVENT_STREAMS,
  Count.LAG_MS,
  Count.LOOP_DUE,
];

export const VERB_NAMES: ReadonlyMap<string, Op> = new Map(
  Object.entries(Op).map(([name, op]) => [name.toLowerCase(), op]),
);

const ERROR_NAMES = Object.keys(ERROR_KINDS) as ErrorKind[];
const ERROR_CELLS = new Map(ERROR_NAMES.map((kind, index) => [kind, ERRORS_AT + index]));

/** Statuses of HTTP answers, each with a cell of its own; whatever else is answered shares the cell of 0. */
const STATUSES = [0, 101, 200, 204, 304, 400, 401, 403, 404, 405, 408, 412, 413, 429, 500, 503];
const STATUS_CELLS = new Uint8Array(600).fill(RESPONSES_AT);
for (const [index, status] of STATUSES.entries()) STATUS_CELLS[status] = RESPONSES_AT + index;

/** Memory for the counts of so many workers. */
export function createTallyMemory(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(workers * ROW_LENGTH * Float64Array.BYTES_PER_ELEMENT);
}

export class Tally {
  private readonly all: Float64Array;
  private readonly row: Float64Array;

  constructor(memory: SharedArrayBuffer, worker: number) {
    this.all = new Float64Array(memory);
    this.row = this.all.subarray(worker * ROW_LENGTH, (worker + 1) * ROW_LENGTH);
  }

  command(op: Op): void {
    this.row[VERBS_AT + op]! += 1;
  }

  /** A request of a frame, a text message or a batch was answered with an error. */
  error(kind: ErrorKind): void {
    this.row[ERROR_CELLS.get(kind)!]! += 1;
  }

  /** An HTTP request was answered. */
  response(status: number): void {
    this.row[STATUS_CELLS[status]!]! += 1;
  }

  /** What this worker counts of a transport. One object a worker: it also knows which message is timed next. */
  traffic(transport: Transport): Traffic {
    const at = trafficAt(transport);
    return new Traffic(this.row.subarray(at, at + TRAFFIC_CELLS));
  }

  add(count: Count, amount: number): void {
    this.row[count]! += amount;
  }

  /** Sets a gauge. */
  set(count: Count, value: number): void {
    this.row[count] = value;
  }

  addReset(reason: ResetReason): void {
    this.row[RESETS_AT + reason]! += 1;
  }

  sumOfResets(reason: ResetReason): number {
    return this.sumAt(RESETS_AT + reason);
  }

  /** The worker ended: what it held open is gone, what it counted stays. */
  clearGauges(): void {
    for (const gauge of GAUGES) this.row[gauge] = 0;
  }

  /** Of this row's worker alone. */
  own(count: Count): number {
    return this.row[count]!;
  }

  sum(count: Count): number {
    return this.sumAt(count);
  }

  sumOfVerb(op: Op): number {
    return this.sumAt(VERBS_AT + op);
  }

  errors(): Record<ErrorKind, number> {
    const counts = ERROR_NAMES.map((kind) => [kind, this.sumAt(ERROR_CELLS.get(kind)!)]);
    return Object.fromEntries(counts) as Record<ErrorKind, number>;
  }

  /** HTTP answers by status. */
  responses(): Record<string, number> {
    const counts = STATUSES.map((status) => [
      status === 0 ? "other" : status,
      this.sumAt(STATUS_CELLS[status]!),
    ]);
    return Object.fromEntries(counts);
  }

  /** The cells of a transport (traffic.ts), those of all workers added up. */
  sumOfTraffic(transport: Transport): Float64Array {
    const at = trafficAt(transport);
    return Float64Array.from({ length: TRAFFIC_CELLS }, (_, cell) => this.sumAt(at + cell));
  }

  /**
   * How late each worker's event loop was of late, at most, ms. One that has not turned when it was to is as late as it is
   * overdue: so one that hangs is seen before it is ended.
   * @param now on the store's clock, ms
   */
  lags(now: number): number[] {
    const lags: number[] = [];
    for (let at = 0; at < this.all.length; at += ROW_LENGTH) {
      const due = this.all[at + Count.LOOP_DUE]!;
      const overdue = due === 0 ? 0 : now - due;
      lags.push(Math.max(this.all[at + Count.LAG_MS]!, overdue));
    }
    return lags;
  }

  private sumAt(index: number): number {
    let sum = 0;
    for (let at = index; at < this.all.length; at += ROW_LENGTH) sum += this.all[at]!;
    return sum;
  }
}

/** What streams count, in this worker's row. */
export function streamCounts(tally: Tally): StreamCounts {
  return {
    keyTold: () => tally.add(Count.KEYS_PUSHED, 1),
    resetTold: (reason) => tally.addReset(reason),
    watching: (more) => tally.add(Count.WATCHES, more),
    waiting: (more) => tally.add(Count.TICKETS, more),
  };
}

function trafficAt(transport: Transport): number {
  return TRAFFIC_AT + TRANSPORTS.indexOf(transport) * TRAFFIC_CELLS;
}

const PARTS: [what: string, end: number, next: number][] = [
  ["counts", Math.max(...Object.values(Count)) + 1, VERBS_AT],
  ["verbs", VERBS_AT + OP_MAX + 1, RESETS_AT],
  ["resets", RESETS_AT + Math.max(...Object.values(ResetReason)) + 1, ERRORS_AT],
  ["errors", ERRORS_AT + ERROR_NAMES.length, RESPONSES_AT],
  ["responses", RESPONSES_AT + STATUSES.length, TRAFFIC_AT],
  ["traffic", TRAFFIC_AT + TRANSPORTS.length * TRAFFIC_CELLS, ROW_LENGTH],
];
for (const [what, end, next] of PARTS)
  if (end > next) throw new RangeError(`a tally row is too short for the ${what}`);
