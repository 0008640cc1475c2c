/**
 * Nothing of a key, a value, a token or a secret is ever in a log line, a metric, the stats or an error's message. Every
 * transport is used, rightly and wrongly, with marked ones, at log level debug, while workers throw, die and have bugs;
 * then everything that the server has said is searched for the mark.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect as connectTcp } from "node:net";
import { CacheError, connect } from "../../src/client/client";
import { replies, request } from "../support/frames";
import { frame, RawSocket } from "../support/raw-socket";
import { jsonWebToken, scopedToken } from "../support/scoped";
import { startServer, type TestServer } from "../support/server";
import { temporaryFile } from "../support/temporary";
import { WireClient } from "../support/wire-client";

const MARK = "zqx";
const KEY = `${MARK}-key`;
const VALUE = `${MARK}-value`;
const TOKEN = `${MARK}-token-for-everything`;
const READER = `${MARK}-token-for-reading`;
const WRONG = `${MARK}-token-that-is-wrong`;
const SECRET = `${MARK}-secret-of-at-least-32-bytes-in-all`;
const SCOPED = scopedToken(`${KEY}:mine:`, ["get", "put", "scan"], 3600, SECRET);
const FORGED = jsonWebToken({ prefix: KEY, allow: ["get"], exp: 4e9 }, { secret: WRONG.repeat(2) });
const FAULTY = new URL("../faults/faulty-server.ts", import.meta.url).pathname;

let server: TestServer;
let stdout: Promise<string>;
/** Every error message and close reason that a client was sent. */
const said: string[] = [];
const tokenFile = temporaryFile("silence-tokens", `all ${TOKEN}\nread ${READER}\n`);
const secretFile = temporaryFile("silence-secrets", `${SECRET}\n`);

beforeAll(async () => {
  server = await startServer({
    program: FAULTY,
    flags: [
      ...["--log-level", "debug", "--token-file", tokenFile, "--token-secret-file", secretFile],
      ...["--max-key", "64", "--max-value", "1kb", "--max-message", "64kb", "--auth-failures", "1000000"],
    ],
  });
  stdout = new Response(server.process.stdout).text();
});

afterAll(() => server.process.kill("SIGKILL"));

const TOKENS = [TOKEN, READER, SCOPED];

async function http(path: string, init: RequestInit = {}, token = TOKEN): Promise<void> {
  const headers = { Authorization: `Bearer ${token}`, ...(init.headers as Record<string, string>) };
  const response = await fetch(server.http + path, { ...init, headers });
  const text = await response.text();
  if (response.status >= 400) said.push(text, JSON.stringify([...response.headers]));
  if (path === "/batch" && response.ok)
    said.push(
      ...(JSON.parse(text) as any[]).filter(({ status }) => status === "ERROR").map((e) => JSON.stringify(e)),
    );
}

const post = (path: string, body: string, token?: string) => http(path, { method: "POST", body }, token);

