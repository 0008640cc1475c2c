/**
 * What idle connections cost: memory for each, and what active ones feel of them. Server and clients are processes of their
 * own. The timeout is a quarter of the default, so that every idle connection is pinged within each round.
 *
 *   bun run bench:idle [--connections 10000] [--seconds 15]      writes its section of RESULTS.md
 */
import { connect, type Socket } from "node:net";
import { parseArgs } from "node:util";
import { HANDSHAKE } from "../support/raw-socket";
import { cpuSeconds, residentBytes } from "../support/process";
import { startServer, type TestServer } from "../support/server";
import { inMicroseconds, probe, type ProbeReport } from "./prober";
import { markdownTable, writeSection } from "./results";

const { values } = parseArgs({
  options: { connections: { type: "string", default: "10000" }, seconds: { type: "string", default: "15" } },
});
const CONNECTIONS = Number(values.connections);
const SECONDS = Number(values.seconds);
const OPENING_AT_ONCE = 100;
/** Garbage of the connecting is collected in an idle moment. */
const SETTLE_MS = 3000;
/** FIN, then the ping's opcode, the mask bit and a key of zeros: the pong that answers a ping without payload. */
const PONG = Buffer.from([0x8a, 0x80, 0, 0, 0, 0]);
const PING_OPCODE = 0x89;

/** An upgraded connection that answers pings and does nothing else. */
function openIdle(server: TestServer): Promise<Socket> {
  const socket = connect(server.port, "127.0.0.1");
  return new Promise((resolve, reject) => {
    socket.once("data", (head) => {
      if (!head.toString().startsWith("HTTP/1.1 101")) return reject(new Error(head.toString()));
      socket.on("data", (frame: Buffer) => frame[0] === PING_OPCODE && socket.write(PONG));
      resolve(socket);
    });
    socket.once("error", reject);
    socket.write(HANDSHAKE("/ws"));
  });
}

async function round(
  name: string,
  server: TestServer,
  idle: number,
): Promise<{ row: string[]; report: ProbeReport }> {
  const cpu = cpuSeconds(server.process.pid);
  const report = await probe({ url: server.ws, connections: 8, batch: 16, seconds: SECONDS });
  const used = (cpuSeconds(server.process.pid) - cpu) / report.messages;
  const row = [
    name,
    String(idle),
    String(report.messages),
    ...[report.median, report.p99, report.p999, report.max].map(inMicroseconds),
    inMicroseconds(used * 1e6),
  ];
  console.log(row.join("  "));
  return { row, report };
}

const server = await startServer({ flags: ["--workers", "1", "--client-timeout", "15s"] });
const { pid } = server.process;
await round("warming up", server, 0);
await Bun.sleep(SETTLE_MS);
const before = residentBytes(pid);
const sockets: Socket[] = [];
const opening = performance.now();
while (sockets.length < CONNECTIONS) {
  const some = Math.min(OPENING_AT_ONCE, CONNECTIONS - sockets.length);
  sockets.push(...(await Promise.all(Array.from({ length: some }, () => openIdle(server)))));
}
const openedIn = (performance.now() - opening) / 1000;
await Bun.sleep(SETTLE_MS);
const bytesEach = (residentBytes(pid) - before) / CONNECTIONS;
const cpuIdle = cpuSeconds(pid);
await Bun.sleep(15_000);
const idleShare = ((cpuSeconds(pid) - cpuIdle) / 15) * 100;
const withIdle = [await round("with", server, CONNECTIONS), await round("with", server, CONNECTIONS)];
for (const socket of sockets) socket.destroy();
await Bun.sleep(SETTLE_MS);
const without = [await round("without", server, 0), await round("without", server, 0)];
const stats = (await (await fetch(`${server.http}/stats`)).json()) as { connectionsCut: number };
await server.stop();
if (stats.connectionsCut > 0) throw new Error(`${stats.connectionsCut} idle connections were ended`);

const p99 = (rounds: { report: ProbeReport }[]) =>
  rounds.reduce((sum, { report }) => sum + report.p99, 0) / rounds.length;
const table = markdownTable(
  ["idle connections", "number", "messages", "median", "p99", "p99.9", "max", "CPU a message"],
  [...withIdle, ...without].map(({ row }) => row),
);
writeSection(
  "Idle connections",
  `\`bun run bench:idle\`: one worker, ${CONNECTIONS.toLocaleString("en")} WebSockets that only answer pings (\`--client-timeout 15s\`: all of them
are pinged every 7 to 12 s, four times as often as by default), 8 active ones with messages of 16 GETs, one at a time each.

${table}

p99 with the idle ones is ${(p99(withIdle) / p99(without)).toFixed(2)} times that without. An idle connection takes ${Math.round(bytesEach)} bytes of the server's resident memory (the
kernel's own not counted); all of them together, with nobody active, ${idleShare.toFixed(1)} % of a core. They were opened in ${openedIn.toFixed(1)} s.`,
);
console.log(
  `${Math.round(bytesEach)} bytes each, ${idleShare.toFixed(1)} % of a core when idle, p99 ratio ${(p99(withIdle) / p99(without)).toFixed(2)}`,
);
