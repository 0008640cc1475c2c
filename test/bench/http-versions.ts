/**
 * What a GET costs the server over each version of HTTP: CPU per request of one worker. Over HTTP/2 and HTTP/3 there is one
 * connection with so many requests in flight, over HTTP/1.1 so many connections with one each. Every value is checked.
 *
 *   bun run bench:http-versions [--rounds 5] [--streams 64]
 */
import { parseArgs } from "node:util";
import { makeCertificate } from "../support/certificate";
import { type Call, fetchOver } from "../support/http-calls";
import { cpuSeconds, placement } from "./peers/cpu";
import { spreadTable } from "./peers/report";
import { type RunningServer, startBreadbox } from "./peers/servers";

const WARMUP_MS = 500;
const MEASURE_MS = 1500;
const VALUE = "v".repeat(64);

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, streams: { type: "string", default: "64" } },
});
const streams = Number(values.streams);
const { server: cores } = placement();
const { certFile, keyFile } = await makeCertificate("bench");
const plain = ["--workers", "1"];
const tls = [...plain, "--tls-cert", certFile, "--tls-key", keyFile];

const sides: [text: string, scheme: string, flags: string[], call: Call][] = [
  [`HTTP/1.1, ${streams} connections`, "http", plain, fetchOver("HTTP/1.1")],
  [`HTTP/1.1 with TLS, ${streams} connections`, "https", tls, fetchOver("HTTP/1.1")],
  [`HTTP/2 with TLS, one connection, ${streams} streams`, "https", [...tls, "--http2"], fetchOver("HTTP/2")],
  [`HTTP/3, one connection, ${streams} streams`, "https", [...tls, "--http3"], fetchOver("HTTP/3")],
];

/** Microseconds of the server's CPU for a request. */
async function measure({ pid, port }: RunningServer, scheme: string, call: Call): Promise<number> {
  const url = `${scheme}://127.0.0.1:${port}/kv/key`;
  await call(url, { method: "PUT", body: VALUE });
  let answers = 0;
  let isOver = false;
  const ask = async () => {
    while (!isOver) {
      if ((await (await call(url)).text()) !== VALUE) throw new Error("a wrong value");
      answers++;
    }
  };
  const all = Array.from({ length: streams }, ask);
  await Bun.sleep(WARMUP_MS);
  const [answersBefore, cpuBefore] = [answers, cpuSeconds(pid)];
  await Bun.sleep(MEASURE_MS);
  const perRequest = ((cpuSeconds(pid) - cpuBefore) / (answers - answersBefore)) * 1e6;
  isOver = true;
  await Promise.all(all);
  return perRequest;
}

const figures = sides.map((): number[] => []);
for (let round = 0; round < Number(values.rounds); round++)
  for (const [i, [, scheme, flags, call]] of sides.entries()) {
    const server = await startBreadbox(undefined, flags, cores);
    figures[i]!.push(await measure(server, scheme, call));
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
