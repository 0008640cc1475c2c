/**
 * One worker's side of the origin, put together. This file is loaded only on a server that has one, and with it the client library.
 *
 *   Commands ─▶ OriginCommands ─┬─ a copy that may be served ─▶ FirstLevel ─▶ Store
 *                               └─ everything else ───────────▶ Engine ─▶ a connection to each master
 *   worker 0:  Tracker ─ a tracking connection to each master ─▶ FirstLevel.sink, Trust     (for all workers)
 */
import { readFileSync } from "node:fs";
import type { CommandsParts } from "../commands/commands";
import type { Garbage } from "../commands/garbage";
import type { OriginReport } from "../commands/report";
import type { Store } from "../store/store";
import type { Log } from "../system/log";
import { endpointText } from "./address";
import { OriginCommands } from "./commands";
import { Counts } from "./counts";
import { Engine } from "./engine";
import { Gate } from "./gate";
import { FirstLevel } from "./l1";
import type { OriginSettings } from "./settings";
import { connector } from "./socket";
import { Tracker } from "./tracker";
import { Trust } from "./trust";

/** The worker that tracks the masters, for all. */
const TRACKING_WORKER = 0;
const COUNT_MS = 1000;
/** Values on their way from the origin may take as much as bodies, replies and answers together, if all are as long as they may be. */
const VALUES_SHARE = 4;
const VALUES_MAX = 4096;

export interface OriginOptions {
  readonly settings: OriginSettings;
  readonly store: Store;
  /** Of trust.ts, shared by all workers. */
  readonly trust: SharedArrayBuffer;
  /** Of counts.ts, too. */
  readonly counts: SharedArrayBuffer;
  readonly worker: number;
  readonly valueBytesMax: number;
  /** What a worker may hold of bodies, replies, answers each (--max-buffered). */
  readonly bufferedBytesMax: number;
  /** The store's clock. */
  readonly clock: () => number;
  readonly log: Log;
}

export class Origin {
  private readonly tracker: Tracker | null;
  private readonly counting: ReturnType<typeof setInterval>;

  private constructor(
    private readonly parts: { engine: Engine; firstLevel: FirstLevel; trust: Trust; counts: Counts },
    private readonly options: OriginOptions,
  ) {
    const { firstLevel, trust, counts } = parts;
    const tracker = options.worker === TRACKING_WORKER ? startTracker(firstLevel, trust, options) : null;
    this.tracker = tracker;
    this.counting = setInterval(() => tracker !== null && counts.track(tracker.counts), COUNT_MS);
  }

  /** Begins to connect. Before the store is used: reads of it ask from now on whether copies may be served. */
  static async open(options: OriginOptions): Promise<Origin> {
    const { settings, store, clock, valueBytesMax, log } = options;
    const { address, namespace, timeoutMs, maxAgeMs, staleMaxMs } = settings;
    const security = securityOf(settings);
    const trust = new Trust(options.trust, maxAgeMs);
    store.trust(trust);
    const prefix = Buffer.from(`${namespace}:`);
    const firstLevel = new FirstLevel({ store, trust, prefix, valueBytesMax, staleMaxMs, clock });
    const onRedirect = (slot: number) => trust.distrust(slot);
    const counts = new Counts(options.counts, options.worker);
    const engine = await Engine.open({
      ...{ address, ...security, namespace, timeoutMs, log, counts, onRedirect },
    });
    return new Origin({ engine, firstLevel, trust, counts }, options);
  }

  commands(parts: CommandsParts, garbage: Garbage): OriginCommands {
    const { engine, firstLevel } = this.parts;
    const gate = gateFor(this.options);
    return new OriginCommands(parts, { engine, firstLevel, gate, garbage, report: () => this.report() });
  }

  /** For the stats. What the workers count is of all of them, who answers is as this one sees it. */
  report(): OriginReport {
    const { engine, trust } = this.parts;
    return { ...engine.state(), ...trust.counts };
  }

  /** Takes no calls any more; resolves when those that are open have ended. */
  async close(): Promise<void> {
    clearInterval(this.counting);
    this.tracker?.stop();
    await this.parts.engine.close();
  }
}

function startTracker(
  firstLevel: FirstLevel,
  trust: Trust,
  { settings, clock, log }: OriginOptions,
): Tracker {
  const { address, namespace, maxAgeMs } = settings;
  const { seeds, username, password, isTls } = address;
  return new Tracker(
    {
      seeds: seeds.map(endpointText),
      namespace: `${namespace}:`,
      maxAgeMs,
      ...(username !== null && { user: username }),
      ...(password !== null && { password }),
    },
    {
      trust,
      sink: firstLevel.sink,
      connect: connector(isTls ? securityOf(settings) : null),
      timing: { now: clock, after },
      random: Math.random,
      tell: (level, text) => log[level](text),
    },
  );
}

function gateFor({ settings, bufferedBytesMax, valueBytesMax }: OriginOptions): Gate {
  const room = Math.floor((VALUES_SHARE * bufferedBytesMax) / valueBytesMax);
  const places = Math.max(1, Math.min(VALUES_MAX, room));
  return new Gate({ places, timeoutMs: settings.timeoutMs, clock: () => performance.now() });
}

/** Throws where the file cannot be read. */
function securityOf({ caFile }: OriginSettings): { ca?: string } {
  return caFile === undefined ? {} : { ca: readFileSync(caFile, "utf8") };
}

function after(ms: number, then: () => void): () => void {
  const timer = setTimeout(then, ms);
  return () => clearTimeout(timer);
}
