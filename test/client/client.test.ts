/** The client against a real server, and against one that a test scripts: pipelining, bounds, and every way to fail. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { WebSocket as WsPackage } from "ws";
import { type Cache, connect, open, type WebSocketClass } from "../../src/client/client";
import { startServer, type TestServer } from "../support/server";
import { errorOf } from "./error-of";
import { ScriptedServer } from "./scripted-server";

let server: TestServer;
let cache: Cache;

beforeAll(async () => {
  server = await startServer();
  cache = await connect(server.http);
});

afterAll(async () => {
  await cache.close();
  expect(await server.stop()).toBe(0);
});

describe("every verb, as the README shows it", () => {
  test("values: text, bytes, JSON", async () => {
    expect(await cache.get("none")).toBeNull();
    expect(await cache.put("text", "grüße 🍞")).toBeGreaterThan(0);
    expect(await cache.get("text")).toBe("grüße 🍞");
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    await cache.put("bytes", bytes);
    expect(await cache.getBytes("bytes")).toEqual(bytes);
    await cache.put("buffer", bytes.buffer);
    expect(await cache.getBytes("buffer")).toEqual(bytes);
    const users = cache.json<{ name: string; tags: string[] }>();
    await users.put("user", { name: "Ada", tags: ["a"] });
    expect(await users.get("user")).toEqual({ name: "Ada", tags: ["a"] });
    expect(await users.getWithMeta("user")).toMatchObject({ value: { name: "Ada" }, ttlMs: null });
    expect(await users.get("nobody")).toBeNull();
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    for (const inexpressible of [undefined, () => 1, 7n, circle])
      expect((await errorOf(users.put("user", inexpressible as never))).code).toBe("invalid-argument");
    await cache.put("prose", "not JSON");
    expect((await errorOf(users.get("prose"))).code).toBe("not-json");
    expect((await errorOf(users.getWithMeta("prose"))).code).toBe("not-json");
  });

  test("a value that is no JSON is not-json by every way to it", async () => {
    await using near = await connect(server.http, { near: {} });
    await cache.put("prose", "not JSON");
    for (const client of [cache, near, near.namespace("pro")]) {
      const key = client === cache || client === near ? "prose" : "se";
      const view = client.json<object>();
      for (const call of [
        () => view.get(key),
        // Of a near cache this is a copy.
        () => view.get(key),
        () => view.getWithMeta(key),
        () => view.getOrCompute(key, () => ({})),
      ])
        expect(await errorOf(call())).toMatchObject({ code: "not-json", mayHaveHappened: false });
    }
    expect(near.near.stats().hits).toBeGreaterThan(0);
  });

  test("versions and conditions", async () => {
    const first = await cache.put("cas", "1");
    expect(await cache.put("cas", "2", { ifAbsent: true })).toBeNull();
    expect(await cache.put("cas", "2", { ifVersion: first! })).toBeGreaterThan(first!);
    expect(await cache.put("cas", "3", { ifVersion: first! })).toBeNull();
    expect(await cache.put("nope", "3", { ifPresent: true })).toBeNull();
    const entry = await cache.getWithMeta("cas");
    expect(entry).toMatchObject({ text: "2", ttlMs: null });
    expect(await cache.delete("cas", { ifVersion: first! })).toBe(false);
    expect(await cache.delete("cas", { ifVersion: entry!.version })).toBe(true);
    expect(await cache.delete("cas")).toBe(false);
  });

  test("time to live, counters, appending, info", async () => {
    await cache.put("t", "x", { ttlMs: 60_000 });
    expect((await cache.info("t"))!.ttlMs).toBeGreaterThan(50_000);
    expect(await cache.touch("t")).toBe(true);
    expect(await cache.info("t")).toMatchObject({ ttlMs: null, length: 1 });
    expect(await cache.touch("none", { ttlMs: 5 })).toBe(false);
    expect(await cache.add("n")).toBe(1);
    expect(await cache.add("n", 41)).toBe(42);
    expect(await cache.add("n", 2n ** 60n)).toBe(2n ** 60n + 42n);
    expect(await errorOf(cache.add("n", 1))).toMatchObject({
      code: "number-too-large",
      mayHaveHappened: true,
    });
    expect(await cache.add("n", 0n)).toBe(2n ** 60n + 43n);
    const before = (await cache.info("t"))!.version;
    expect(await cache.touch("t", { ttlMs: 60_000 })).toBe(true);
    expect((await cache.info("t"))!.version).toBe(before);
    expect(await cache.append("t", "yz")).toBe(true);
    expect((await cache.info("t"))!.ttlMs).toBeGreaterThan(50_000);
    expect(await cache.get("t")).toBe("xyz");
    expect(await cache.append("none", "x")).toBe(false);
  });

  test("scan, many, clear, ping, stats", async () => {
    const names = Array.from({ length: 2500 }, (_, i) => `s:${i}`);
    await Promise.all(names.map((name) => cache.put(name, name)));
    const found = new Set<string>();
    for await (const key of cache.scan("s:")) found.add(key);
    expect([...found].sort()).toEqual([...names].sort());
    expect(await cache.many(["s:7", "none", "s:8"])).toEqual(["s:7", null, "s:8"]);
    expect(await cache.clear("s:")).toBe(2500);
    expect(await cache.ping()).toBeGreaterThan(0);
    expect(await cache.stats()).toMatchObject({ workers: 2 });
  });

  test("a value that is read and removed goes to one of all who ask for it", async () => {
    await using other = await connect(server.http);
    await cache.put("once", "code");
    const asked = [cache, other].flatMap((client) =>
      Array.from({ length: 20 }, () => client.getAndDelete("once")),
    );
    const got = await Promise.all(asked);
    expect(got.filter((value) => value !== null)).toEqual(["code"]);
    const bytes = Uint8Array.of(0, 255, 128);
    await cache.put("bytes", bytes);
    expect(await cache.getBytesAndTouch("bytes", { ttlMs: 60_000 })).toEqual(bytes);
    expect((await cache.info("bytes"))!.ttlMs).toBeGreaterThan(50_000);
    expect(await cache.getAndTouch("bytes")).toBe("\0\ufffd\ufffd");
    expect((await cache.info("bytes"))!.ttlMs).toBeNull();
    expect(await cache.getBytesAndDelete("bytes")).toEqual(bytes);
    expect(await cache.getBytesAndDelete("bytes")).toBeNull();
    expect(await cache.getAndTouch("bytes", { ttlMs: 5 })).toBeNull();
  });

  test("the server's errors keep their names", async () => {
    expect((await errorOf(cache.get(""))).code).toBe("bad-key");
    expect((await errorOf(cache.put("big", new Uint8Array(9 << 20)))).code).toBe("value-too-large");
    await cache.put("word", "word");
    expect((await errorOf(cache.add("word"))).code).toBe("not-a-number");
    expect((await errorOf(cache.put("v", 7 as never))).code).toBe("invalid-argument");
    expect((await errorOf(cache.put("v", "x", { ttlMs: -1 }))).code).toBe("invalid-argument");
    expect((await errorOf(cache.get("x".repeat(70_000)))).code).toBe("bad-key");
    expect(await cache.get("word")).toBe("word");
  });

  test("await using closes", async () => {
    let used: Cache;
    {
      await using scoped = await connect(server.ws);
      used = scoped;
      await scoped.put("scoped", "1");
    }
    expect((await errorOf(used.get("scoped"))).code).toBe("closed");
  });

  test("with the ws package's class", async () => {
    await using other = await connect(server.ws, { WebSocket: WsPackage as unknown as WebSocketClass });
    const bytes = crypto.getRandomValues(new Uint8Array(50_000));
    await other.put("over ws", bytes);
    expect(await other.getBytes("over ws")).toEqual(bytes);
  });
});

test("the built client in Node, with the ws package", async () => {
  const node = Bun.which("node");
  if (node === null) throw new Error("there is no node here to test with");
  const script = `
    import { WebSocket } from "ws";
    import { connect } from "./dist/client.js";
    const cache = await connect(process.argv[1], { WebSocket });
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    await cache.put("from node", bytes);
    const same = (await cache.getBytes("from node")).every((byte, i) => byte === bytes[i]);
    const values = await Promise.all(Array.from({ length: 3000 }, (_, i) => cache.add("node n")));
    await cache.close();
    console.log(JSON.stringify({ same, last: values.at(-1) }));
  `;
  const child = Bun.spawn([node, "--input-type=module", "-e", script, server.ws], {
    cwd: new URL("../../", import.meta.url).pathname,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect({ stdout, stderr }).toEqual({ stdout: '{"same":true,"last":3000}\n', stderr: "" });
});

describe("pipelining and bounds", () => {
  test("100,000 gets at once, each its own answer", async () => {
    const names = Array.from({ length: 100_000 }, (_, i) => `c:${i}`);
    await Promise.all(names.map((name) => cache.put(name, name)));
    const values = await cache.many(names);
    expect(values.every((value, i) => value === names[i])).toBe(true);
  });

  test("requests of one turn leave as one message, and replies resolve as they come", async () => {
    await using scripted = await ScriptedServer.start();
    const client = await connect(scripted.url);
    const order: number[] = [];
    const gets = [0, 1, 2].map((i) => client.get(`k${i}`).then((value) => order.push(Number(value))));
    const message = await scripted.message();
    expect(scripted.countRequests(message)).toBe(3);
    scripted.reply(scripted.value("0"));
    await gets[0];
    expect(order).toEqual([0]);
    scripted.reply(scripted.value("1"), scripted.value("2"));
    await Promise.all(gets);
    expect(order).toEqual([0, 1, 2]);
    await client.close();
  });

  test("no more requests are on their way than allowed; the others wait and nothing is lost", async () => {
    await using scripted = await ScriptedServer.start();
    const client = await connect(scripted.url, { inFlightRequestsMax: 10 });
    const gets = Promise.all(Array.from({ length: 35 }, (_, i) => client.get(`${i}`)));
    let answered = 0;
    while (answered < 35) {
      const count = scripted.countRequests(await scripted.message());
      expect(count).toBeLessThanOrEqual(10);
      scripted.reply(...Array.from({ length: count }, () => scripted.value(`${answered++}`)));
    }
    expect(await gets).toEqual(Array.from({ length: 35 }, (_, i) => `${i}`));
    await client.close();
  });

  test("more may not wait than is allowed", async () => {
    await using scripted = await ScriptedServer.start();
    const client = await connect(scripted.url, { waitingMax: 5 });
    const puts = Array.from({ length: 6 }, () => errorOf(client.put("k", "v")));
    expect((await puts[5])!.code).toBe("overloaded");
    scripted.drop();
    await client.close();
    expect((await puts[0])!.code).toBeOneOf(["disconnected", "closed"]);
  });
});

/** About 9 of them without near cache, watches and getOrCompute; those are methods of the same object, and so in the same module. */
const BUILT_BYTES_MAX = 15 * 1024;