/** Everything that can be said about one key, rightly and wrongly. */
async function overHttp(token: string): Promise<void> {
  const long = KEY.repeat(20);
  await Promise.all([
    ...[KEY, `${KEY}:mine:1`, long].flatMap((key) => [
      post("/put", JSON.stringify({ key, value: VALUE }), token),
      post("/put", JSON.stringify({ key, value: VALUE, ttl: 60_000 }), token),
      http(`/get?key=${key}`, {}, token),
      http(`/kv/${key}`, { method: "PUT", body: VALUE }, token),
      http(`/kv/${key}`, { method: "PUT", body: VALUE.repeat(1000) }, token),
      http(`/kv/${key}?ttl=${VALUE}`, { method: "PUT", body: VALUE }, token),
      http(`/kv/${key}`, { headers: { "If-Match": `"${VALUE}"` } }, token),
      http(`/kv/${key}`, { method: "PUT", body: VALUE, headers: { "If-None-Match": VALUE } }, token),
      http(`/kv/${key}`, { method: "DELETE", headers: { "If-Match": `"${VALUE}"` } }, token),
      http(`/kv/${key}`, { method: "PATCH", body: VALUE }, token),
      http(`/kv/${key}`, { headers: { Origin: `https://${VALUE}` } }, token),
      http(`/kv/${key}`, { headers: { Host: VALUE } }, token),
      http(`/${key}/${VALUE}?key=${key}`, {}, token),
      http(`/kv/${key}/`, { method: "MKCOL" }, token),
      http(`/kv/${key}`, { method: "PROPFIND" }, token),
      http(`/v8/artifacts/${key}?slug=${VALUE}:`, {}, token),
      http(`/v8/artifacts/${key}`, { method: "PUT", headers: { "x-artifact-tag": `"${VALUE}` } }, token),
      http(`/v1/cache/${key}.`, { method: "PUT", body: VALUE }, token),
      http(`/unstorage/${key}`, { method: "PUT", body: VALUE, headers: { "x-ttl": VALUE } }, token),
      post("/upstash", JSON.stringify(["SET", key, VALUE, "NX", "XX"]), token),
      post("/upstash", JSON.stringify(["SET", key, VALUE.repeat(1000)]), token),
      post("/upstash", JSON.stringify({ [key]: VALUE }), token),
      post("/upstash/multi-exec", JSON.stringify([["GET", key, VALUE]]), token),
      http(`/upstash/incr/${key}/${VALUE}?_token=${token}`, {}, token),
      http(`/upstash/get/${key}?_token=${WRONG}`, { headers: { Authorization: "" } }, token),
      http(`/kv/${key}`, { headers: { Authorization: `Basic ${btoa(`${KEY}:${WRONG}`)}` } }, token),
    ]),
    http(`/kv/${KEY}%FF`, {}, token),
    http(`/get?key=${KEY}%`, {}, token),
    ...[
      `${KEY} ${VALUE}`,
      `{"key":"${KEY}","value":"${VALUE}"`,
      `{"key":"${KEY}","value":{"${VALUE}":"${VALUE}"}}`,
      `{"key":["${KEY}"],"value":"${VALUE}"}`,
      `{"key":"${KEY}","value":"${VALUE}","encoding":"base64"}`,
      `{"key":"${KEY}","value":"${VALUE}","encoding":"${VALUE}"}`,
      `{"key":"${KEY}","value":"${VALUE}","ttl":"${VALUE}"}`,
      `{"key":"${KEY}","value":"${VALUE}","if":"${VALUE}"}`,
      `{"key":"${KEY}","value":"${VALUE}\\ud800"}`,
      `"${VALUE}"`,
      `[{"op":"get","key":"${KEY}"},{"op":"${VALUE}"},"${VALUE}",{"op":"add","key":"${KEY}","delta":"${VALUE}"}]`,
    ].flatMap((body) => [
      post("/put", body, token),
      post("/batch", body, token),
      post("/batch", `[${body}]`, token),
    ]),
  ]);
}

function requestsAbout(key: string): Buffer[] {
  const value = Buffer.from(VALUE);
  const one = Buffer.from("0100000000000000", "hex");
  return [
    request({ op: 2, key, value }),
    request({ op: 1, key }),
    request({ op: 5, key, value: one }),
    request({ op: 6, key, value: Buffer.alloc(2000, VALUE) }),
    request({ op: 2, key, value, version: 1n }),
    request({ op: 8, key, value: Buffer.alloc(0) }),
    request({ op: 3, key, version: 7n }),
    request({ op: 7, key }),
    request({ op: 11, key }),
    request({ op: 0x7f, key, value }),
    request({ op: 1, key: key.repeat(30) }),
    request({ op: 9, key }),
  ];
}

/** Error texts of a message of replies. */
function errorsIn(message: Buffer): string[] {
  return replies(message).flatMap((reply) => (reply.status === "ERROR" ? [reply.message] : []));
}

async function overFrames(token: string): Promise<void> {
  const open = () => WireClient.connect(server.ws, { headers: { Authorization: `Bearer ${token}` } });
  const client = await open();
  for (const key of [KEY, `${KEY}:mine:1`])
    for (const reply of await client.ask(...requestsAbout(key)))
      if (reply.status === "ERROR") said.push(reply.message);
  for (const text of [
    KEY,
    `{"op":"get","key":"${KEY}"`,
    `{"op":"${VALUE}","key":"${KEY}"}`,
    `{"op":"put","key":"${KEY}","value":["${VALUE}"]}`,
    `{"op":"scan","prefix":"${KEY}","cursor":"${VALUE}"}`,
    `{"op":"add","key":"${KEY}","delta":"1"}`,
    `[{"op":"clear","prefix":"${KEY}"},{"op":"put","key":"${KEY.repeat(20)}","value":"${VALUE}"}]`,
  ]) {
    client.sendText(text);
    const answers = [JSON.parse((await client.message()) as string)].flat();
    for (const answer of answers) if (answer.status === "ERROR") said.push(JSON.stringify(answer));
  }
  client.close();
  // Each of these ends its connection.
  for (const wrong of [
    request({ op: 1, key: KEY }).subarray(0, 8),
    request({ op: 1, key: KEY, value: Buffer.from(VALUE) }),
    Buffer.alloc(100_000, VALUE),
  ]) {
    const ending = await open();
    ending.send(wrong);
    if (wrong.length < 1000) said.push(...errorsIn((await ending.message()) as Buffer));
    said.push((await ending.closed).reason);
  }
}

