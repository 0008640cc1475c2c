/** What the bench tells the load's process, and hears from it. */
import type { TargetPlan } from "./target";

export type ProtocolName = "wire" | "resp" | "memcache" | "httpJson" | "httpRaw";

export type ToLoad =
  | ({
      type: "open";
      name: string;
      pid: number;
      protocol: ProtocolName;
      keys: number;
      preload: boolean;
    } & TargetPlan)
  | { type: "round"; name: string; warmupMs: number; measureMs: number }
  | { type: "close"; name: string };

export type FromLoad =
  { type: "done" } | { type: "result"; result: RoundResult } | { type: "failed"; message: string };

export interface RoundResult {
  operations: number;
  seconds: number;
  /** Of the server. */
  cpuSeconds: number;
  /** Of the load itself. */
  loadCpuSeconds: number;
  /** Wrong, missing and refused answers since the target was opened, and what the first was. */
  faults: number;
  problem: string | null;
}
