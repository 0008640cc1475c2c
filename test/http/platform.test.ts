/**
 * What Bun does before a handler runs, and what it cannot do. Each is written down in src/http/HTTP.md; a test here that
 * fails says that Bun has changed, and that the page may say more.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { startServer, type TestServer } from "../support/server";

const MB = 1 << 20;
let server: TestServer;

beforeAll(async () => {
  server = await startServer({ flags: ["--workers", "1"] });
  await fetch(`${server.http}/kv/large`, { method: "PUT", body: Buffer.alloc(8 * MB, 97) });
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
  expect(server.log()).not.toContain(" error ");
});

interface Answer {
  text: string;
  /** The server ended the connection. */
  isClosed: boolean;
}

/** Sends bytes, and reads until the server closes or `until` has come; half-closes after the bytes where asked to. */
function send(bytes: string, until: string, halfClose = false): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect({ port: server.port, host: "127.0.0.1", allowHalfOpen: true });
    let text = "";
    const finish = (isClosed: boolean) => {
      resolve({ text, isClosed });
      socket.destroy();
    };
    socket.on("error", () => finish(true));
    socket.on("end", () => finish(true));
    socket.on("data", (piece) => {
      text += piece.toString("latin1");
      if (text.includes(until)) finish(false);
    });
    socket.write(bytes, "latin1", () => {
      if (halfClose) socket.end();
    });
  });
}

const NEVER = "\0";
const head = (line: string, ...lines: string[]) => [line, "Host: localhost", ...lines, "", ""].join("\r\n");
const get = (path: string) => head(`GET ${path} HTTP/1.1`);

/** It takes the server several turns. */
const PINGS = JSON.stringify(Array.from({ length: 9000 }, () => ({ op: "ping" })));
const LONG_BATCH = head("POST /batch HTTP/1.1", `Content-Length: ${PINGS.length}`) + PINGS;

describe("answered before a handler runs, without a body of ours, and closed", () => {
  for (const [what, bytes, status] of [
    ["no HTTP", "hello\r\n\r\n", "400"],
    ["a space before a header's colon", head("GET / HTTP/1.1", "X : y"), "400"],
    ["no Host", "GET / HTTP/1.1\r\n\r\n", "400"],
    ["two different lengths", head("PUT /kv/a HTTP/1.1", "Content-Length: 1", "Content-Length: 2"), "400"],
    [
      "a length and chunks",
      head("PUT /kv/a HTTP/1.1", "Content-Length: 1", "Transfer-Encoding: chunked"),
      "400",
    ],
    [
      "chunks that are none",
      `${head("PUT /kv/a HTTP/1.1", "Transfer-Encoding: chunked")}zz\r\nabc\r\n0\r\n\r\n`,
      "400",
    ],
    ["a head of 20 KB", head("GET / HTTP/1.1", `X: ${"x".repeat(20_000)}`), "431"],
    ["HTTP/3.0 as text", "GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", "505"],
  ] as const)
    test(`${what}: ${status}`, async () => {
      const { text, isClosed } = await send(bytes, NEVER);
      expect(text.split("\r\n")[0]).toStartWith(`HTTP/1.1 ${status}`);
      expect(text).not.toContain("{");
      expect(isClosed).toBe(true);
    });

  test("an unknown method: nothing but the end of the connection", async () => {
    expect(await send(head("BREW /kv/a HTTP/1.1"), NEVER)).toEqual({ text: "", isClosed: true });
  });
});