/** What no well-behaved client would send: bytes, and whatever comes back before the end. */
function overTcp(bytes: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = connectTcp(server.port, "127.0.0.1", () => socket.end(bytes));
    socket.on("data", (chunk) => said.push(String(chunk)));
    socket.on("error", () => {});
    socket.on("close", () => resolve());
  });
}

async function throughClient(token: string): Promise<void> {
  const note = (error: unknown) => {
    if (!(error instanceof CacheError)) throw error;
    said.push(error.message);
  };
  const cache = await connect(server.http, { token });
  await cache.put(KEY, VALUE).catch(note);
  await cache.add(KEY).catch(note);
  await cache.get(KEY.repeat(20)).catch(note);
  await cache.clear(KEY).catch(note);
  await cache.close();
  await connect(server.http, { token: WRONG }).catch(note);
}

async function order(fault: object): Promise<void> {
  server.process.stdin.write(`${JSON.stringify(fault)}\n`);
  await server.process.stdin.flush();
}

function expectSilence(text: string): void {
  for (const written of [text, decodeURIComponent(text.replaceAll(/%(?![0-9a-f]{2})/gi, "%25"))])
    expect(written.toLowerCase()).not.toContain(MARK);
  for (const secret of [KEY, VALUE, TOKEN, READER, WRONG, SECRET])
    for (const encoding of ["hex", "base64url"] as const)
      expect(text).not.toContain(Buffer.from(secret).toString(encoding).slice(0, -2));
  for (const token of [SCOPED, FORGED]) expect(text).not.toContain(token.split(".")[1]!);
}

test("a server that is used rightly and wrongly, and fails, says nothing of what it was told", async () => {
  for (const token of TOKENS) {
    await overHttp(token);
    await overFrames(token);
    await throughClient(token);
  }
  for (const token of [WRONG, FORGED, `${SCOPED}${MARK}`]) {
    await http(`/kv/${KEY}`, {}, token);
    await WireClient.connect(server.ws, {
      protocols: [`bearer.${Buffer.from(token).toString("base64url")}`],
    }).catch((error) => said.push(error.message));
  }
  await Promise.all(
    [
      `GET /kv/${KEY} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\n${VALUE}\r\n\r\n`,
      `${KEY} ${VALUE}\r\n\r\n`,
      `PUT /kv/${KEY} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: 500\r\n\r\n${VALUE}`,
      `PUT /kv/${KEY} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n${VALUE}`,
    ].map(overTcp),
  );
  const raw = await RawSocket.connect(server.port, `Authorization: Bearer ${TOKEN}\r\n`);
  raw.read((payload) => said.push(String(payload)));
  await raw.write(frame(Buffer.concat([Buffer.from(VALUE), Buffer.from([0xff])]), 1));
  await raw.closed;

  // Files that can't be used.
  temporaryFile("silence-tokens", `all ${TOKEN}\n${MARK} ${MARK}\n`);
  temporaryFile("silence-secrets", `${MARK}\n`);
  await server.renew();

  const texts: string[] = [];
  for (const path of ["/metrics", "/stats"])
    texts.push(
      await (await fetch(server.http + path, { headers: { Authorization: `Bearer ${TOKEN}` } })).text(),
    );

  // Uncaught errors, deaths in the middle of a write, bugs while a key is being read.
  for (const [earlier, fault] of ["throw", "reject", "exit while writing"].entries()) {
    await order({ worker: 0, fault });
    await server.logged(new RegExp(`(worker 0 serves[^]*){${earlier + 2}}`));
  }
  for (const worker of [0, 1]) await order({ worker, fault: "break the store" });
  await server.logged(/worker 0 has a broken store/);
  await server.logged(/worker 1 has a broken store/);
  for (const token of TOKENS) {
    await overHttp(token);
    await overFrames(token);
  }
  expect(server.log()).toContain("a bug that a test put into the store");
  expect(said.filter((text) => text.includes("internal error")).length).toBeGreaterThan(5);

  expect(await server.stop()).toBe(0);
  texts.push(server.log(), await stdout);
  for (const text of [...texts, ...said]) expectSilence(text);
  expect(server.log()).toContain("debug");
  expect(said.length).toBeGreaterThan(300);
});
