/**
 * What HTTP costs before anything of ours runs: CPU per request of servers that answer a constant, beside Breadbox and a
 * fasthttp server (named by BREADBOX_BENCH_FASTHTTP), one short run of each in turn.
 *
 *   bun run bench:http-floor [--rounds 5]
 */
import { parseArgs } from "node:util";
import { cpuSeconds, placement } from "./cpu";
import { spreadTable } from "./report";
import { findPeer, type RunningServer, startBreadbox, startPeer } from "./servers";

const CONNECTIONS = 64;
const WARMUP_MS = 700;
const MEASURE_MS = 1000;
const FLOOR = new URL("./http-floor-server.ts", import.meta.url).pathname;

const PUT_BODY = `{"key":"key:0000001","value":"${"v".repeat(64)}"}`;
const GET = Buffer.from("GET /get?key=key:0000001 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
const PUT = Buffer.from(
  `POST /put HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${PUT_BODY.length}\r\n\r\n${PUT_BODY}`,
);

const { values } = parseArgs({ options: { rounds: { type: "string", default: "5" } } });
const { server: cores } = placement();
const floor = (kind: string) => () => startBreadbox(FLOOR, ["--kind", kind], cores);
const breadbox = () => startBreadbox(undefined, ["--workers", "1"], cores);
const fasthttp = findPeer("fasthttp");

const sides: [text: string, start: () => Promise<RunningServer>, request: Buffer][] = [
  ["Bun.listen, a constant, every byte looked at", floor("bare"), GET],
  ["Bun.serve, a constant", floor("constant"), GET],
  ["Bun.serve, a constant, URL and two headers read", floor("reading"), GET],
  ["Breadbox, GET /get", breadbox, GET],
  ["Bun.serve, a constant, one header and the body read", floor("body"), PUT],
  ["Breadbox, POST /put", breadbox, PUT],
];
if (typeof fasthttp === "string") console.log(fasthttp);
else
  for (const [text, request] of [
    ["fasthttp, GET /get", GET],
    ["fasthttp, POST /put", PUT],
  ] as const)
    sides.push([text, () => startPeer(fasthttp, cores), request]);

/** Microseconds of the server's CPU for a request: each connection sends the next when it has its answer. */
async function measure({ pid, port }: RunningServer, request: Buffer): Promise<number> {
  let answers = 0;
  const sockets = await Promise.all(
    Array.from({ length: CONNECTIONS }, () =>
      Bun.connect({
        hostname: "127.0.0.1",
        port,
        socket: {
          open: (socket) => void socket.write(request),
          data(socket) {
            answers++;
            socket.write(request);
          },
        },
      }),
    ),
  );
  await Bun.sleep(WARMUP_MS);
  const [answersBefore, cpuBefore] = [answers, cpuSeconds(pid)];
  await Bun.sleep(MEASURE_MS);
  const perRequest = ((cpuSeconds(pid) - cpuBefore) / (answers - answersBefore)) * 1e6;
  for (const socket of sockets) socket.terminate();
  return perRequest;
}

/** So that the gets find something. */
async function store({ port }: RunningServer): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/put`, { method: "POST", body: PUT_BODY });
  await response.bytes();
}

const figures = sides.map((): number[] => []);
for (let round = 0; round < Number(values.rounds); round++)
  for (const [i, [, start, request]] of sides.entries()) {
    const server = await start();
    await store(server);
    figures[i]!.push(await measure(server, request));
    await server.stop();
  }

console.log(
  spreadTable(
    "CPU µs per request",
    sides.map(([text]) => text),
    figures,
  ),
);
process.exit(0);
