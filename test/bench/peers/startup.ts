/**
 * From the spawn of the server's process to the first 200 of GET /healthz, with two workers, for a store of 1 GiB and of
 * 16 GiB, in turn; with a baseline, of both servers in turn.
 *
 *   bun run bench:startup [--times 10] [--memory 1gb,16gb] [--server SERVER] [--baseline SERVER]
 *
 * SERVER is a checkout's src/main.ts, or a compiled `breadbox`.
 */
import { parseArgs } from "node:util";
import { median, table } from "./report";
import { startBreadbox } from "./servers";

const { values } = parseArgs({
  options: {
    times: { type: "string", default: "10" },
    memory: { type: "string", default: "1gb,16gb" },
    server: { type: "string" },
    baseline: { type: "string" },
  },
});

interface Row {
  readonly label: string;
  readonly server: string | undefined;
  readonly memory: string;
  readonly times: number[];
}

const rows: Row[] = values.memory.split(",").flatMap((memory) => {
  const row = (label: string, server: string | undefined) => ({ label, server, memory, times: [] });
  const ours = row(memory, values.server);
  return values.baseline === undefined ? [ours] : [row(`${memory}, baseline`, values.baseline), ours];
});

/** Milliseconds until it is healthy. */
async function start({ server: main, memory }: Row): Promise<number> {
  const spawned = performance.now();
  const server = await startBreadbox(main, ["--workers", "2", "--memory", memory], null);
  const url = `http://127.0.0.1:${server.port}/healthz`;
  while ((await fetch(url)).status !== 200);
  const ms = performance.now() - spawned;
  await server.stop();
  return ms;
}

for (let time = 0; time < Number(values.times); time++)
  for (const row of rows) row.times.push(await start(row));

const cells = rows.map(({ label, times }) => [
  label,
  ...[median(times), Math.min(...times), Math.max(...times)].map((ms) => ms.toFixed(0)),
]);
console.log(table(["ms from spawn to healthy", "median", "least", "most"], cells, 1).join("\n"));
if (values.baseline !== undefined)
  for (const [i, { memory, times }] of rows.entries())
    if (i % 2 === 1)
      console.log(`${memory}: ${(median(times) / median(rows[i - 1]!.times)).toFixed(2)} of the baseline`);
