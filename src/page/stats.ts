/** The server's stats, as far as the page shows them, and how they change from one reading to the next. */

/** Of a shard, or of all. */
export interface ShardFigures {
  entries: number;
  bytesUsed: number;
  bytesLive: number;
  bytesMax: number;
  hits: number;
  misses: number;
  puts: number;
  deletes: number;
  evictions: number;
  expirations: number;
}

export interface Stats extends ShardFigures {
  version: string;
  /** Seconds. */
  uptime: number;
  workers: number;
  workerRestarts: number;
  workerHangs: number;
  connections: number;
  connectionsMax: number;
  connectionsRefused: number;
  eventStreams: number;
  watches: number;
  prefixes: number;
  keysPushed: number;
  leases: number;
  tickets: number;
  commands: Record<string, number>;
  traffic: Record<string, { messages: number; bytesIn: number; bytesOut: number }>;
  /** Of each worker, ms. */
  eventLoopLag: number[];
  shards: ShardFigures[];
  /** Where a cluster has the values, and the server keeps copies. */
  origin?: OriginFigures;
}

export interface OriginFigures {
  status: string;
  /** Null while connected. */
  reason: string | null;
  calls: Record<string, number>;
  errors: Record<string, number>;
  tracking: { connections: number; invalidations: number };
  traffic: { service: { p99: number } };
}

/** Two readings of the same run of the server, one after the other. */
export interface Step {
  readonly before: Stats;
  readonly now: Stats;
  readonly seconds: number;
}

/** How much a figure grew a second. */
export function perSecond({ before, now, seconds }: Step, figure: (stats: Stats) => number): number {
  return Math.max(0, figure(now) - figure(before)) / seconds;
}

/** What a shard, or all of them, had to do. */
export function operations({ hits, misses, puts, deletes }: ShardFigures): number {
  return hits + misses + puts + deletes;
}

/** Calls to the cluster. */
export function originCalls({ origin }: Stats): number {
  return origin === undefined ? 0 : sum(origin.calls);
}

/** Of them those that failed. */
export function originErrors({ origin }: Stats): number {
  return origin === undefined ? 0 : sum(origin.errors);
}

/** Keys that the cluster said have changed. */
export function originChanges({ origin }: Stats): number {
  return origin?.tracking.invalidations ?? 0;
}

function sum(figures: Record<string, number>): number {
  return Object.values(figures).reduce((all, figure) => all + figure, 0);
}

export function allCommands({ commands }: Stats): number {
  return Object.values(commands).reduce((sum, count) => sum + count, 0);
}

/** Hits among the reads that took place from one reading to the next; null where there were none. */
export function hitRatio(before: ShardFigures | null, now: ShardFigures): number | null {
  const hits = now.hits - (before?.hits ?? 0);
  const misses = now.misses - (before?.misses ?? 0);
  return hits + misses > 0 ? hits / (hits + misses) : null;
}

export function trafficBytes({ traffic }: Stats, way: "bytesIn" | "bytesOut"): number {
  return Object.values(traffic).reduce((sum, transport) => sum + transport[way], 0);
}

/** Whether anybody keeps copies, waits for values or hears of changes. */
export function hasStreams({ watches, prefixes, keysPushed, leases, tickets, eventStreams }: Stats): boolean {
  return watches + prefixes + keysPushed + leases + tickets + eventStreams > 0;
}

/** The readings, one after the other; a server that has started anew begins anew. */
export class Readings {
  private last: { stats: Stats; at: number } | null = null;

  /** @param at ms @returns null for the first reading of a run of the server */
  step(now: Stats, at: number): Step | null {
    const { last } = this;
    this.last = { stats: now, at };
    if (last === null || at <= last.at || !isSameRun(last.stats, now)) return null;
    return { before: last.stats, now, seconds: (at - last.at) / 1000 };
  }
}

function isSameRun(before: Stats, now: Stats): boolean {
  return now.uptime >= before.uptime && allCommands(now) >= allCommands(before);
}
