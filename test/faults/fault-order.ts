/** What a test can have happen to a worker, as `faulty-server.ts` passes it on and `faulty-worker.ts` carries it out. */

/** Faults that end a worker from within, in and out of the lock. */
export const DEATHS = ["exit", "throw", "exit holding a lock", "exit while writing"] as const;

export interface FaultOrder {
  worker: number;
  /** "terminate" ends it from outside, at whichever instruction it is; the others come from within. */
  fault:
    | "throw"
    | "reject"
    | "exit"
    | "exit holding a lock"
    | "exit while writing"
    | "break the store"
    | "terminate"
    | "set the clock"
    | "hang"
    | "hang holding a lock"
    /** Where JavaScript cannot be interrupted. */
    | "hang outside JavaScript"
    | "be busy";
  /** How far the system's clock is set, or how long the worker is busy, ms. */
  byMs?: number;
  /** Block whose lock is held. */
  shard?: number;
}
