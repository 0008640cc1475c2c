/**
 * A thread that asks one server over a few connections, one message at a time on each, and measures every answer: what
 * a well-behaved client feels. As a thread of its own, so that nothing else of the benchmark delays it.
 */
import { Histogram } from "../../src/cli/histogram";
import { request } from "../support/frames";

declare const self: Worker;

export interface ProbeOrder {
  url: string;
  connections: number;
  /** GETs in a message. */
  batch: number;
  seconds: number;
}

/** Microseconds. */
export interface ProbeReport {
  messages: number;
  median: number;
  p99: number;
  p999: number;
  max: number;
}

if (!Bun.isMainThread)
  self.onmessage = async ({ data }: MessageEvent<ProbeOrder>) => {
    const times = new Histogram();
    const until = performance.now() + data.seconds * 1000;
    await Promise.all(Array.from({ length: data.connections }, () => ask(data, times, until)));
    const at = (share: number) => times.percentile(share) / 1000;
    const report: ProbeReport = {
      messages: times.total,
      median: at(0.5),
      p99: at(0.99),
      p999: at(0.999),
      max: times.maxNs / 1000,
    };
    self.postMessage(report);
  };

function ask({ url, batch }: ProbeOrder, times: Histogram, until: number): Promise<void> {
  const message = Buffer.concat(
    Array.from({ length: batch }, (_, i) => request({ op: 1, key: `probe ${i}` })),
  ) as Buffer<ArrayBuffer>;
  const socket = new WebSocket(url);
  return new Promise((resolve, reject) => {
    let sentAt = 0;
    const send = () => {
      if (performance.now() > until) {
        socket.close();
        return resolve();
      }
      sentAt = Bun.nanoseconds();
      socket.send(message);
    };
    socket.onopen = send;
    socket.onmessage = () => {
      times.record(Bun.nanoseconds() - sentAt);
      send();
    };
    socket.onclose = () => reject(new Error("the server closed a probe"));
  });
}

/** Probes for a while, in another thread. */
export function probe(order: ProbeOrder): Promise<ProbeReport> {
  const thread = new Worker(import.meta.url);
  return new Promise<ProbeReport>((resolve, reject) => {
    thread.onmessage = ({ data }) => resolve(data as ProbeReport);
    thread.onerror = (event) => reject(new Error(event.message));
    thread.postMessage(order);
  }).finally(() => thread.terminate());
}

export function inMicroseconds(us: number): string {
  return us < 1000 ? `${us.toFixed(0)} µs` : `${(us / 1000).toFixed(2)} ms`;
}
