/**
 * What writers have done to a set of keys, in memory that threads share, so that each value that a reader is served can be judged.
 * Each key has one writer, whose writes have numbers from 1 on; some of them delete.
 *
 *   begun │ answered │ when the last 256 were answered      for each key
 *
 * What a write replaced was not the cache's value any more when the write was answered. So a value that is served later than
 * maxAgeMs after that is too old, whatever happened in between.
 */
import { monotonicMs } from "../../src/worker/clock";

const REMEMBERED = 256;
/** Every so many writes of a key are deletions. */
const DELETION = 8;
/** The clock counts whole milliseconds. */
const CLOCK_MS = 1;

export interface JournalMemory {
  readonly begun: SharedArrayBuffer;
  readonly answered: SharedArrayBuffer;
  readonly times: SharedArrayBuffer;
}

export function createJournal(keys: number): JournalMemory {
  return {
    begun: new SharedArrayBuffer(keys * 4),
    answered: new SharedArrayBuffer(keys * 4),
    times: new SharedArrayBuffer(keys * REMEMBERED * 8),
  };
}

export const isDeletion = (write: number) => write % DELETION === 0;

export class WriteJournal {
  private readonly begun: Int32Array;
  private readonly answered: Int32Array;
  private readonly times: Float64Array;

  constructor(
    memory: JournalMemory,
    private readonly clock = monotonicMs,
  ) {
    this.begun = new Int32Array(memory.begun);
    this.answered = new Int32Array(memory.answered);
    this.times = new Float64Array(memory.times);
  }

  /** The key's next write is about to be sent. @returns its number */
  begin(key: number): number {
    return Atomics.add(this.begun, key, 1) + 1;
  }

  /** That write was answered. */
  end(key: number): void {
    const write = this.begun[key]!;
    this.times[this.placeOf(key, write)] = this.clock();
    Atomics.store(this.answered, key, write);
  }

  /** The number of the write that left the key absent, the latest there can have been; 0 for the time before all writes. */
  latestDeletion(key: number): number {
    const begun = Atomics.load(this.begun, key);
    return begun - (begun % DELETION);
  }

  /** Whether such a write has been sent. */
  hasBegun(key: number, write: number): boolean {
    return write <= Atomics.load(this.begun, key);
  }

  /**
   * For how long, at least, what this write left had been replaced at a time, ms; 0 if perhaps it was not.
   * @param at on this clock
   */
  replacedFor(key: number, write: number, at: number): number {
    const answered = Atomics.load(this.answered, key);
    const next = write + 1;
    if (next > answered) return 0;
    // What is forgotten was replaced before the oldest that is remembered; one more may be about to be overwritten.
    const known = Math.max(next, answered - REMEMBERED + 2);
    const time = this.times[this.placeOf(key, known)]!;
    const isKnown = Atomics.load(this.answered, key) < known + REMEMBERED - 1;
    if (!isKnown) return this.replacedFor(key, write, at);
    return Math.max(0, at - time - CLOCK_MS);
  }

  private placeOf(key: number, write: number): number {
    return key * REMEMBERED + (write % REMEMBERED);
  }
}
