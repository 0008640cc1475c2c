/**
 * Answers that are much longer than what asks for them: many connections at once must not make the server hold more than
 * --max-buffered allows, and must not make others wait for all of them.
 */
import { expect, test } from "bun:test";
import { connect as connectHttp2, constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { request } from "../support/frames";
import { peakResidentBytes } from "../support/process";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const MB = 1 << 20;
const CONNECTIONS = 60;
const GETS = 10;
const FLAGS = ["--memory", "64mb", "--max-value", "8mb", "--max-buffered", "32mb", "--workers", "1"];
/** Each byte of this value takes six characters in JSON. */
const VALUE = Buffer.alloc(MB / 4, 1);
const REQUEST = JSON.stringify(Array.from({ length: GETS }, (_, id) => ({ op: "get", key: "ones", id })));
const TWO_MB = new Uint8Array(2 * MB);
const PING = request({ op: 10, value: Buffer.from("on") });
/**
 * What the server may take beside the store: the answers as characters and once more as bytes, in Bun's hands and in the
 * kernel's, and the garbage of one collection.
 */
const HELD_MAX = 500 * MB;

interface Item {
  status: string;
  code?: string;
  id: number;
  value?: string;
}

async function serverWithOnes(): Promise<TestServer> {
  const server = await startServer({ flags: FLAGS });
  const stored = await fetch(`${server.http}/kv/ones`, { method: "PUT", body: VALUE });
  expect(stored.status).toBe(204);
  return server;
}

/** Every request is answered in its place, with the value or with BUSY; returns how many had the value. */
function checkAnswers(text: string): number {
  const answers = JSON.parse(text) as Item[];
  expect(answers.map(({ id }) => id)).toEqual(Array.from({ length: GETS }, (_, id) => id));
  const found = answers.filter(({ status }) => status === "OK");
  expect(found.every(({ value }) => value === VALUE.toString("latin1"))).toBe(true);
  expect(answers.every(({ status, code }) => status === "OK" || code === "BUSY")).toBe(true);
  return found.length;
}

async function expectBounded(server: TestServer): Promise<void> {
  expect(peakResidentBytes(server.process.pid)).toBeLessThan(HELD_MAX);
  expect(await server.stop()).toBe(0);
}

test("text messages whose answers are large", async () => {
  const server = await serverWithOnes();
  const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => WireClient.connect(server.ws)));
  const other = await WireClient.connect(server.ws);
  let answered = 0;
  const answers = clients.map(async (client) => {
    client.sendText(REQUEST);
    const text = (await client.message()) as string;
    answered++;
    return checkAnswers(text);
  });
  // What others ask is answered in between.
  expect(await other.ask(PING)).toEqual([{ status: "VALUE", value: Buffer.from("on") }]);
  expect(answered).toBeLessThan(CONNECTIONS / 2);
  const found = await Promise.all(answers);
  expect(Math.max(...found)).toBeGreaterThan(0);
  for (const client of [...clients, other]) client.close();
  await expectBounded(server);
});

/** Sends a request, reads the head of its answer and then nothing until `go` resolves; resolves with all of the answer. */
function unreadUntil(port: number, text: string, go: Promise<unknown>) {
  const socket = connect(port, "127.0.0.1");
  const pieces: Buffer[] = [];
  const begun = Promise.withResolvers<void>();
  socket.on("error", () => {});
  socket.on("data", (piece) => {
    pieces.push(piece as Buffer);
    if (pieces.length > 1) return;
    socket.pause();
    begun.resolve();
    void go.then(() => socket.resume());
  });
  socket.write(text);
  const whole = new Promise<Buffer>((resolve) => socket.on("close", () => resolve(Buffer.concat(pieces))));
  return { begun: begun.promise, whole };
}

/** Status and body of an answer that was taken off a socket as it came. */
function parseHttp(answer: Buffer): { status: number; body: Buffer } {
  const end = answer.indexOf("\r\n\r\n");
  const head = answer.toString("latin1", 0, end);
  const status = Number(head.split(" ")[1]);
  const body = answer.subarray(end + 4);
  return { status, body: /transfer-encoding: chunked/i.test(head) ? unchunked(body) : body };
}

function unchunked(bytes: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; ;) {
    const line = bytes.indexOf("\r\n", at);
    const length = Number.parseInt(bytes.toString("latin1", at, line), 16);
    if (length === 0) return Buffer.concat(pieces);
    pieces.push(bytes.subarray(line + 2, line + 2 + length));
    at = line + 2 + length + 2;
  }
}

