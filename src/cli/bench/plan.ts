/** What a bench does: the orders for its threads, and what they report. Plain data, sent between threads. */

export interface Plan {
  url: string;
  token: string | undefined;
  /** Certificates to trust instead of the system's. */
  trust: { ca: string } | undefined;
  protocol: "ws" | "http";
  connections: number;
  /** Requests in one message. */
  batch: number;
  /** Messages in flight on each connection. */
  depth: number;
  keys: number;
  valueBytes: number;
  /** Share of gets, 0 to 1. */
  getShare: number;
  /** Zipf's exponent; 0 for uniform. */
  skew: number;
  seed: number;
}

export type ToThread =
  | { type: "begin"; plan: Plan }
  /** Store every key in [from, to). */
  | { type: "load"; from: number; to: number }
  /** Measure until told to stop, or until so many requests are answered. */
  | { type: "run"; requestsMax: number }
  /** Forget what was counted so far (the warm-up). */
  | { type: "reset" }
  | { type: "stop" };

export type FromThread =
  | { type: "ready" }
  | { type: "loaded" }
  | { type: "progress"; done: number }
  | { type: "failed"; message: string }
  | ThreadResult;

export interface ThreadResult {
  type: "result";
  done: number;
  hits: number;
  misses: number;
  puts: number;
  /** Answers that were errors, and values that were not the key's own. */
  errors: number;
  wrong: number;
  latencies: { counts: Float64Array; maxNs: number; total: number };
}

/** Bytes of a key: `bench:` and its number. */
const KEY_DIGITS = 7;

export function keyText(index: number): string {
  return `bench:${String(index).padStart(KEY_DIGITS, "0")}`;
}

/** Every key has one value, made of its number, so that each answer can be checked. */
export function fillValue(target: Uint8Array, at: number, length: number, index: number): void {
  let state = (index + 1) * 0x9e3779b1;
  for (let i = 0; i < length; i++) {
    if ((i & 3) === 0) state = Math.imul(state ^ (state >>> 15), 0x85ebca6b) + i;
    target[at + i] = state >>> ((i & 3) * 8);
  }
}
