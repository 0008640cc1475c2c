/** GET /events: server-sent events, what they say, whom they are for, and how they end. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { connect as connectTcp } from "node:net";
import { SECRET, scopedToken } from "../support/scoped";
import { startServer, type StartOptions, type TestServer } from "../support/server";
import { temporaryFile } from "../support/temporary";

let server: TestServer;
let streams: Events[] = [];

afterEach(async () => {
  for (const stream of streams.splice(0)) stream.close();
  if (server.process.exitCode === null) expect(await server.stop()).toBe(0);
});

interface Event {
  event: string;
  data: any;
}

/** A reader of one stream. */
class Events {
  private text = "";
  comments = 0;

  private constructor(
    readonly response: Response,
    private readonly reader: { read(): Promise<{ done: boolean; value?: Uint8Array }> },
    private readonly abort: AbortController,
  ) {}

  static async open(query: string, headers: Record<string, string> = {}): Promise<Events> {
    const abort = new AbortController();
    const response = await fetch(`${server.http}/events${query}`, {
      headers,
      signal: abort.signal,
      keepalive: false,
    });
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
    const events = new Events(response, response.body!.getReader(), abort);
    streams.push(events);
    return events;
  }

  /** The next event, or null at the end. */
  async next(): Promise<Event | null> {
    for (;;) {
      const end = this.text.indexOf("\n\n");
      if (end < 0) {
        const { done, value } = await this.reader.read();
        if (done) return null;
        this.text += Buffer.from(value!).toString();
        continue;
      }
      const block = this.text.slice(0, end);
      this.text = this.text.slice(end + 2);
      if (block.startsWith(":")) {
        this.comments++;
        continue;
      }
      const [name, data] = /^event: (.*)\ndata: (.*)$/.exec(block)!.slice(1);
      return { event: name!, data: JSON.parse(data!) };
    }
  }

  close(): void {
    this.abort.abort();
  }
}

const start = async (options: StartOptions = {}) => (server = await startServer(options));

const put = (key: string, value: string, headers: Record<string, string> = {}) =>
  fetch(`${server.http}/kv/${key}`, { method: "PUT", body: value, headers, keepalive: false });
const remove = (key: string) => fetch(`${server.http}/kv/${key}`, { method: "DELETE", keepalive: false });
const versionOf = (response: Response) => Number(response.headers.get("etag")!.slice(1, -1));
const clear = (prefix: string) =>
  fetch(`${server.http}/batch`, {
    method: "POST",
    body: JSON.stringify([{ op: "clear", prefix }]),
    keepalive: false,
  });
const stats = async () => (await (await fetch(`${server.http}/stats`, { keepalive: false })).json()) as any;

