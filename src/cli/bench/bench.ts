/**
 * breadbox bench: what redis-benchmark and memtier are to Redis. Threads of its own, so that it can load several server
 * cores; every value is checked; latencies of all threads go into one histogram.
 */
import { z } from "zod";
import type { Command, Terminal } from "../command";
import { Histogram } from "../histogram";
import { trustOf } from "../tls";
import { entryUrl } from "../../system/program";
import { duration } from "../duration";
import { Exit } from "../exit";
import { CommandUsageError, DEFAULT_URL, type Parsed, SERVER_OPTIONS, whole } from "../usage";
import { type FromThread, keyText, type Plan, type ThreadResult, type ToThread } from "./plan";
import { reportLines, type Summary } from "./report";
import { startOwnServer } from "./self";

const THREAD_URL = entryUrl("cli/bench/thread");
const DEFAULTS = {
  connections: 16,
  batch: 64,
  depth: 1,
  keys: 100_000,
  "value-size": 64,
  duration: 5,
  warmup: 1,
  threads: 1,
};
const PROGRESS_MS = 250;

const count = (help: string, max: number) => ({
  value: "N",
  help,
  schema: whole(1, max),
  allowed: `a whole number from 1 to ${max}`,
});

export const bench: Command = {
  summary: "load a server, check every answer, measure throughput and latency",
  synopsis: "",
  examples: [
    "breadbox bench --self",
    "breadbox bench --url http://cache:7171 --connections 64 --batch 1 --duration 10",
    "breadbox bench --mix 1:1 --distribution uniform --value-size 1024 --json",
    "breadbox bench --protocol http --connections 32",
  ],
  options: {
    ...SERVER_OPTIONS,
    self: { help: "start a server for the bench, on this machine, and end it afterwards" },
    connections: count(`connections, over all threads (${DEFAULTS.connections})`, 100_000),
    batch: count(`requests in a message (${DEFAULTS.batch}; 1 over HTTP)`, 100_000),
    depth: count(`messages on their way on each connection (${DEFAULTS.depth})`, 1000),
    keys: count(`keys, all stored before (${DEFAULTS.keys})`, 9_999_999),
    "value-size": {
      value: "BYTES",
      help: `size of values (${DEFAULTS["value-size"]})`,
      schema: whole(0, 16 << 20),
      allowed: "a number of bytes",
    },
    mix: {
      value: "GET:PUT",
      help: "parts of gets and puts (9:1)",
      schema: z
        .string()
        .regex(/^[0-9]{1,6}:[0-9]{1,6}$/)
        .refine((mix) => /[1-9]/.test(mix)),
      allowed: "two numbers such as 9:1",
    },
    distribution: {
      value: "NAME",
      help: "uniform, or zipf:EXPONENT (zipf:0.99)",
      schema: z.string().regex(/^(uniform|zipf:[0-9](\.[0-9]+)?)$/),
      allowed: "uniform or zipf:0.99",
    },
    duration: {
      value: "TIME",
      help: `how long to measure: 500ms, 10s, 1m, or a number of seconds (${DEFAULTS.duration})`,
      schema: duration(1, 86_400_000, "s"),
      allowed: "a time such as 10s or 1m, or a number of seconds",
    },
    requests: {
      value: "N",
      help: "or how many requests",
      schema: whole(1, 1e12),
      allowed: "a whole number from 1",
    },
    warmup: {
      value: "TIME",
      help: `load before measuring: 500ms, 10s, 1m, or a number of seconds (${DEFAULTS.warmup})`,
      schema: duration(0, 3_600_000, "s"),
      allowed: "a time such as 10s or 1m, or a number of seconds",
    },
    protocol: {
      value: "ws|http",
      help: "WebSocket frames, or HTTP /kv (ws)",
      schema: z.enum(["ws", "http"]),
      allowed: "ws or http",
    },
    threads: count(`threads of the load itself (${DEFAULTS.threads})`, 64),
    json: { help: "print JSON" },
  },
  positionals: [0, 0],
  run: async (parsed, terminal, withCache) => {
    if (parsed.values.self && parsed.given.has("url"))
      throw new CommandUsageError("--self and --url contradict each other");
    if (!parsed.values.self) {
      // The client tells why a server can't be reached; the bench's own connections would not.
      await withCache(parsed, (cache) => cache.ping());
      return runAgainst(parsed.values.url ?? DEFAULT_URL, parsed, terminal);
    }
    const server = await startOwnServer();
    try {
      return await runAgainst(server.url, parsed, terminal);
    } finally {
      await server.stop();
    }
  },
};