test("built, it is one small module", async () => {
  const built = Bun.file(new URL("../../dist/client.js", import.meta.url));
  expect(Bun.gzipSync(await built.bytes(), { level: 9 }).length).toBeLessThan(BUILT_BYTES_MAX);
  expect(await built.text()).not.toMatch(/\b(Buffer|process|require)\b\.?/);
});

test("opened before its server is there, it works as soon as that is", async () => {
  const first = await startServer({ flags: ["--workers", "1"] });
  expect(await first.stop()).toBe(0);
  const early = open(first.ws, { reconnectMinMs: 10, reconnectMaxMs: 100, timeoutMs: 60_000 });
  const stored = early.put("k", "v");
  const reason = await new Promise((resolve) => early.on("reconnecting", (event) => resolve(event.reason)));
  expect(reason).toContain("nobody listens there");
  const second = await startServer({ flags: ["--workers", "1", "--port", String(first.port)] });
  expect(await stored).toBeGreaterThan(0);
  expect(await early.get("k")).toBe("v");
  await early.close();
  expect(await second.stop()).toBe(0);
});

test("opened with a wrong token, it says so and ends", async () => {
  const closed = await startServer({ flags: ["--workers", "1", "--token", "right"] });
  const client = open(closed.ws, { token: "wrong" });
  const ended = new Promise((resolve) => client.on("close", resolve));
  expect((await errorOf(client.get("k"))).code).toBe("unauthorized");
  expect(await ended).toMatchObject({ code: 4401, willReconnect: false });
  expect(await closed.stop()).toBe(0);
});

