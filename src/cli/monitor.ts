/**
 * The subcommand `monitor`: what happens on a server as it happens. Every change comes with its time and key. Reads are counted
 * and not listed, since the server keeps no record of them: how often each verb was asked for comes once an interval.
 */
import { setTimeout } from "node:timers/promises";
import { type Cache, CacheError } from "../client/client";
import type { Command, Terminal } from "./command";
import { duration } from "./duration";
import { Exit } from "./exit";
import { type Parsed, whole } from "./usage";
import { changesOf, changeText } from "./watch";

type Rate = readonly [verb: string, perSecond: number];

export const monitor: Command = {
  summary:
    "print what happens: changes with their time, and how often each verb is asked for; Ctrl-C ends it",
  synopsis: "[PREFIX]",
  examples: [
    "breadbox monitor",
    "breadbox monitor user: --interval 10s",
    "breadbox monitor --json | jq -c .perSecond",
  ],
  options: {
    interval: {
      value: "TIME",
      help: "between two counts of verbs: 200ms, 5s, or a number of milliseconds (1s)",
      schema: duration(50, 3_600_000, "ms"),
      allowed: "a time from 50ms to 1h",
    },
    count: {
      value: "N",
      help: "end after so many lines",
      schema: whole(1, 1e9),
      allowed: "a whole number from 1",
    },
    json: { help: "print JSON lines" },
  },
  positionals: [0, 1],
  keys: 1,
  run: (parsed, terminal, withCache) =>
    withCache(parsed, async (cache) => {
      const log = new Log(parsed, terminal);
      await Promise.all([log.until(tellChanges(cache, log)), log.until(tellRates(cache, log))]);
      return Exit.OK;
    }),
};

/** Lines of two sources, each with its time, until there are enough of them, one source fails, or Ctrl-C. */
class Log {
  private readonly over = new AbortController();
  /** Aborted when there are to be no more lines. */
  readonly signal: AbortSignal;
  readonly prefix: string;
  readonly intervalMs: number;
  private left: number;

  constructor(
    private readonly parsed: Parsed,
    readonly terminal: Terminal,
  ) {
    const { interval = 1000, count = Infinity } = parsed.values;
    this.signal = AbortSignal.any([terminal.interrupted, this.over.signal]);
    this.prefix = parsed.positionals[0] ?? "";
    this.intervalMs = interval;
    this.left = count;
  }

  /** With the end of one source the others end, too; what they throw because of that is no error. */
  async until(source: Promise<void>): Promise<void> {
    try {
      await source;
    } catch (error) {
      if (!this.signal.aborted) throw error;
    } finally {
      this.over.abort();
    }
  }

  async line(text: string, fields: object): Promise<void> {
    if (this.left === 0) return;
    this.left--;
    const time = new Date().toISOString();
    const { json } = this.parsed.values;
    await this.terminal.write(`${json ? JSON.stringify({ time, ...fields }) : `${time}  ${text}`}\n`);
    if (this.left === 0) this.over.abort();
  }
}

async function tellChanges(cache: Cache, log: Log): Promise<void> {
  for await (const change of changesOf(cache, log.prefix, log.terminal, log.signal))
    await log.line(changeText(change), change);
}

async function tellRates(cache: Cache, log: Log): Promise<void> {
  const { signal } = log;
  try {
    let before = await countsOf(cache, signal);
    for (;;) {
      await setTimeout(log.intervalMs, undefined, { signal });
      const now = await countsOf(cache, signal);
      const rates = ratesBetween(before, now);
      before = now;
      if (rates.length > 0) await log.line(ratesText(rates), { perSecond: Object.fromEntries(rates) });
    }
  } catch (error) {
    if (!(error instanceof CacheError) || error.code !== "forbidden") throw error;
    log.terminal.say(`verbs are not counted: ${error.message}`);
    // The other source goes on, and ends this one with itself.
    for (;;) await setTimeout(log.intervalMs, undefined, { signal });
  }
}

interface Counts {
  readonly at: number;
  /** By verb, since the server started. */
  readonly counts: Record<string, number>;
}

async function countsOf(cache: Cache, signal: AbortSignal): Promise<Counts> {
  const { commands } = await cache.stats({ signal });
  return { at: performance.now(), counts: commands as Record<string, number> };
}

/** Verbs that were asked for in between, the most frequent first, without the request that counts them. */
function ratesBetween(before: Counts, now: Counts): Rate[] {
  const seconds = (now.at - before.at) / 1000;
  return Object.entries(now.counts)
    .map(([verb, count]) => [verb, count - (before.counts[verb] ?? 0) - (verb === "stats" ? 1 : 0)] as const)
    .filter(([, count]) => count > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([verb, count]) => [verb, Math.round((10 * count) / seconds) / 10]);
}

function ratesText(rates: readonly Rate[]): string {
  const text = (perSecond: number) => perSecond.toLocaleString("en");
  const all = rates.reduce((sum, [, perSecond]) => sum + perSecond, 0);
  return `${text(all)} a second: ${rates.map(([verb, perSecond]) => `${verb} ${text(perSecond)}`).join(", ")}`;
}
