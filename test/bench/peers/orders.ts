/** What the bench tells the load's process, and hears from it. */
import type { TargetPlan } from "./target";

export type ProtocolName = "wire" | "resp" | "memcache" | "memcacheMulti" | "httpJson" | "httpRaw";

export type ToLoad =
  /** Connect, and store every key. */
  | ({ type: "open"; name: string; pid: number; protocol: ProtocolName; keys: number } & TargetPlan)
  /** As much as the server takes. */
  | { type: "round"; name: string; warmupMs: number; measureMs: number }
  /** So many batches a second. */
  | { type: "latency"; name: string; perSecond: number; warmupMs: number; measureMs: number }
  | { type: "close"; name: string };

/** What goes with an order of this kind. */
export type Order<T extends ToLoad["type"]> = Omit<Extract<ToLoad, { type: T }>, "type">;

export type FromLoad =
  | { type: "done" }
  | { type: "round"; result: RoundResult }
  | { type: "latency"; result: LatencyResult }
  | { type: "failed"; message: string };

export interface Faults {
  /** Wrong, missing and refused answers since the target was opened, and what the first was. */
  faults: number;
  problem: string | null;
}

export interface RoundResult extends Faults {
  operations: number;
  seconds: number;
  /** Of the server. */
  cpuSeconds: number;
  /** Of the load itself. */
  loadCpuSeconds: number;
}

export interface LatencyResult extends Faults {
  /** A Histogram's content, ns. */
  latencies: { counts: number[]; maxNs: number; total: number };
}
