/** The stats as Prometheus text (exposition format 0.0.4), named after the habits of the Redis exporter. */
import type { OriginReport, StatsReport } from "../commands/report";
import type { Tally } from "../commands/tally";
import { serviceTimes, TRANSPORTS } from "../commands/traffic";

export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

type Kind = "counter" | "gauge";

/** @param tally has what the stats show in short: the histograms of service times */
export function metricsText(stats: StatsReport, tally: Tally): string {
  const lines: string[] = [];
  const metric = (name: string, kind: Kind, help: string, samples: Record<string, number> | number) => {
    lines.push(`# HELP breadbox_${name} ${help}`, `# TYPE breadbox_${name} ${kind}`);
    if (typeof samples === "number") lines.push(`breadbox_${name} ${samples}`);
    else
      for (const [label, value] of Object.entries(samples)) lines.push(`breadbox_${name}{${label}} ${value}`);
  };
  metric("build_info", "gauge", "Always 1; the version is in the label.", {
    [`version="${stats.version}"`]: 1,
  });
  metric("uptime_in_seconds", "gauge", "Seconds since the server started.", stats.uptime);
  metric("workers", "gauge", "Worker threads that serve.", stats.workers);
  metric("worker_restarts_total", "counter", "Workers that died and were replaced.", stats.workerRestarts);
  metric("worker_hangs_total", "counter", "Of them those that hung and were ended.", stats.workerHangs);
  metric("connected_clients", "gauge", "Open WebSocket connections.", stats.connections);
  metric("connections_received_total", "counter", "WebSocket connections accepted.", stats.connectionsTotal);
  metric(
    "connections_max",
    "gauge",
    "WebSocket connections and streams of events that may be open.",
    stats.connectionsMax,
  );
  metric(
    "connections_refused_total",
    "counter",
    "WebSocket connections and streams of events refused because all were in use.",
    stats.connectionsRefused,
  );
  metric(
    "connections_cut_total",
    "counter",
    "WebSocket connections ended because their client did not do its part.",
    stats.connectionsCut,
  );
  metric(
    "event_loop_lag_seconds",
    "gauge",
    "How late the worker's event loop was in the last half minute, at most.",
    Object.fromEntries(stats.eventLoopLag.map((ms, worker) => [`worker="${worker}"`, ms / 1000])),
  );
  metric("http_requests_total", "counter", "HTTP requests answered.", stats.httpRequests);
  metric(
    "access_refused_total",
    "counter",
    "Requests without the right token, origin or host.",
    stats.accessRefusals,
  );
  metric("auth_failures_total", "counter", "Wrong tokens that were tried.", stats.authFailures);
  metric("watched_keys", "gauge", "Single keys that connections watch.", stats.watches);
  metric("watched_prefixes", "gauge", "Distinct prefixes that connections watch.", stats.prefixes);
  metric("event_streams", "gauge", "Open streams of server-sent events.", stats.eventStreams);
  metric("pushed_keys_total", "counter", "Keys in pushes of changes.", stats.keysPushed);
  metric(
    "pushed_resets_total",
    "counter",
    "Resets that were pushed, by reason.",
    labelled("reason", stats.resets),
  );
  metric("leases", "gauge", "Leases that are out, or have ended unnoticed.", stats.leases);
  metric("waiting_tickets", "gauge", "Callers that wait for a value.", stats.tickets);
  metric("commands_total", "counter", "Commands executed, by verb.", labelled("verb", stats.commands));
  metric(
    "errors_total",
    "counter",
    "Requests of frames, text messages and batches that were answered with an error, by its code.",
    labelled("code", stats.errors),
  );
  metric(
    "http_responses_total",
    "counter",
    "HTTP answers by status.",
    labelled("status", stats.httpResponses),
  );
  const { frames, text } = stats.traffic;
  metric(
    "messages_total",
    "counter",
    "WebSocket messages executed.",
    labelled("transport", { frames: frames.messages, text: text.messages }),
  );
  const byTransport = (what: "bytesIn" | "bytesOut") =>
    labelled("transport", Object.fromEntries(TRANSPORTS.map((name) => [name, stats.traffic[name][what]])));
  metric(
    "received_bytes_total",
    "counter",
    "Bytes of messages and bodies that came in, without the heads of HTTP and frames.",
    byTransport("bytesIn"),
  );
  metric("sent_bytes_total", "counter", "The same of what was sent.", byTransport("bytesOut"));
  lines.push(...serviceHistogram(tally));
  metric("keyspace_hits_total", "counter", "Reads that found their key.", stats.hits);
  metric("keyspace_misses_total", "counter", "Reads that did not.", stats.misses);
  metric("keys", "gauge", "Entries in the store.", stats.entries);
  metric("evicted_keys_total", "counter", "Entries dropped to make room.", stats.evictions);
  metric("expired_keys_total", "counter", "Entries whose time was over.", stats.expirations);
  metric("memory_used_bytes", "gauge", "Bytes the store uses, overhead included.", stats.bytesUsed);
  metric("memory_live_bytes", "gauge", "Bytes of live entries with their overhead.", stats.bytesLive);
  metric("memory_payload_bytes", "gauge", "Bytes of keys and values.", stats.bytesPayload);
  metric("memory_max_bytes", "gauge", "Bytes the store may use.", stats.bytesMax);
  metric("written_bytes_total", "counter", "Bytes of entries written by commands.", stats.bytesAdmitted);
  metric("moved_bytes_total", "counter", "Bytes of entries moved to keep them.", stats.bytesCopied);
  metric("lock_waits_total", "counter", "Times a thread waited for a shard.", stats.lockWaits);
  metric("shard_recoveries_total", "counter", "Shards taken back from a dead worker.", stats.recoveries);
  metric(
    "entries_lost_total",
    "counter",
    "Entries lost because their writer died, or with their shard.",
    stats.entriesLost,
  );
  metric("entries_kept", "gauge", "Entries that were there when the server started.", stats.entriesKept);
  metric(
    "shards_lost_total",
    "counter",
    "Shards that could not be repaired, and were emptied.",
    stats.shardsLost,
  );
  if (stats.origin !== undefined) originMetrics(stats.origin, metric);
  return `${lines.join("\n")}\n`;
}