async function runAgainst(url: string, parsed: Parsed, terminal: Terminal): Promise<number> {
  const plans = plansFor(url, parsed);
  const threads = plans.map(() => new Thread());
  try {
    const summary = await measure(threads, plans, parsed, terminal);
    const text = parsed.values.json ? JSON.stringify(summary) : reportLines(summary).join("\n");
    await terminal.write(`${text}\n`);
    return summary.wrong + summary.errors > 0 ? Exit.WRONG : Exit.OK;
  } catch (error) {
    if (!(error instanceof LoadError)) throw error;
    terminal.say(`breadbox: bench: ${error.message}`);
    return Exit.UNAVAILABLE;
  } finally {
    for (const thread of threads) thread.end();
  }
}

async function measure(
  threads: Thread[],
  plans: Plan[],
  { values }: Parsed,
  terminal: Terminal,
): Promise<Summary> {
  const keys = plans[0]!.keys;
  const warmupMs = values.warmup ?? DEFAULTS.warmup * 1000;
  const durationMs = values.duration ?? DEFAULTS.duration * 1000;
  await Promise.all(threads.map((thread, i) => thread.ask({ type: "begin", plan: plans[i]! }, "ready")));
  const progress = new ProgressLine(terminal, values.json === true);
  progress.show(`storing ${keys} keys`);
  const share = Math.ceil(keys / threads.length);
  await Promise.all(
    threads.map((thread, i) => {
      const from = Math.min(keys, i * share);
      return thread.ask({ type: "load", from, to: Math.min(keys, from + share) }, "loaded");
    }),
  );
  const requestsMax = values.requests === undefined ? Infinity : Math.ceil(values.requests / threads.length);
  // A number of requests is counted from the first; warming up first is for a time.
  const warmsUp = values.requests === undefined && warmupMs > 0;
  const results = threads.map(
    (thread) => thread.ask({ type: "run", requestsMax }, "result") as Promise<ThreadResult>,
  );
  const interrupted = new Promise<void>((resolve) =>
    terminal.interrupted.addEventListener("abort", () => resolve()),
  );
  if (warmsUp) {
    progress.show("warming up");
    await Promise.race([Bun.sleep(warmupMs), interrupted, ...results]);
    for (const thread of threads) thread.tell({ type: "reset" });
  }
  const start = { at: performance.now(), cpu: process.cpuUsage() };
  const ticker = setInterval(() => {
    const seconds = (performance.now() - start.at) / 1000;
    const done = threads.reduce((sum, thread) => sum + thread.done, 0);
    progress.show(
      `${seconds.toFixed(1)} s   ${Math.round(done / seconds).toLocaleString("en")} requests a second`,
    );
  }, PROGRESS_MS);
  try {
    if (values.requests === undefined) await Promise.race([Bun.sleep(durationMs), interrupted, ...results]);
    else await Promise.race([Promise.all(results), interrupted]);
    const seconds = (performance.now() - start.at) / 1000;
    const cpu = process.cpuUsage(start.cpu);
    for (const thread of threads) thread.tell({ type: "stop" });
    const all = await Promise.all(results);
    return summaryOf(plans, all, seconds, (cpu.user + cpu.system) / 1e6);
  } finally {
    clearInterval(ticker);
    progress.clear();
  }
}

