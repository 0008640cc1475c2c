/**
 * What a connection feels while another one on the same worker floods it, in each way that a client can.
 *
 *   bun run bench:fairness [--seconds 5] [--program OTHER/src/main.ts]      the second for comparing with another checkout
 */
import { parseArgs } from "node:util";
import { request } from "../support/frames";
import { startServer } from "../support/server";
import { WireClient } from "../support/wire-client";
import { type Flood, flood } from "./flooder";
import { inMicroseconds, probe } from "./prober";
import { markdownTable } from "./results";

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "5" }, program: { type: "string" } },
});
const FLOODS: Flood[] = [
  "nothing",
  "16 MB batches of small GETs",
  "16 MB batches of small PUTs",
  "16 MB batches of 64 KiB PUTs",
  "batches of GETs of 4 MiB values",
  "batches of SCANs that find nothing",
  "batches of STATS",
  "very many messages of one GET",
  "text messages of 10,000 requests",
  "/batch of 10,000 requests",
  "bodies of 16 MB that are no JSON",
];
const KEYS = 100_000;

const server = await startServer({
  flags: ["--workers", "1", "--memory", "512mb"],
  ...(values.program !== undefined && { program: values.program }),
});
const client = await WireClient.connect(server.ws);
for (let at = 0; at < KEYS; at += 1000)
  await client.ask(
    ...Array.from({ length: 1000 }, (_, i) =>
      request({ op: 2, key: `key:${at + i}`, value: Buffer.alloc(64) }),
    ),
  );
await client.ask(request({ op: 2, key: "large", value: Buffer.alloc(4 << 20) }));
const rows: string[][] = [];
for (const kind of FLOODS) {
  const stop = await flood(kind, server.ws);
  const report = await probe({ url: server.ws, connections: 1, batch: 1, seconds: Number(values.seconds) });
  stop();
  rows.push([kind, String(report.messages), ...[report.median, report.p99, report.max].map(inMicroseconds)]);
  console.log(rows.at(-1)!.join("  "));
}
client.close();
await server.stop();
console.log(`\n${markdownTable(["the other connection sends", "answers", "median", "p99", "max"], rows)}`);
