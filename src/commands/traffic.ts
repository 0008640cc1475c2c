/**
 * What comes and goes by one transport of one worker: messages or requests, their bytes, and how long they take to be
 * answered, as a histogram of powers of two.
 *
 * About every 16th is timed, because to read the clock costs as much as a get. The gaps between these vary, so that clients
 * whose requests repeat in a pattern are timed at every place of it. What is not timed has NaN for its start, which
 * stays NaN whatever is added to it.
 *
 *   cell   0          1          2           3         4            5            …   27            28
 *          messages │ bytes in │ bytes out │ seconds │ up to 1 µs │ up to 2 µs │ … │ up to 8.4 s │ longer
 *                                          └ of the messages that were timed: their sum, and how many took so long
 *
 * Only its worker writes a row of cells. A reader adds up the rows of all workers.
 */

/** Binary messages and text messages of WebSockets, each with all of its requests; HTTP requests. */
export const TRANSPORTS = ["frames", "text", "http"] as const;
export type Transport = (typeof TRANSPORTS)[number];

const MESSAGES = 0;
const BYTES_IN = 1;
const BYTES_OUT = 2;
const SECONDS = 3;
const TIMES_AT = 4;

/** Bounds of the histogram, µs: 1, 2, 4, … and above the last one everything else. */
const BOUNDS = 24;
const BOUNDS_US = Array.from({ length: BOUNDS }, (_, power) => 2 ** power);
export const TRAFFIC_CELLS = TIMES_AT + BOUNDS + 1;

const US_PER_MS = 1000;
const US_PER_S = 1_000_000;
/** Gaps are 1 to 32 long. */
const GAP_SHIFT = 27;

export class Traffic {
  /** Messages up to the next one that is timed. */
  private gap = 1;
  private random = 1;

  /** @param clock ms, with fractions */
  constructor(
    private readonly cells: Float64Array,
    private readonly clock: () => number = () => performance.now(),
  ) {}

  /** A message of so many bytes begins to be answered. @returns what `end` wants to know of it */
  begin(bytes: number): number {
    this.cells[MESSAGES]! += 1;
    this.cells[BYTES_IN]! += bytes;
    return --this.gap > 0 ? NaN : this.beginTimed();
  }

  /** Bytes that came in after the beginning, such as a body. */
  received(bytes: number): void {
    this.cells[BYTES_IN]! += bytes;
  }

  sent(bytes: number): void {
    this.cells[BYTES_OUT]! += bytes;
  }

  /** From here on the message waits for its client, which is not the server's time. @returns what `goOn` wants to know */
  hold(start: number): number {
    return start - this.clock();
  }

  /** The client has done its part. @returns a start for `end` */
  goOn(held: number): number {
    return held + this.clock();
  }

  /** The message that began then is answered. */
  end(start: number): void {
    if (Number.isNaN(start)) return;
    const ms = Math.max(0, this.clock() - start);
    this.cells[SECONDS]! += ms / 1000;
    this.cells[TIMES_AT + boundFor(ms)]! += 1;
  }

  private beginTimed(): number {
    // Numerical Recipes' linear congruential generator; its high bits are the random ones.
    this.random = (Math.imul(this.random, 1664525) + 1013904223) >>> 0;
    this.gap = (this.random >>> GAP_SHIFT) + 1;
    return this.clock();
  }
}

/** Index of the least bound that a time does not exceed; BOUNDS where it exceeds all of them. */
function boundFor(ms: number): number {
  const us = Math.ceil(ms * US_PER_MS);
  if (us > BOUNDS_US.at(-1)!) return BOUNDS;
  return us <= 1 ? 0 : 32 - Math.clz32(us - 1);
}

/** Times of messages, of those that were timed. */
export interface ServiceTimes {
  /** Messages that took no longer than so many seconds; the last bound is Infinity. */
  readonly upTo: readonly { readonly seconds: number; readonly count: number }[];
  readonly sumSeconds: number;
  readonly count: number;
}

/** @param cells of one worker, or added up */
export function serviceTimes(cells: Float64Array): ServiceTimes {
  let count = 0;
  const upTo = [...BOUNDS_US, Infinity].map((us, bound) => {
    count += cells[TIMES_AT + bound]!;
    return { seconds: us / US_PER_S, count };
  });
  return { upTo, sumSeconds: cells[SECONDS]!, count };
}

/** The same in short, for people. */
export interface TrafficReport {
  /** Messages, or requests of HTTP. */
  messages: number;
  bytesIn: number;
  bytesOut: number;
  /** Milliseconds. Half of the timed messages took no longer than p50, to the next power of two; 0 before the first one. */
  service: { timed: number; mean: number; p50: number; p99: number; p999: number };
}

export function reportTraffic(cells: Float64Array): TrafficReport {
  const times = serviceTimes(cells);
  const { count, sumSeconds } = times;
  return {
    messages: cells[MESSAGES]!,
    bytesIn: cells[BYTES_IN]!,
    bytesOut: cells[BYTES_OUT]!,
    service: {
      timed: count,
      mean: count === 0 ? 0 : (sumSeconds * 1000) / count,
      p50: quantileMs(times, 0.5),
      p99: quantileMs(times, 0.99),
      p999: quantileMs(times, 0.999),
    },
  };
}

/** The bound that this share of the times does not exceed; the last finite one where they exceed all. */
function quantileMs({ upTo, count }: ServiceTimes, share: number): number {
  if (count === 0) return 0;
  const bound = upTo.find((bucket) => bucket.count >= count * share)!;
  return Math.min(bound.seconds, BOUNDS_US.at(-1)! / US_PER_S) * 1000;
}
