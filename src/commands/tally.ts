/**
 * What the workers count beside the store: commands by verb, connections, failures. One row of 64-bit floats for each
 * worker in memory that all share; only its worker writes a row, so no lock is needed, and every reader sums all rows.
 */
import { Op, OP_MAX, ResetReason } from "../protocol/wire";
import type { StreamCounts } from "../streaming/watches";

const VERBS_AT = 16;
const ROW_LENGTH = 64;

export const Count = {
  /** Open WebSockets: a gauge, cleared when the worker ends. */
  CONNECTIONS: 0,
  CONNECTIONS_TOTAL: 1,
  HTTP_REQUESTS: 2,
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
  /** Resets that were pushed: here plus the reason. */
  RESETS: 48,
} as const;
export type Count = (typeof Count)[keyof typeof Count];

const GAUGES: readonly Count[] = [Count.CONNECTIONS, Count.WATCHES, Count.TICKETS, Count.EVENT_STREAMS];

export const VERB_NAMES: ReadonlyMap<string, Op> = new Map(
  Object.entries(Op).map(([name, op]) => [name.toLowerCase(), op]),
);

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

  add(count: Count, amount: number): void {
    this.row[count]! += amount;
  }

  addReset(reason: ResetReason): void {
    this.row[Count.RESETS + reason]! += 1;
  }

  sumOfResets(reason: ResetReason): number {
    return this.sumAt(Count.RESETS + reason);
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

if (VERBS_AT + OP_MAX >= Count.RESETS || Count.RESETS + ResetReason.SERVER >= ROW_LENGTH)
  throw new RangeError("a tally row is too short for the verbs");
