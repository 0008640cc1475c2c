/**
 * A million entries that expire at the same moment, in a real server: how long until all are swept, and what requests
 * on another connection see meanwhile.
 *
 *   bun run bench:expiry-burst [--entries 1000000]
 */
import { parseArgs } from "node:util";
import { request } from "../support/frames";
import { startServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const { values } = parseArgs({ options: { entries: { type: "string", default: "1000000" } } });
const ENTRIES = Number(values.entries);
const BATCH = 1000;

async function latencies(client: WireClient, until: () => boolean): Promise<number[]> {
  const samples: number[] = [];
  const get = request({ op: 1, key: "stays" });
  while (!until()) {
    const start = Bun.nanoseconds();
    await client.ask(get);
    samples.push((Bun.nanoseconds() - start) / 1e6);
  }
  return samples.sort((a, b) => a - b);
}

function describe(samples: number[]): string {
  const at = (share: number) =>
    samples[Math.min(samples.length - 1, Math.floor(samples.length * share))]!.toFixed(2);
  return `${samples.length} requests, median ${at(0.5)} ms, p99.9 ${at(0.999)} ms, max ${at(1)} ms`;
}

const server = await startServer({ flags: ["--workers", "2", "--memory", "1gb"] });
const [loader, prober, watcher] = await Promise.all([1, 2, 3].map(() => WireClient.connect(server.ws)));
await prober!.ask(request({ op: 2, key: "stays", value: Buffer.alloc(64) }));
const expiresAt = Date.now() + 8000;
for (let from = 0; from < ENTRIES; from += BATCH) {
  const ttlMs = BigInt(expiresAt - Date.now());
  const puts = Array.from({ length: BATCH }, (_, i) =>
    request({ op: 2, key: `key:${from + i}`, value: Buffer.alloc(64), ttlMs }),
  );
  await loader!.ask(...puts);
}
const spare = expiresAt - Date.now();
if (spare < 1500) throw new Error(`loading took too long: ${spare} ms left`);
console.log(`before   ${describe(await latencies(prober!, () => Date.now() > expiresAt - 100))}`);

let swept = 0;
const started = expiresAt;
let ended = 0;
const probing = latencies(prober!, () => ended > 0);
while (swept < ENTRIES) {
  await Bun.sleep(10);
  const [reply] = await watcher!.ask(request({ op: 11 }));
  if (reply?.status !== "VALUE") throw new Error("no stats");
  swept = (JSON.parse(reply.value.toString()) as { expirations: number }).expirations;
}
ended = Date.now();
console.log(`meanwhile ${describe(await probing)}`);
console.log(`all ${swept} swept ${ended - started} ms after they expired`);
for (const client of [loader, prober, watcher]) client!.close();
await server.stop();
