/**
 * Measures one work: starts a server for each side, stores every key, then takes turns, one side after the other, round
 * after round, so that a machine that changes its pace changes all of them.
 */
import { coresAllowed, type Placement } from "./cpu";
import { Loads } from "./loads";
import type { ProtocolName, RoundResult } from "./orders";
import type { Other, Ours, Work } from "./rows";
import { findPeer, type RunningServer, startBreadbox, startPeer } from "./servers";

export interface MeasureOptions {
  rounds: number;
  warmupMs: number;
  measureMs: number;
  placement: Placement;
  /** src/main.ts of another checkout, to measure instead of this one's. */
  server: string | undefined;
  /** src/main.ts of a checkout to measure as well: ours, before. */
  baseline: string | undefined;
  withoutPeers: boolean;
}

export interface Side {
  label: string;
  rounds: RoundResult[];
}

export interface Comparison {
  side: Side;
  goal: number | null;
  throughputGoal: number | null;
}

export interface Measured {
  work: Work;
  ours: Side;
  others: Comparison[];
  /** Peers that are not here, in words. */
  missing: string[];
}

interface Contestant {
  side: Side;
  protocol: ProtocolName;
  keys: number;
  start: () => Promise<RunningServer>;
}

/** Before the first round each side warms up for this many times a round's warm-up: its code is compiled then. */
const FIRST_WARMUPS = 4;

export async function measure(work: Work, options: MeasureOptions): Promise<Measured> {
  const { ours, others, missing, contestants } = line(work, options);
  const load = new Loads(work.loads, placed(work, options.placement).load);
  const servers: RunningServer[] = [];
  try {
    for (const { side, protocol, keys, start } of contestants) {
      const server = await start();
      servers.push(server);
      const { connections, batchSize, getShare } = work;
      const { pid, port } = server;
      await load.open({
        ...{ name: side.label, pid, port, protocol, keys },
        ...{ connections, batchSize, getShare },
      });
    }
    const { warmupMs, measureMs } = options;
    for (const { side } of contestants)
      await load.round({ name: side.label, warmupMs: warmupMs * FIRST_WARMUPS, measureMs: 0 });
    for (let round = 0; round < options.rounds; round++)
      for (const { side } of contestants)
        side.rounds.push(await load.round({ name: side.label, warmupMs, measureMs }));
    for (const { side } of contestants) await load.close(side.label);
  } finally {
    await load.end();
    for (const server of servers) await server.stop();
  }
  return { work, ours, others, missing };
}

/** Who takes part, in the order of their turns. */
function line(work: Work, options: MeasureOptions) {
  const cores = placed(work, options.placement).server;
  const contestants: Contestant[] = [];
  const breadbox = (ours: Ours, main: string | undefined, label = ours.label): Side => {
    const side: Side = { label, rounds: [] };
    const start = () => startBreadbox(main, ["--workers", String(ours.workers)], cores);
    contestants.push({ side, protocol: ours.protocol, keys: ours.keys, start });
    return side;
  };
  const ours = breadbox(work.ours, options.server);
  const others: Comparison[] = [];
  const missing: string[] = [];
  if (options.baseline !== undefined)
    others.push({
      side: breadbox(work.ours, options.baseline, `${work.ours.label} before`),
      goal: null,
      throughputGoal: null,
    });
  for (const other of work.others) {
    if (other.peer === "ourselves")
      others.push({
        side: breadbox(other.ours, options.server),
        goal: other.goal,
        throughputGoal: other.throughputGoal ?? null,
      });
    else if (!options.withoutPeers) addPeer(other, cores, contestants, others, missing);
  }
  return { ours, others, missing, contestants };
}

function addPeer(
  other: Exclude<Other, { peer: "ourselves" }>,
  cores: readonly number[] | null,
  contestants: Contestant[],
  others: Comparison[],
  missing: string[],
): void {
  const peer = findPeer(other.peer);
  if (typeof peer === "string") {
    missing.push(peer);
    return;
  }
  const side: Side = { label: other.label, rounds: [] };
  contestants.push({ side, protocol: other.protocol, keys: other.keys, start: () => startPeer(peer, cores) });
  others.push({ side, goal: other.goal, throughputGoal: null });
}

/** Cores that two workers and as many loads need to have one each. */
export const CORES_FOR_TWO_WORKERS = 4;

/** One core for a server and one for the load; two of each get two, and share all where there are too few. */
function placed(work: Work, placement: Placement): Placement {
  if (work.ours.workers === 1 || placement.load === null) return placement;
  const cores = coresAllowed();
  if (cores.length < CORES_FOR_TWO_WORKERS) return { load: null, server: null };
  return {
    load: cores.slice(0, work.loads),
    server: cores.slice(work.loads, work.loads + work.ours.workers),
  };
}
