/**
 * Starts a server, loads a million entries over WebSocket, reads all of them back and compares, then measures batches
 * and single requests on one worker. CPU is what the kernel charges the server's process, so the load's own does not count.
 *
 *   bun run bench:throughput [--entries 1000000] [--seconds 3]
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { startServer, type TestServer } from "../support/server";

const { values } = parseArgs({
  options: { entries: { type: "string", default: "1000000" }, seconds: { type: "string", default: "3" } },
});
const ENTRIES = Number(values.entries);
const SECONDS = Number(values.seconds);
const KEY_BYTES = 13;
const VALUE_BYTES = 64;
const GET_BYTES = 4 + KEY_BYTES;
const PUT_BYTES = 8 + KEY_BYTES + VALUE_BYTES;
const HIT_BYTES = 5 + VALUE_BYTES;

function writeKey(frame: Buffer, at: number, n: number): void {
  frame.write(`key:${String(n).padStart(KEY_BYTES - 4, "0")}`, at, "latin1");
}

function gets(from: number, count: number, keys = ENTRIES): Buffer {
  const batch = Buffer.alloc(count * GET_BYTES);
  for (let i = 0, at = 0; i < count; i++, at += GET_BYTES) {
    batch[at] = 0x01;
    batch.writeUInt16LE(KEY_BYTES, at + 2);
    writeKey(batch, at + 4, (from + i) % keys);
  }
  return batch;
}

/** Values are the key, then the last digit of its number: each proves whose it is. */
function puts(from: number, count: number, keys = ENTRIES): Buffer {
  const batch = Buffer.alloc(count * PUT_BYTES);
  for (let i = 0, at = 0; i < count; i++, at += PUT_BYTES) {
    const n = (from + i) % keys;
    batch[at] = 0x02;
    batch[at + 1] = 0x01;
    batch.writeUInt16LE(KEY_BYTES, at + 2);
    batch.writeUInt32LE(VALUE_BYTES, at + 4);
    writeKey(batch, at + 8, n);
    writeKey(batch, at + 8 + KEY_BYTES, n);
    batch.fill(n % 256, at + 8 + 2 * KEY_BYTES, at + PUT_BYTES);
  }
  return batch;
}

function open(server: TestServer): Promise<WebSocket> {
  const socket = new WebSocket(server.ws);
  socket.binaryType = "arraybuffer";
  return new Promise((resolve) => socket.addEventListener("open", () => resolve(socket)));
}

/** Keeps `depth` batches of each connection in flight until all are sent; calls with every message. */
async function pump(
  sockets: WebSocket[],
  depth: number,
  next: () => Buffer | null,
  onMessage: (data: Buffer) => void,
): Promise<void> {
  await Promise.all(
    sockets.map((socket) => {
      let open = 0;
      let ended = false;
      return new Promise<void>((resolve) => {
        const feed = () => {
          while (open < depth && !ended) {
            const batch = next();
            if (batch === null) ended = true;
            else {
              open++;
              socket.send(batch as Buffer<ArrayBuffer>);
            }
          }
          if (ended && open === 0) resolve();
        };
        socket.onmessage = (event) => {
          open--;
          onMessage(Buffer.from(event.data as ArrayBuffer));
          feed();
        };
        feed();
      });
    }),
  );
}

/** The kernel's unit in /proc/PID/stat. */
const TICKS_PER_SECOND = 100;
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) * 1024;
}

