/** The subcommands about the server itself: stats, watch-stats, ping, health. */
import { setTimeout } from "node:timers/promises";
import { ofSystem } from "../client/cause";
import type { Trouble } from "../client/socket";
import { CacheError } from "../client/client";
import type { Command, Terminal } from "./command";
import { isLoopback } from "../system/loopback";
import { trustOf } from "./tls";
import { duration } from "./duration";
import { Exit } from "./exit";
import { DEFAULT_PORT, SERVER_OPTIONS, whole } from "./usage";

type Stats = Record<string, any>;

const JSON_OPTION = { json: { help: "print JSON" } };
const MB = 2 ** 20;
const HEALTH_TIMEOUT_MS = 2000;
const HEALTHY = 200;

export const stats: Command = {
  summary: "print what the server counts",
  synopsis: "",
  examples: ["breadbox stats", "breadbox stats --json | jq .hits"],
  options: JSON_OPTION,
  positionals: [0, 0],
  run: (parsed, terminal, withCache) =>
    withCache(parsed, async (cache) => {
      const now = await cache.stats({ signal: terminal.interrupted });
      await terminal.write(parsed.values.json ? `${JSON.stringify(now)}\n` : `${table(now).join("\n")}\n`);
      return Exit.OK;
    }),
};

export const watchStats: Command = {
  summary: "the same, live; Ctrl-C ends it",
  synopsis: "",
  examples: ["breadbox watch-stats", "breadbox watch-stats --interval 200 --json"],
  options: {
    interval: {
      value: "TIME",
      help: "between two looks: 200ms, 5s, or a number of milliseconds (1s)",
      schema: duration(50, 3_600_000, "ms"),
      allowed: "a time from 50ms to 1h",
    },
    count: {
      value: "N",
      help: "end after so many looks",
      schema: whole(1, 1e9),
      allowed: "a whole number from 1",
    },
    json: { help: "print a line of JSON for each look" },
  },
  positionals: [0, 0],
  run: (parsed, terminal, withCache) =>
    withCache(parsed, async (cache) => {
      const { interval = 1000, count = Infinity, json } = parsed.values;
      let before: { stats: Stats; at: number } | null = null;
      for (let look = 0; look < count; look++) {
        if (look > 0) await pause(interval, terminal);
        const stats = await unlessInterrupted(cache.stats({ signal: terminal.interrupted }));
        if (stats === null) break;
        const now = { stats, at: performance.now() };
        const lines = [...table(now.stats), ...rates(before, now)];
        // Home, each line cleared to its end, the rest of the screen cleared: redrawn without flicker.
        if (json) await terminal.write(`${JSON.stringify(now.stats)}\n`);
        else if (terminal.isInteractive)
          await terminal.write(`\x1b[H${lines.map((line) => `${line}\x1b[K\n`).join("")}\x1b[J`);
        else await terminal.write(`${lines.join("\n")}\n\n`);
        before = now;
      }
      return Exit.OK;
    }),
};

export const ping: Command = {
  summary: "time the way to the server and back",
  synopsis: "",
  examples: ["breadbox ping", "breadbox ping --count 10"],
  options: {
    count: {
      value: "N",
      help: "how often (4)",
      schema: whole(1, 1_000_000),
      allowed: "a whole number from 1",
    },
    ...JSON_OPTION,
  },
  positionals: [0, 0],
  run: (parsed, terminal, withCache) =>
    withCache(parsed, async (cache) => {
      const times: number[] = [];
      for (let i = 0; i < (parsed.values.count ?? 4); i++) {
        const ms = await unlessInterrupted(cache.ping({ signal: terminal.interrupted }));
        if (ms === null) break;
        times.push(ms);
        if (!parsed.values.json) await terminal.write(`${ms.toFixed(3)} ms\n`);
      }
      if (parsed.values.json) await terminal.write(`${JSON.stringify({ ms: times })}\n`);
      return Exit.OK;
    }),
};

export const health: Command = {
  summary: "exit code 0 when the server can serve, 1 when not (for containers)",
  synopsis: "",
  examples: ["breadbox health", "breadbox health --port 8080", "breadbox health --url http://cache:7171"],
  options: {
    url: SERVER_OPTIONS.url,
    port: {
      value: "N",
      help: "or just the port, on this machine (7171); also BREADBOX_PORT and PORT, as for the server",
      variables: ["BREADBOX_PORT", "PORT"],
      schema: whole(1, 65_535),
      allowed: "a port number",
    },
    "tls-ca": SERVER_OPTIONS["tls-ca"],
    timeout: SERVER_OPTIONS.timeout,
  },
  positionals: [0, 0],
  run: async ({ values }, terminal) => {
    const trust = trustOf(values["tls-ca"]);
    const timeoutMs = values.timeout ?? HEALTH_TIMEOUT_MS;
    const servers = healthAddresses(values.url, values.port);
    let problem = "";
    for (const server of servers) {
      const health = await askHealth(server, trust, timeoutMs);
      if (health === HEALTHY) return Exit.OK;
      if (typeof health === "number") {
        terminal.say(`${server.origin} answers ${health}`);
        return Exit.MISS;
      }
      problem ||= health;
    }
    terminal.say(`${servers[0]!.origin} does not answer: ${problem}`);
    return Exit.MISS;
  },
};

/** Where to ask. A port says not whether TLS is spoken there, and a container's health check should not have to. */
function healthAddresses(url: string | undefined, port: number | undefined): URL[] {
  if (url !== undefined) return [new URL("/healthz", url.replace(/^ws/, "http"))];
  return ["http", "https"].map(
    (scheme) => new URL("/healthz", `${scheme}://127.0.0.1:${port ?? DEFAULT_PORT}`),
  );
}

/** The status of its answer, or why none came. */
async function askHealth(
  url: URL,
  trust: { ca: string } | undefined,
  timeoutMs: number,
): Promise<number | string> {
  // Certificates name no loopback addresses, and nobody sits between this process and its own machine.
  const tls = trust ?? (isLoopback(url.hostname) ? { rejectUnauthorized: false } : undefined);
  try {
    const signal = AbortSignal.timeout(timeoutMs);
    return (await fetch(url, { signal, ...(tls !== undefined && { tls }) })).status;
  } catch (error) {
    return ofSystem(error as Trouble)?.[1] ?? `nothing came within ${timeoutMs} ms`;
  }
}

function table(s: Stats): string[] {
  const asked = s.hits + s.misses;
  const rows: [string, string][] = [
    ["version", `${s.version}, up ${s.uptime} s`],
    ["workers", `${s.workers}, ${s.workerRestarts} restarted`],
    ["connections", `${s.connections}, ${s.connectionsTotal} in all`],
    ["entries", s.entries.toLocaleString("en")],
    ["memory", `${(s.bytesUsed / MB).toFixed(1)} of ${(s.bytesMax / MB).toFixed(0)} MiB`],
    ["payload", `${(s.bytesPayload / MB).toFixed(1)} MiB`],
    [
      "hits",
      `${s.hits.toLocaleString("en")}${asked > 0 ? ` (${((s.hits / asked) * 100).toFixed(2)} %)` : ""}`,
    ],
    ["misses", s.misses.toLocaleString("en")],
    ["puts", s.puts.toLocaleString("en")],
    ["evictions", s.evictions.toLocaleString("en")],
    ["expirations", s.expirations.toLocaleString("en")],
  ];
  return rows.map(([name, value]) => `${name.padEnd(12)} ${value}`);
}

/** Operations a second since the last look. */
function rates(before: { stats: Stats; at: number } | null, now: { stats: Stats; at: number }): string[] {
  if (before === null) return [];
  const seconds = (now.at - before.at) / 1000;
  const rate = (name: string) =>
    Math.round((now.stats[name] - before.stats[name]) / seconds).toLocaleString("en");
  return [
    "",
    ...["hits", "misses", "puts", "evictions"].map((name) => `${`${name}/s`.padEnd(12)} ${rate(name)}`),
  ];
}

/** The answer; null where Ctrl-C came first, which is how these commands are ended. */
async function unlessInterrupted<Answer>(answer: Promise<Answer>): Promise<Answer | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof CacheError && error.code === "aborted") return null;
    throw error;
  }
}

/** Until the time has passed, or Ctrl-C. */
async function pause(ms: number, { interrupted }: Terminal): Promise<void> {
  await setTimeout(ms, undefined, { signal: interrupted }).catch(() => {});
}