describe("a stream", () => {
  beforeEach(() => start());

  test("says that it is ready, then every change under its prefix, and none beside it", async () => {
    const events = await Events.open("?prefix=user:");
    expect(events.response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(events.response.headers.get("cache-control")).toBe("no-store");
    expect(await events.next()).toEqual({ event: "ready", data: { prefix: "user:" } });
    const version = versionOf(await put("user:1", "x"));
    await put("other:1", "x");
    expect(await events.next()).toEqual({ event: "changed", data: { key: "user:1", version } });
    await remove("user:1");
    const { data } = (await events.next())!;
    expect(data.key).toBe("user:1");
    expect(data.version).toBeGreaterThan(version);
    await put("user:2", "x");
    expect((await events.next())!.data.key).toBe("user:2");
    await clear("user:");
    expect(await events.next()).toEqual({ event: "reset", data: { prefix: "user:" } });
  });

  test("on every worker, of every key without a prefix; its end leaves nothing", async () => {
    const all = await Promise.all(Array.from({ length: 12 }, () => Events.open("")));
    for (const events of all) expect(await events.next()).toEqual({ event: "ready", data: { prefix: "" } });
    expect(await stats()).toMatchObject({ eventStreams: 12, prefixes: 1 });
    await put("k", "x");
    for (const events of all) expect((await events.next())!.data.key).toBe("k");
    for (const events of all) events.close();
    for (let left = await stats(); left.eventStreams + left.prefixes > 0;) left = await stats();
  });

  test("what is wrong is an answer, and no stream", async () => {
    for (const [query, status] of [
      ["?prefx=a", 400],
      ["?prefix=%ff", 400],
      [`?prefix=${"k".repeat(2000)}`, 413],
    ] as const) {
      const response = await fetch(`${server.http}/events${query}`);
      expect({ query, status: response.status }).toEqual({ query, status });
    }
    const head = await fetch(`${server.http}/events`, { method: "HEAD" });
    expect([head.status, head.headers.get("content-type")]).toEqual([
      200,
      "text/event-stream; charset=utf-8",
    ]);
    expect((await fetch(`${server.http}/events`, { method: "POST" })).headers.get("allow")).toBe("GET, HEAD");
    for (let left = await stats(); left.eventStreams > 0;) left = await stats();
  });

  test("of a client that does not read is bounded: a reset when it reads on", async () => {
    const socket = connectTcp(server.port, "127.0.0.1");
    let heard = "";
    socket.on("data", (chunk) => (heard += chunk.toString("latin1")));
    socket.write("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    while (!heard.includes("event: ready")) await new Promise((resolve) => socket.once("data", resolve));
    socket.pause();
    const batch = Array.from({ length: 2000 }, (_, i) => ({
      op: "put",
      key: `${"k".repeat(900)}${i}`,
      value: "x",
    }));
    while ((await stats()).resets.overflow === 0)
      await fetch(`${server.http}/batch`, { method: "POST", body: JSON.stringify(batch), keepalive: false });
    socket.resume();
    while (!heard.includes('event: reset\ndata: {"prefix":""}'))
      await new Promise((resolve) => socket.once("data", resolve));
    // As long as it has not caught up, changes are told by a reset.
    for (let i = 0; !heard.includes('"key":"after'); i++) await put(`after ${i}`, "x");
    socket.destroy();
  });

  test("does not hold up the end of the server, and is whole", async () => {
    const events = await Events.open("");
    expect((await events.next())!.event).toBe("ready");
    const stopped = server.stop();
    expect(await events.next()).toBeNull();
    expect(await stopped).toBe(0);
  });
});

test("counts among the connections, of which there may be so many", async () => {
  await start({ flags: ["--max-connections", "2"] });
  const [first] = [await Events.open(""), await Events.open("")];
  await expect(Events.open("")).rejects.toThrow("503");
  const socket = new WebSocket(server.ws);
  await new Promise((resolve) => socket.addEventListener("close", resolve));
  expect(await stats()).toMatchObject({ connectionsRefused: 2, eventStreams: 2 });
  first!.close();
  while ((await stats()).eventStreams > 1);
  await Events.open("");
});

test("has a comment now and then while nothing happens", async () => {
  await start({ flags: ["--client-timeout", "8s"] });
  const events = await Events.open("");
  await events.next();
  const next = events.next();
  while (events.comments < 4) await new Promise((resolve) => setTimeout(resolve, 50));
  // Longer than the timeout after which a silent connection ends: it is still there.
  await put("k", "x");
  expect((await next)!.data.key).toBe("k");
});

describe("with tokens", () => {
  const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });

  test("who may read may watch; a scoped token sees its own keys only; a token that is withdrawn ends the stream", async () => {
    const tokens = temporaryFile("tokens", "all full-token\nread read-token\n");
    const secrets = temporaryFile("secrets", `${SECRET}\n`);
    await start({ flags: ["--token-file", tokens, "--token-secret-file", secrets] });
    await expect(Events.open("")).rejects.toThrow("401");
    const mine = scopedToken("mine:", ["get"]);
    const writer = scopedToken("mine:", ["put"]);
    await expect(Events.open("", bearer(writer))).rejects.toThrow("403");
    await expect(Events.open("?prefix=other:", bearer(mine))).rejects.toThrow("403");
    const scoped = await Events.open("", bearer(mine));
    expect((await scoped.next())!.data).toEqual({ prefix: "mine:" });
    const reader = await Events.open("", bearer("read-token"));
    expect((await reader.next())!.event).toBe("ready");
    await put("other:1", "x", bearer("full-token"));
    await put("mine:1", "x", bearer("full-token"));
    expect((await scoped.next())!.data.key).toBe("mine:1");
    expect((await reader.next())!.data.key).toBe("other:1");
    temporaryFile("tokens", "all full-token\n");
    await server.renew();
    expect((await reader.next())?.data.key).toBe("mine:1");
    expect(await reader.next()).toBeNull();
  });

  test("a token that expires ends the stream", async () => {
    const secrets = temporaryFile("secrets", `${SECRET}\n`);
    await start({ flags: ["--token-secret-file", secrets] });
    const events = await Events.open("", bearer(scopedToken("", ["get"], 2)));
    expect((await events.next())!.event).toBe("ready");
    expect(await events.next()).toBeNull();
  });
});

test("a page elsewhere gets no stream, one that is allowed does", async () => {
  await start({ flags: ["--allow-origin", "https://app.example"] });
  await expect(Events.open("", { Origin: "https://evil.example" })).rejects.toThrow("403");
  await expect(Events.open("", { Host: "evil.example" })).rejects.toThrow("403");
  const events = await Events.open("", { Origin: "https://app.example" });
  expect(events.response.headers.get("access-control-allow-origin")).toBe("https://app.example");
  expect((await events.next())!.event).toBe("ready");
});