test("POST /batch whose answers nobody reads", async () => {
  const server = await serverWithOnes();
  const go = Promise.withResolvers<void>();
  const head = `POST /batch HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${REQUEST.length}\r\n\r\n`;
  const batches = Array.from({ length: CONNECTIONS / 3 }, () =>
    unreadUntil(server.port, head + REQUEST, go.promise),
  );
  await Promise.all(batches.map(({ begun }) => begun));
  // Others are served while all these wait.
  expect((await fetch(`${server.http}/healthz`)).status).toBe(200);
  go.resolve();
  const found = await Promise.all(
    batches.map(async ({ whole }) => {
      const { status, body } = parseHttp(await whole);
      expect(status).toBe(200);
      return checkAnswers(body.toString());
    }),
  );
  expect(Math.max(...found)).toBeGreaterThan(0);
  await expectBounded(server);
});

test("a long answer to /batch lets others in between, however fast it is read", async () => {
  const server = await serverWithOnes();
  let isOver = false;
  const body = JSON.stringify(Array.from({ length: 200 }, () => ({ op: "get", key: "ones" })));
  const batch = fetch(`${server.http}/batch`, { method: "POST", body })
    .then((response) => response.json())
    .then((answers) => {
      isOver = true;
      return answers as Item[];
    });
  // Each of these needs a turn of its own, on a connection of its own.
  let answered = 0;
  while (!isOver) {
    expect((await fetch(`${server.http}/healthz`, { keepalive: false })).status).toBe(200);
    answered++;
  }
  expect(answered).toBeGreaterThan(20);
  expect((await batch).every(({ status }) => status === "OK")).toBe(true);
  expect(await server.stop()).toBe(0);
});

test("batches over HTTP/2 that are given up cost no more than their turn, and give back what they held", async () => {
  const server = await startServer({ flags: [...FLAGS, "--http2", "--worker-timeout", "2s"] });
  await fetch(`${server.http}/kv/ones`, { method: "PUT", body: Buffer.alloc(4 * MB, 1) });
  const client = connectHttp2(server.http);
  const batch = JSON.stringify(Array.from({ length: 100 }, () => ({ op: "get", key: "ones" })));
  await Promise.all(
    Array.from({ length: 40 }, async () => {
      const stream = client.request({ ":method": "POST", ":path": "/batch" });
      stream.on("error", () => {});
      const closed = new Promise((resolve) => stream.on("close", resolve));
      stream.end(batch, () => stream.close(constants.NGHTTP2_CANCEL));
      await closed;
    }),
  );
  client.destroy();
  const stored = await fetch(`${server.http}/kv/next`, { method: "PUT", body: Buffer.alloc(8 * MB, 1) });
  expect(stored.status).toBe(204);
  const stats = (await (await fetch(`${server.http}/stats`)).json()) as Record<string, number>;
  expect([stats.workerHangs, stats.workerRestarts]).toEqual([0, 0]);
  expect(await server.stop()).toBe(0);
});

test("values that nobody reads are refused with 503 when there is no room, and given again when there is", async () => {
  const server = await startServer({ flags: FLAGS });
  // More than the kernel takes of an answer.
  const large = Buffer.alloc(8 * MB, 97);
  await fetch(`${server.http}/kv/large`, { method: "PUT", body: large });
  const go = Promise.withResolvers<void>();
  const head = "GET /kv/large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  const gets = Array.from({ length: 30 }, () => unreadUntil(server.port, head, go.promise));
  await Promise.all(gets.map(({ begun }) => begun));
  go.resolve();
  const answers = await Promise.all(gets.map(async ({ whole }) => parseHttp(await whole)));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 503]));
  for (const { status, body } of answers)
    if (status === 200) expect(body.equals(large)).toBe(true);
    else expect(body.toString()).toContain("--max-buffered");
  expect((await fetch(`${server.http}/kv/large`)).status).toBe(200);
  await expectBounded(server);
});

test("bodies that are on their way count from their head on", async () => {
  const server = await startServer({ flags: FLAGS });
  const put = (n: number) =>
    `PUT /kv/b${n} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${2 * MB}\r\n\r\n`;
  const half: Socket[] = [];
  const status = async () => {
    const response = await fetch(`${server.http}/kv/next`, { method: "PUT", body: TWO_MB });
    await response.bytes();
    return response.status;
  };
  // Each speaks for two megabytes and sends none of them: after sixteen there is no room for another body.
  do {
    const socket = connect(server.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write(put(half.length));
    half.push(socket);
    expect(half.length).toBeLessThan(100);
  } while ((await status()) !== 503);
  expect(half.length).toBeGreaterThanOrEqual(16);
  for (const socket of half) socket.destroy();
  while ((await status()) !== 204);
  await expectBounded(server);
});