function plansFor(url: string, { values }: Parsed): Plan[] {
  const protocol = values.protocol ?? "ws";
  if (protocol === "http" && (values.batch ?? 1) > 1)
    throw new CommandUsageError("--batch: over HTTP a message is one request");
  const [gets, puts] = (values.mix ?? "9:1").split(":").map(Number) as [number, number];
  const [, exponent] = (values.distribution ?? "zipf:0.99").split(":");
  const connections = values.connections ?? DEFAULTS.connections;
  const threads = Math.min(values.threads ?? DEFAULTS.threads, connections);
  return Array.from({ length: threads }, (_, thread) => ({
    url: addressFor(url, protocol),
    token: values.token,
    trust: trustOf(values["tls-ca"]),
    protocol,
    connections: Math.floor(connections / threads) + (thread < connections % threads ? 1 : 0),
    batch: protocol === "http" ? 1 : (values.batch ?? DEFAULTS.batch),
    depth: values.depth ?? DEFAULTS.depth,
    keys: values.keys ?? DEFAULTS.keys,
    valueBytes: values["value-size"] ?? DEFAULTS["value-size"],
    getShare: gets / (gets + puts),
    skew: Number(exponent ?? 0),
    seed: thread + 1,
  }));
}

function addressFor(url: string, protocol: "ws" | "http"): string {
  const parsed = new URL(url);
  const secure = parsed.protocol === "https:" || parsed.protocol === "wss:";
  if (protocol === "http") return `http${secure ? "s" : ""}://${parsed.host}`;
  return `ws${secure ? "s" : ""}://${parsed.host}${parsed.pathname === "/" ? "/ws" : parsed.pathname}`;
}

function summaryOf(plans: Plan[], results: ThreadResult[], seconds: number, cpuSeconds: number): Summary {
  const latencies = new Histogram();
  const sum = { done: 0, hits: 0, misses: 0, puts: 0, errors: 0, wrong: 0 };
  for (const result of results) {
    latencies.add(result.latencies);
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += result[name];
  }
  const plan = plans[0]!;
  const ms = (share: number) => latencies.percentile(share) / 1e6;
  return {
    protocol: plan.protocol,
    connections: plans.reduce((total, { connections }) => total + connections, 0),
    batch: plan.batch,
    depth: plan.depth,
    keys: plan.keys,
    keyBytes: keyText(0).length,
    valueBytes: plan.valueBytes,
    threads: plans.length,
    seconds,
    requests: sum.done,
    perSecond: sum.done / seconds,
    hits: sum.hits,
    misses: sum.misses,
    puts: sum.puts,
    errors: sum.errors,
    wrong: sum.wrong,
    latencyMs: { p50: ms(0.5), p90: ms(0.9), p99: ms(0.99), p999: ms(0.999), max: latencies.maxNs / 1e6 },
    loadCpuShare: cpuSeconds / seconds / plans.length,
    histogram: latencies.powers(),
  };
}

/** The load could not go on: the server went away, or refused it. */
class LoadError extends Error {}

/** A worker thread, asked one thing at a time. */
class Thread {
  /** Requests answered since the last reset, as last reported. */
  done = 0;
  private readonly worker = new Worker(THREAD_URL);
  private waiting: {
    type: FromThread["type"];
    resolve: (m: FromThread) => void;
    reject: (e: Error) => void;
  } | null = null;

  constructor() {
    this.worker.onmessage = ({ data }: MessageEvent<FromThread>) => {
      if (data.type === "progress") this.done = data.done;
      else if (data.type === "failed") this.waiting?.reject(new LoadError(data.message));
      else if (data.type === this.waiting?.type) this.waiting.resolve(data);
    };
    this.worker.onerror = (event) => this.waiting?.reject(new LoadError(event.message));
  }

  ask(message: ToThread, answer: FromThread["type"]): Promise<FromThread> {
    return new Promise((resolve, reject) => {
      this.waiting = { type: answer, resolve, reject };
      this.tell(message);
    });
  }

  tell(message: ToThread): void {
    this.worker.postMessage(message);
  }

  end(): void {
    this.worker.terminate();
  }
}

/** One line on standard error, rewritten in place; nothing where that is no terminal. */
class ProgressLine {
  private readonly isShown: boolean;
  constructor(terminal: Terminal, isQuiet: boolean) {
    this.isShown = terminal.saysToTerminal && !isQuiet;
  }

  show(text: string): void {
    if (this.isShown) process.stderr.write(`\r\x1b[K${text}`);
  }

  clear(): void {
    this.show("");
  }
}
