/** What the threads of near-load.ts are told, and what they report. */
import type { NearOptions } from "../../src/client/client";
import type { JournalMemory } from "./write-journal";

/** Words that all of them see. */
export const Sign = {
  /** How many readers are connected. */
  CONNECTED: 0,
  /** Not 0 when writers may end. */
  OVER: 1,
} as const;
export const SIGNS = 2;

interface Order {
  url: string;
  keys: number;
  skew: number;
  seed: number;
  journal: JournalMemory;
  /** What threads tell each other, by Sign. */
  signs: SharedArrayBuffer;
}

export interface ReaderOrder extends Order {
  role: "reader";
  reads: number;
  near: Required<NearOptions>;
}

export interface WriterOrder extends Order {
  role: "writer";
  /** It writes the keys whose index leaves this rest. */
  number: number;
  writers: number;
  writesPerSecond: number;
}

export interface ReaderReport {
  reads: number;
  hits: number;
  revalidations: number;
  invalidations: number;
  evictions: number;
  /** Values that had been replaced for longer than maxAgeMs when they were served. */
  tooOld: number;
  /** Values that nobody had written by then. */
  neverWritten: number;
  /** Values older than one that the same client had been served before. */
  backwards: number;
  /** For how long what was served had been replaced, at most. */
  oldestMs: number;
}

export interface WriterReport {
  writes: number;
}