async function loadAndReadBack(server: TestServer): Promise<void> {
  const pid = server.process.pid;
  const sockets = await Promise.all(Array.from({ length: 4 }, () => open(server)));
  const batch = 500;
  // Warms the paths up with entries that the load then overwrites, so that what grows is the store.
  await pump(
    sockets,
    2,
    batches(200, () => puts(0, batch)),
    () => {},
  );
  await Bun.sleep(2000);
  const before = residentBytes(pid);
  const warm = Math.min(batch, ENTRIES);
  let at = 0;
  let started = performance.now();
  let cpu = cpuSeconds(pid);
  await pump(
    sockets,
    2,
    () => (at >= ENTRIES ? null : puts((at += batch) - batch, batch)),
    (reply) => {
      if (!reply.every((status) => status === 0)) throw new Error("a put was refused");
    },
  );
  let seconds = (performance.now() - started) / 1000;
  const loadCpu = cpuSeconds(pid) - cpu;
  // Messages that were worked off are garbage; after an idle moment they are collected, before as after.
  await Bun.sleep(2000);
  const grown = (residentBytes(pid) - before) / (ENTRIES - warm);
  console.log(`load       ${ENTRIES} entries in ${seconds.toFixed(2)} s, ${perOperation(loadCpu, ENTRIES)}`);
  console.log(
    `memory     ${(grown - KEY_BYTES - VALUE_BYTES).toFixed(1)} bytes an entry beyond key and value (growth of resident memory)`,
  );

  at = 0;
  let wrong = 0;
  let read = 0;
  started = performance.now();
  cpu = cpuSeconds(pid);
  await pump(
    sockets,
    1,
    () => (at >= ENTRIES ? null : gets((at += batch) - batch, batch)),
    (reply) => {
      read += reply.length / HIT_BYTES;
      for (let offset = 0; offset < reply.length; offset += HIT_BYTES) {
        const n = Number(reply.toString("latin1", offset + 9, offset + 5 + KEY_BYTES));
        const expected = puts(n, 1).subarray(8 + KEY_BYTES);
        if (
          reply[offset] !== 1 ||
          reply.compare(expected, 0, VALUE_BYTES, offset + 5, offset + HIT_BYTES) !== 0
        )
          wrong++;
      }
    },
  );
  seconds = (performance.now() - started) / 1000;
  console.log(
    `read back  ${ENTRIES} entries in ${seconds.toFixed(2)} s, ${wrong} wrong, ${perOperation(cpuSeconds(pid) - cpu, ENTRIES)}`,
  );
  for (const socket of sockets) socket.close();
  if (wrong > 0 || read !== ENTRIES) process.exitCode = 1;
}

/** A feed that ends after `count` batches. */
function batches(count: number, make: () => Buffer): () => Buffer | null {
  return () => (count-- > 0 ? make() : null);
}

async function steady(
  server: TestServer,
  name: string,
  connections: number,
  batch: number,
  getShare: number,
): Promise<void> {
  const keys = Math.min(100_000, ENTRIES);
  const pid = server.process.pid;
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(server)));
  const prepared = Array.from({ length: 512 }, (_, i) =>
    (i / 512 < getShare ? gets : puts)((i * 7919 * batch) % keys, batch, keys),
  );
  let turn = 0;
  let done = 0;
  let until = Infinity;
  const next = () => (performance.now() > until ? null : prepared[(turn = (turn * 5 + 1) % 512)]!);
  const running = pump(sockets, 1, next, () => (done += batch));
  await Bun.sleep(700);
  const [done0, cpu0, time0] = [done, cpuSeconds(pid), performance.now()];
  await Bun.sleep(SECONDS * 1000);
  const [operations, seconds] = [done - done0, (performance.now() - time0) / 1000];
  const cpu = cpuSeconds(pid) - cpu0;
  until = 0;
  await running;
  for (const socket of sockets) socket.close();
  console.log(
    `${name.padEnd(34)} ${Math.round(operations / seconds).toLocaleString("en")} a second, ${perOperation(cpu, operations)}`,
  );
}

function perOperation(seconds: number, operations: number): string {
  return `${((seconds / operations) * 1e6).toFixed(3)} µs of CPU each`;
}

const server = await startServer({ flags: ["--workers", "1", "--memory", "1gb"] });
await loadAndReadBack(server);
await steady(server, "batches of 64, 16 connections, GET", 16, 64, 1);
await steady(server, "batches of 64, 16 connections, PUT", 16, 64, 0);
await steady(server, "batches of 64, 90 % GET", 16, 64, 0.9);
await steady(server, "one request a message, 64 conns", 64, 1, 0.9);
await server.stop();
