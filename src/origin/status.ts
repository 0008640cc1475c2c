/** How the origin is doing, for /healthz, the metrics and the log. */
import type { Log } from "../system/log";
import { counted } from "../system/words";
import type { CircuitState } from "./circuit";
import type { CountsReport } from "./counts";
import type { Discovery } from "./discovery";
import type { NodePhase } from "./nodes";
import { SLOTS } from "./slots";

/** Every slot's owner answers; some do; none does. */
export type OriginStatus = "connected" | "degraded" | "down";

export interface NodeStatus {
  readonly name: string;
  readonly phase: NodePhase;
  readonly circuit: CircuitState;
  readonly circuitOpenings: number;
  /** Why it is not used, or null. */
  readonly reason: string | null;
  /** What its clock is ahead of this machine's. */
  readonly clockAheadMs: number;
  readonly inFlight: number;
}

export interface OriginState extends CountsReport {
  readonly status: OriginStatus;
  /** Null while connected. */
  readonly reason: string | null;
  readonly nodes: readonly NodeStatus[];
}

/** Nodes that a reason or a log line names at most. */
const NAMED_MAX = 5;

export function statusOf(discovery: Discovery): Pick<OriginState, "status" | "reason" | "nodes"> {
  const used = discovery.table === null ? [...discovery.nodes.values()] : discovery.masters;
  const nodes = used.map(({ name, phase, circuit, reason, clockAheadMs, inFlight }) => ({
    name,
    phase,
    circuit: circuit.state,
    circuitOpenings: circuit.openings,
    reason: reason ?? (circuit.isClosed ? null : "does not answer"),
    clockAheadMs,
    inFlight,
  }));
  if (discovery.isWhole) return { status: "connected", reason: null, nodes };
  const problems = nodes
    .filter(({ reason }) => reason !== null)
    .map(({ name, reason }) => `${name} ${reason}`);
  const { uncovered } = discovery.table ?? { uncovered: SLOTS };
  if (discovery.problem !== null) problems.unshift(discovery.problem);
  else if (discovery.table !== null && uncovered > 0)
    problems.push(`nobody serves ${counted(uncovered, "slot")}`);
  const isUsable = discovery.table !== null && nodes.some(({ reason }) => reason === null);
  const reason = problems.slice(0, NAMED_MAX).join("; ") || "who owns what is not known yet";
  return { status: isUsable ? "degraded" : "down", reason, nodes };
}

/** One line for each change of who answers, however often the reasons change meanwhile. */
export class StatusLog {
  private last = "";

  constructor(private readonly log: Log) {}

  look(discovery: Discovery): void {
    const { status, reason, nodes } = statusOf(discovery);
    const ailing = nodes.filter((node) => node.reason !== null).map(({ name }) => name);
    const now = `${status} ${discovery.problem ?? ailing.join(",")}`;
    if (now === this.last || isUnderWay(discovery)) return;
    this.last = now;
    if (status === "connected") this.log.info(`origin: connected to ${counted(nodes.length, "master")}`);
    else this.log.warn(`origin: ${status}: ${reason}`);
  }
}

/** Nodes are being connected or asked for the first time: nothing is wrong yet. */
function isUnderWay({ table, problem, nodes }: Discovery): boolean {
  return table === null && problem === null && [...nodes.values()].every(({ circuit }) => circuit.isClosed);
}