describe("what Bun cannot do", () => {
  test("dot segments in /kv/ are resolved before the key is read; /get and /put take such keys", async () => {
    await fetch(`${server.http}/kv/b`, { method: "PUT", body: "of b" });
    const { text } = await send(get("/kv/a/../b"), "of b");
    expect(text).toStartWith("HTTP/1.1 200");
    const body = JSON.stringify({ key: "a/../b", value: "own" });
    await fetch(`${server.http}/put`, { method: "POST", body });
    expect(await (await fetch(`${server.http}/get?key=a/../b`)).json()).toMatchObject({ value: "own" });
  });

  test("bytes in a path that are neither percent-encoded nor UTF-8 are read as U+FFFD, whichever they are", async () => {
    await fetch(`${server.http}/kv/%EF%BF%BD`, { method: "PUT", body: "of U+FFFD" });
    for (const path of ["/kv/\xff", "/kv/\xfe"])
      expect((await send(get(path), "of U+FFFD")).text).toStartWith("HTTP/1.1 200");
  });

  test("trailers behind chunks are taken for a request that is none; the one before is answered, and nothing in them is executed", async () => {
    const put = (key: string) =>
      `${head(`PUT /kv/${key} HTTP/1.1`, "Transfer-Encoding: chunked")}1\r\nv\r\n0\r\n`;
    for (const trailer of [
      "Checksum: 1",
      "PUT /kv/smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0",
    ]) {
      const { text, isClosed } = await send(`${put("trailed")}${trailer}\r\n\r\n`, NEVER);
      expect(text.match(/HTTP\/1.1 \d+/g)).toEqual(["HTTP/1.1 204", "HTTP/1.1 400"]);
      expect(isClosed).toBe(true);
    }
    expect((await fetch(`${server.http}/kv/smuggled`)).status).toBe(404);
  });

  test("with a request pipelined behind it, an answer that the kernel does not take whole is cut off, and so is the request", async () => {
    const socket = connect(server.port, "127.0.0.1");
    let text = "";
    socket.pause();
    socket.write(get("/kv/large") + get("/healthz"));
    const closed = new Promise((resolve) => socket.on("close", resolve));
    // It waits for the answer to stand in the kernel's buffers before it reads.
    await new Promise((resolve) => socket.once("readable", resolve));
    socket.on("data", (piece) => (text += piece.toString("latin1")));
    await closed;
    expect(text).toStartWith("HTTP/1.1 200");
    expect(text.length).toBeLessThan(8 * MB);
  });

  test("with a request pipelined behind it, one that is not answered within its turn is cut off", async () => {
    expect((await send(LONG_BATCH, "]")).text).toContain("200 OK");
    expect(await send(LONG_BATCH + get("/healthz"), NEVER)).toEqual({ text: "", isClosed: true });
  });

  test("a client that closes its half is answered only within the turn of its request", async () => {
    expect((await send(get("/healthz"), NEVER, true)).text).toStartWith("HTTP/1.1 200");
    // This one waits for somebody else's lease, so its turn is certainly over when the half-close arrives.
    await fetch(`${server.http}/kv/leased?lease=60s`);
    expect((await send(get("/kv/leased?lease=60s&wait=60s"), NEVER, true)).text).toBe("");
  });

  test("over HTTP/2, a client that sends a PING now and then is never ended; a body that drips in is", async () => {
    const patient = await startServer({ flags: ["--client-timeout", "8s", "--http2"] });
    const pinging = connectHttp2(patient.http);
    let isEnded = false;
    pinging.on("close", () => (isEnded = true));
    const timer = setInterval(() => pinging.ping(() => {}), 1000);
    // A byte of each body now and then puts off Bun's timeout, but not ours, which is longer than one of Bun's.
    const dripped = await Promise.all([
      drip(patient.http, "PUT", { "content-length": "100000" }),
      drip(patient.http, "PUT", {}),
      drip(patient.http, "DELETE", {}),
    ]);
    expect(dripped).toEqual([408, 408, 404]);
    expect(isEnded).toBe(false);
    clearInterval(timer);
    pinging.destroy();
    // What they held of the quota is there again, and nothing was stored.
    expect((await fetch(`${patient.http}/kv/dripped`)).status).toBe(404);
    expect(await patient.stop()).toBe(0);
  }, 60_000);
});

/** Sends a request over HTTP/2 whose body never ends; resolves with the answer's status. */
function drip(url: string, method: string, headers: Record<string, string>): Promise<number> {
  const client = connectHttp2(url);
  const stream = client.request({ ":method": method, ":path": "/kv/dripped", ...headers });
  const timer = setInterval(() => stream.write("x"), 500);
  return new Promise((resolve, reject) => {
    stream.on("error", reject);
    stream.on("response", (answer) => {
      clearInterval(timer);
      resolve(answer[":status"] as number);
      client.destroy();
    });
  });
}
