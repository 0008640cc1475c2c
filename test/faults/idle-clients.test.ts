/**
 * Clients that do not do their part, all at once: each is ended by --client-timeout, and one that does its part, on the
 * same workers, notices nothing. What is waited for is each connection's end.
 */
import { expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { makeCertificate } from "../support/certificate";
import { request } from "../support/frames";
import { frame, HANDSHAKE, RawSocket } from "../support/raw-socket";
import { startServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const MB = 2 ** 20;
const PING = request({ op: 10, value: Buffer.from("on") });
/** Twice a second: whatever it writes resets a timer that counts bytes. */
const DRIBBLE_MS = 500;

/** A TCP connection that sends `first`, then `more` again and again until the server ends it. */
function plain(port: number, first: string, more = ""): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  if (first !== "") socket.write(first);
  return endOf(socket, more);
}

function endOf(socket: Socket, more: string | Buffer): Promise<void> {
  const timer = more.length > 0 ? setInterval(() => socket.write(more), DRIBBLE_MS) : undefined;
  socket.on("error", () => {});
  socket.resume();
  return new Promise((resolve) =>
    socket.on("close", () => {
      clearInterval(timer);
      resolve();
    }),
  );
}

/** An upgraded connection that sends `first`, then `more` again and again; it reads and answers no ping. */
async function upgraded(port: number, first: number[], more: number[] = []): Promise<void> {
  const raw = await RawSocket.connect(port);
  const end = endOf(raw.socket, Buffer.from(more));
  if (first.length > 0) await raw.write(Buffer.from(first));
  await end;
}

/** The open connections, as the server counts them. */
async function openConnections(other: WireClient): Promise<number> {
  const [stats] = await other.ask(request({ op: 11 }));
  if (stats?.status !== "VALUE") throw new Error("no stats");
  return (JSON.parse(stats.value.toString()) as { connections: number }).connections;
}

/** Asks for 40 MB and reads nothing, but goes on sending: it does not see its own end, so stats have to. */
async function neverReading(port: number): Promise<() => void> {
  const raw = await RawSocket.connect(port);
  raw.socket.pause();
  await raw.send(FORTY_MB);
  const timer = setInterval(() => void raw.send(PING), DRIBBLE_MS);
  return () => {
    clearInterval(timer);
    raw.destroy();
  };
}

/** The same, and reads a byte a second. By a shell: sockets of a runtime read ahead. */
function hardlyReading(port: number): () => void {
  const bytes = Buffer.concat([Buffer.from(HANDSHAKE("/ws")), frame(FORTY_MB, 2)]);
  const escaped = [...bytes].map((byte) => `\\0${byte.toString(8).padStart(3, "0")}`).join("");
  const script = `exec 3<>"/dev/tcp/127.0.0.1/${port}"; printf %b "$0" >&3; while dd bs=1 count=1 <&3; do sleep 1; done`;
  const shell = Bun.spawn(["bash", "-c", script, escaped], { stdout: "ignore", stderr: "ignore" });
  return () => shell.kill();
}

/** Asks for a value over plain HTTP and does not read it; resolves, when called, with the bytes that came before the end. */
function neverReadingHttp(port: number): () => Promise<number> {
  const socket = connect(port, "127.0.0.1");
  socket.pause();
  socket.on("error", () => {});
  const closed = new Promise((resolve) => socket.on("close", resolve));
  socket.write("GET /kv/huge HTTP/1.1\r\nHost: localhost\r\n\r\n");
  return async () => {
    let bytes = 0;
    socket.on("data", (chunk) => (bytes += chunk.length));
    socket.resume();
    await closed;
    return bytes;
  };
}

const FORTY_MB = Buffer.concat(Array.from({ length: 40 }, () => request({ op: 1, key: "big" })));
const BODY = "PUT /kv/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";
/** The head of a masked binary message of 1 MiB, and its first bytes. */
const HALF_FRAME = [0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 1, 2, 3];

/** TLS connections that never say who they are. */
async function withoutHandshake(): Promise<void> {
  const { certFile, keyFile } = await makeCertificate("silent");
  const flags = ["--client-timeout", "8s", "--tls-cert", certFile, "--tls-key", keyFile];
  const server = await startServer({ flags });
  await Promise.all([plain(server.port, ""), plain(server.port, "\x16\x03\x01\x02")]);
  expect(await server.stop()).toBe(0);
}

test("every kind of client that leaves the server waiting is ended; who does its part is not", async () => {
  const server = await startServer({ flags: ["--client-timeout", "8s", "--memory", "64mb"] });
  const { port } = server;
  const other = await WireClient.connect(server.ws);
  // Quiet, but it answers pings, as every WebSocket does by itself.
  const quiet = await WireClient.connect(server.ws);
  await other.ask(request({ op: 2, key: "big", value: Buffer.alloc(MB) }));
  await other.ask(request({ op: 2, key: "huge", value: Buffer.alloc(7 * MB) }));
  const unread = neverReadingHttp(port);
  const stop = [await neverReading(port), hardlyReading(port)];
  await Promise.all([
    withoutHandshake(),
    plain(port, ""),
    plain(port, "GET / HT"),
    plain(port, "GET / HTTP/1.1\r\nX: ", "x"),
    plain(port, BODY),
    plain(port, BODY, "b"),
    plain(
      port,
      "PUT /kv/slow HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
      "1\r\nb\r\n",
    ),
    plain(port, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    upgraded(port, []),
    upgraded(port, HALF_FRAME),
    upgraded(port, HALF_FRAME, [1]),
    // Malformed, so that the server says goodbye; nobody answers it.
    upgraded(port, [0x82, 0x81, 0, 0, 0, 0, 1]),
    // A fragment of a message that never ends, then empty fragments: whole frames, and never a message.
    upgraded(port, [0x02, 0x81, 0, 0, 0, 0, 1], [0x00, 0x80, 0, 0, 0, 0]),
  ]);
  while ((await openConnections(other)) > 2) await other.ask(PING);
  for (const end of stop) end();
  expect(await unread()).toBeLessThan(7 * MB);
  expect(await quiet.ask(PING)).toEqual([{ status: "VALUE", value: Buffer.from("on") }]);
  const stats = (await (await fetch(`${server.http}/stats`)).json()) as { connectionsCut: number };
  // Of the WebSockets above; the two that are left are not among them.
  expect(stats.connectionsCut).toBe(6);
  quiet.close();
  other.close();
  expect(await server.stop()).toBe(0);
});