describe("failures", () => {
  test("a token that is good no more: unauthorized, at once and for good", async () => {
    await using scripted = await ScriptedServer.start();
    const client = await connect(scripted.url);
    const closed = new Promise((resolve) => client.on("close", resolve));
    const read = errorOf(client.get("k"));
    await scripted.message();
    scripted.close(4401, "the token has expired");
    expect(await closed).toEqual({ code: 4401, reason: "the token has expired", willReconnect: false });
    const error = await read;
    expect(error.code).toBe("unauthorized");
    expect(error.message).toContain("the token has expired");
    expect((await errorOf(client.get("k"))).code).toBe("unauthorized");
    await client.close();
  });

  test("a token may allow less than everything", async () => {
    const guarded = await startServer({ flags: ["--token", "right", "--read-token", "reader"] });
    await using reader = await connect(guarded.http, { token: "reader" });
    expect(await reader.get("a")).toBeNull();
    expect((await errorOf(reader.put("a", "b"))).code).toBe("forbidden");
    await using writer = await connect(guarded.http, { token: "right" });
    expect(await writer.put("a", "b")).toBeGreaterThan(0);
    await Promise.all([reader.close(), writer.close()]);
    await guarded.stop();
  });

  test("a wrong address is said before anything is tried", async () => {
    expect((await errorOf(connect("ftp://localhost"))).code).toBe("invalid-argument");
  });

  test("a broken connection: reads go again, writes say that they may have happened, waiting ones wait", async () => {
    await using scripted = await ScriptedServer.start();
    const client = await connect(scripted.url, { reconnectMinMs: 1 });
    const events: string[] = [];
    client.on("close", ({ willReconnect }) => events.push(`close ${willReconnect}`));
    client.on("reconnecting", ({ attempt }) => events.push(`reconnecting ${attempt}`));
    client.on("open", () => events.push("open"));
    const read = client.get("r");
    const write = errorOf(client.put("w", "1"));
    const stubborn = client.put("s", "1", { retry: true });
    expect(scripted.countRequests(await scripted.message())).toBe(3);
    scripted.drop();
    const failed = await write;
    expect(failed).toMatchObject({ code: "disconnected", mayHaveHappened: true });
    const late = client.get("late");
    expect(scripted.countRequests(await scripted.message())).toBe(3);
    scripted.reply(scripted.value("again"), scripted.number(5n), scripted.value("late"));
    expect([await read, await stubborn, await late]).toEqual(["again", 5, "late"]);
    expect(events).toEqual(["close true", "reconnecting 1", "open"]);
    await client.close();
  });

  test("replies of a half-answered batch count; only the rest goes again", async () => {
    await using scripted = await ScriptedServer.start();
    const client = await connect(scripted.url, { reconnectMinMs: 1 });
    const gets = ["a", "b", "c"].map((key) => client.get(key));
    await scripted.message();
    scripted.reply(scripted.value("A"));
    expect(await gets[0]).toBe("A");
    scripted.drop();
    expect(scripted.countRequests(await scripted.message())).toBe(2);
    scripted.reply(scripted.value("B"), scripted.value("C"));
    expect(await Promise.all(gets)).toEqual(["A", "B", "C"]);
    await client.close();
  });

  test("a deadline ends the request, its late reply is not taken for another's", async () => {
    await using scripted = await ScriptedServer.start();
    const client = await connect(scripted.url);
    const slow = await errorOf(client.get("slow", { timeoutMs: 40 }));
    expect(slow).toMatchObject({ code: "timeout", mayHaveHappened: false });
    const next = client.get("next");
    scripted.reply(scripted.value("too late"), scripted.value("in time"));
    expect(await next).toBe("in time");
    const write = await errorOf(client.put("w", "x", { timeoutMs: 40 }));
    expect(write).toMatchObject({ code: "timeout", mayHaveHappened: true });
    scripted.reply(scripted.number(1n));
    await client.close();
  });

  test("a signal gives a request up, before and after it was sent", async () => {
    await using scripted = await ScriptedServer.start();
    const client = await connect(scripted.url);
    expect((await errorOf(client.get("k", { signal: AbortSignal.abort() }))).code).toBe("aborted");
    const abort = new AbortController();
    const given = errorOf(client.get("k", { signal: abort.signal }));
    await scripted.message();
    abort.abort();
    expect((await given).code).toBe("aborted");
    const next = client.get("next");
    scripted.reply(scripted.value("old"), scripted.value("new"));
    expect(await next).toBe("new");
    await client.close();
  });

  test("a server that breaks the protocol is left, and asked again on a new connection", async () => {
    await using scripted = await ScriptedServer.start();
    const client = await connect(scripted.url, { reconnectMinMs: 1 });
    const get = client.get("k");
    await scripted.message();
    scripted.reply(Buffer.from([0x55]));
    await scripted.message();
    scripted.reply(scripted.value("well"));
    expect(await get).toBe("well");
    await client.close();
  });

  test("close ends what waits and lets what is under way end", async () => {
    await using scripted = await ScriptedServer.start();
    const client = await connect(scripted.url);
    const get = client.get("k");
    await scripted.message();
    const closing = client.close();
    expect((await errorOf(client.get("after"))).code).toBe("closed");
    scripted.reply(scripted.value("v"));
    expect(await get).toBe("v");
    await closing;
  });

  test("a real server that is killed mid-batch and comes back", async () => {
    const first = await startServer();
    const client = await connect(first.http, { reconnectMinMs: 5, reconnectMaxMs: 40, timeoutMs: 20_000 });
    await client.put("k", "v");
    const gets = Array.from({ length: 20_000 }, (_, i) => client.get(`k${i % 3}`));
    first.process.kill("SIGKILL");
    await first.process.exited;
    const second = await startServer({ flags: ["--port", String(first.port)] });
    const values = await Promise.all(gets);
    expect(values).toHaveLength(20_000);
    expect(await client.put("k", "again")).toBeGreaterThan(0);
    await client.close();
    await second.stop();
  });
});
