/** A bench's result as text: figures, and a plot of the latencies. */

export interface Summary {
  protocol: "ws" | "http";
  connections: number;
  batch: number;
  depth: number;
  keys: number;
  keyBytes: number;
  valueBytes: number;
  threads: number;
  seconds: number;
  requests: number;
  perSecond: number;
  hits: number;
  misses: number;
  puts: number;
  errors: number;
  wrong: number;
  latencyMs: { p50: number; p90: number; p99: number; p999: number; max: number };
  /** CPU that each load thread used, as a share of a core. */
  loadCpuShare: number;
  histogram: { fromNs: number; toNs: number; count: number }[];
}

const PLOT_WIDTH = 48;
/** A load thread that is busy for more than this is the limit itself. */
const BUSY_SHARE = 0.95;

export function reportLines(s: Summary): string[] {
  const number = (n: number) => Math.round(n).toLocaleString("en");
  const { p50, p90, p99, p999, max } = s.latencyMs;
  const lines = [
    `${number(s.perSecond)} requests a second (${number(s.requests)} in ${s.seconds.toFixed(2)} s)`,
    `${s.connections} connections over ${s.protocol}, ${s.batch} a message, ${s.depth} on their way; ${number(s.keys)} keys, ${s.keyBytes} + ${s.valueBytes} bytes`,
    `${number(s.hits)} hits, ${number(s.misses)} misses, ${number(s.puts)} puts; all values checked, ${number(s.wrong)} wrong, ${number(s.errors)} errors`,
    "",
    `latency  p50 ${time(p50)}   p90 ${time(p90)}   p99 ${time(p99)}   p99.9 ${time(p999)}   max ${time(max)}`,
    ...plot(s),
  ];
  if (s.loadCpuShare > BUSY_SHARE)
    lines.push(
      "",
      `the load itself is the limit here (its CPU at ${Math.round(s.loadCpuShare * 100)} %): the server can do more; try --threads ${s.threads + 1}`,
    );
  return lines;
}

function plot({ histogram, requests }: Summary): string[] {
  const most = Math.max(...histogram.map(({ count }) => count), 1);
  return histogram.map(({ toNs, count }) => {
    const bar = "█".repeat(Math.round((count / most) * PLOT_WIDTH)) || (count > 0 ? "▏" : "");
    return `  < ${time(toNs / 1e6).padStart(8)} ${((count / requests) * 100).toFixed(2).padStart(6)} %  ${bar}`;
  });
}

function time(ms: number): string {
  if (ms < 1) return `${(ms * 1000).toFixed(0)} µs`;
  return ms < 1000 ? `${ms.toFixed(2)} ms` : `${(ms / 1000).toFixed(2)} s`;
}