type Write = (name: string, kind: Kind, help: string, samples: Record<string, number> | number) => void;

/** Hits and misses of the first level are those of the keyspace. */
function originMetrics(origin: OriginReport, metric: Write): void {
  const { status, calls, errors, redirects, tracking, traffic, epochsRaised, proofs } = origin;
  metric("origin_up", "gauge", "1 while every part of the origin answers.", status === "connected" ? 1 : 0);
  metric("origin_calls_total", "counter", "Calls to the origin, by verb.", labelled("verb", calls));
  metric("origin_errors_total", "counter", "Calls that failed, by reason.", labelled("reason", errors));
  metric("origin_redirects_total", "counter", "Answers that named another node.", redirects);
  metric(
    "origin_open_circuits",
    "gauge",
    "Nodes that this worker asks no more until a probe is answered.",
    origin.nodes.filter(({ circuit }) => circuit !== "closed").length,
  );
  metric("origin_received_bytes_total", "counter", "Bytes of values that came in.", traffic.bytesOut);
  metric("origin_sent_bytes_total", "counter", "Bytes of values that were sent.", traffic.bytesIn);
  metric("origin_call_seconds", "gauge", "How long calls took, of those that were timed.", {
    'quantile="0.5"': traffic.service.p50 / 1000,
    'quantile="0.99"': traffic.service.p99 / 1000,
  });
  metric("origin_tracked_masters", "gauge", "Masters that tell their changes.", tracking.connections);
  metric(
    "origin_invalidations_total",
    "counter",
    "Keys that were told to have changed.",
    tracking.invalidations,
  );
  metric(
    "origin_beats_late_total",
    "counter",
    "Tracking connections given up as silent.",
    tracking.beatsLate,
  );
  metric(
    "origin_tracking_reconnects_total",
    "counter",
    "Attempts to track a master again.",
    tracking.reconnects,
  );
  metric("origin_epochs_raised_total", "counter", "Slots whose copies became void.", epochsRaised);
  metric("origin_proofs_total", "counter", "Times that a master was proven.", proofs);
}

/** The samples of a metric with one label. */
function labelled(label: string, values: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(values).map(([value, count]) => [`${label}="${value}"`, count]));
}

function serviceHistogram(tally: Tally): string[] {
  const name = "breadbox_service_seconds";
  return [
    `# HELP ${name} Time that messages and HTTP requests took to be answered, of about every 16th.`,
    `# TYPE ${name} histogram`,
    ...TRANSPORTS.flatMap((transport) => {
      const { upTo, sumSeconds, count } = serviceTimes(tally.sumOfTraffic(transport));
      const label = `transport="${transport}"`;
      return [
        ...upTo.map((bucket) => `${name}_bucket{${label},le="${boundOf(bucket.seconds)}"} ${bucket.count}`),
        `${name}_sum{${label}} ${sumSeconds}`,
        `${name}_count{${label}} ${count}`,
      ];
    }),
  ];
}

function boundOf(seconds: number): string {
  return seconds === Infinity ? "+Inf" : String(seconds);
}
