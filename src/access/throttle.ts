/**
 * Slows down whoever guesses at tokens. Each address has a bucket of failures; when it is empty, the answers to further
 * failures are held back. A right token is answered whatever its address, so it keeps working while others behind the same router or
 * proxy guess. So this does not bound the guesses of somebody who opens a new connection for each; the length of the tokens
 * does. It makes guessing slow and expensive for all others, and bounds the load that they cause.
 *
 * Each worker has a table of its own, so an address that reaches all of them has as many buckets as there are workers.
 */

/** Addresses remembered; the one that failed longest ago is forgotten. */
export const ADDRESSES_MAX = 4096;
/** Answers held back at once, each with its connection; beyond them a failure is answered with 429. */
export const HELD_MAX = 1024;
/** A bucket is full again after so long. */
const REFILL_MS = 60_000;
export const HOLD_MS = 1000;

/** How a failure is to be answered: now, after HOLD_MS, or now with 429. */
export type Pace = "now" | "held" | "too many";

interface Bucket {
  left: number;
  at: number;
}

export class Throttle {
  private readonly buckets = new Map<string, Bucket>();
  private held = 0;

  constructor(
    /** Failures of an address that are answered at once. */
    private readonly failuresMax: number,
    /** Milliseconds; only differences count. */
    private readonly clock: () => number,
  ) {}

  /** Counts a failure. After "held", `released` has to follow. */
  failed(address: string): Pace {
    const bucket = this.bucketOf(networkOf(address));
    if (bucket.left >= 1) {
      bucket.left -= 1;
      return "now";
    }
    if (this.held >= HELD_MAX) return "too many";
    this.held += 1;
    return "held";
  }

  released(): void {
    this.held -= 1;
  }

  /** The bucket as of now, moved to the end of the table. */
  private bucketOf(network: string): Bucket {
    const now = this.clock();
    const bucket = this.buckets.get(network) ?? { left: this.failuresMax, at: now };
    const refilled = ((now - bucket.at) / REFILL_MS) * this.failuresMax;
    bucket.left = Math.min(this.failuresMax, bucket.left + refilled);
    bucket.at = now;
    this.buckets.delete(network);
    this.buckets.set(network, bucket);
    if (this.buckets.size > ADDRESSES_MAX) {
      const [oldest] = this.buckets.keys();
      this.buckets.delete(oldest!);
    }
    return bucket;
  }
}

/** The part of an address that one guesser has: all of IPv4, the first 64 bits of IPv6 (RFC 6177). */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined || !address.includes(":")) return mapped ?? address;
  const [head = "", tail] = address.split("%", 1)[0]!.split("::", 2);
  const first = head === "" ? [] : head.split(":");
  const last = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array.from({ length: Math.max(0, 8 - first.length - last.length) }, () => "0");
  return [...first, ...zeros, ...last]
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":");
}
