/** /metrics and /stats of a real server say what was done with it: bytes, errors, statuses, times, and how late workers are. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { request } from "../support/frames";
import { metricsOf, parseExposition } from "../support/exposition";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ flags: ["--max-key", "64"] });
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

/** What a metric grew by while something was done. What asks for the metrics is itself among what they count. */
async function growth(
  run: () => Promise<unknown>,
): Promise<(name: string, label: Record<string, string>) => number> {
  const before = await metricsOf(server.http);
  await run();
  const after = await metricsOf(server.http);
  return (name, label) => after.value(`breadbox_${name}`, label) - before.value(`breadbox_${name}`, label);
}

const http = (path: string, init?: RequestInit) => fetch(server.http + path, { ...init, keepalive: false });

test("bytes of bodies and messages, in and out, by transport", async () => {
  const client = await WireClient.connect(server.ws);
  const value = Buffer.from("0123456789");
  const frames = [request({ op: 2, key: "a", value }), request({ op: 1, key: "a" })];
  const text = { op: "ping", value: "grün" };
  const grew = await growth(async () => {
    expect(await client.ask(...frames)).toEqual([{ status: "OK" }, { status: "VALUE", value }]);
    await client.askJson(text);
    await http("/kv/b", { method: "PUT", body: "twelve bytes" });
  });
  const transport = (name: string) => ({ transport: name });
  expect(grew("messages_total", transport("frames"))).toBe(1);
  expect(grew("received_bytes_total", transport("frames"))).toBe(Buffer.concat(frames).length);
  expect(grew("sent_bytes_total", transport("frames"))).toBe(1 + 5 + value.length);
  expect(grew("messages_total", transport("text"))).toBe(1);
  expect(grew("received_bytes_total", transport("text"))).toBe(Buffer.byteLength(JSON.stringify(text)));
  expect(grew("sent_bytes_total", transport("text"))).toBe(
    Buffer.byteLength(JSON.stringify({ status: "OK", value: "grün" })),
  );
  expect(grew("received_bytes_total", transport("http"))).toBe("twelve bytes".length);
  client.close();
});

test("bytes of HTTP answers: text, raw values, errors, dialects and batches count, those to HEAD do not", async () => {
  const large = "ü".repeat(50_000);
  await http("/kv/raw", { method: "PUT", body: "v".repeat(1000) });
  await http("/put", { method: "POST", body: JSON.stringify({ key: "large", value: large }) });
  let read = 0;
  const take = async (path: string, init?: RequestInit) => {
    const text = await (await http(path, init)).text();
    read += Buffer.byteLength(text);
    return text;
  };
  const sent = (text: string) =>
    parseExposition(text).value("breadbox_sent_bytes_total", { transport: "http" });
  // Each is made before it is counted itself: so the first is in what was sent until the last.
  const before = sent(await take("/metrics"));
  await take("/kv/raw");
  await take("/get?key=raw");
  await take("/get?key=large");
  await take("/nothing");
  await take("/put", { method: "DELETE" });
  await take("/stats");
  const gets = Array.from({ length: 20 }, () => ({ op: "get", key: "large" }));
  await take("/batch", { method: "POST", body: JSON.stringify(gets) });
  const command = (...args: string[]) => ({ method: "POST", body: JSON.stringify(args) });
  await take("/upstash", command("SET", "k", "größe"));
  await take("/upstash", command("GET", "k"));
  await take("/upstash", command("BOIL"));
  await take("/upstash/multi-exec", { method: "POST", body: '[["BOIL"]]' });
  await take("/upstash/pipeline", { method: "POST", body: '[["GET","k"],["GET","k"]]' });
  await take("/unstorage/item", { method: "PUT", body: "value" });
  await take("/unstorage/item");
  await take("/unstorage");
  await take("/unstorage/", { method: "DELETE" });
  await take("/v1/cache/1", { method: "PUT", body: "record" });
  await take("/v1/cache/1", { method: "PUT", body: "record" });
  await take("/v1/cache/1");
  await take("/v8/artifacts/1", { method: "PUT", body: "artifact" });
  await take("/v8/artifacts/1");
  await take("/v8/artifacts", { method: "POST", body: '{"hashes":["1"]}' });
  await take("/kv/raw", { method: "PROPFIND" });
  await http("/kv/raw", { method: "HEAD" });
  await http("/kv/raw", { method: "DELETE" });
  const all = read;
  expect(all).toBeGreaterThan(20 * Buffer.byteLength(large));
  expect(sent(await take("/metrics")) - before).toBe(all);
});

test("bytes of a stream of events, as they are sent", async () => {
  const sent = async () => {
    const text = await (await http("/metrics")).text();
    const { value } = parseExposition(text);
    return { bytes: value("breadbox_sent_bytes_total", { transport: "http" }), own: text.length };
  };
  const abort = new AbortController();
  const before = await sent();
  const events = (await http("/events?prefix=told:", { signal: abort.signal })).body!.getReader();
  let text = "";
  const heard = async (what: string) => {
    while (!text.includes(what)) text += Buffer.from((await events.read()).value!).toString();
  };
  await heard("event: ready");
  await http("/kv/told:grün", { method: "PUT", body: "1" });
  await heard("told:grün");
  const after = await sent();
  abort.abort();
  expect(text).toEndWith("\n\n");
  expect(after.bytes - before.bytes - before.own).toBe(Buffer.byteLength(text));
});

test("errors of frames, text messages and batches by code", async () => {
  const client = await WireClient.connect(server.ws);
  const grew = await growth(async () => {
    expect(await client.ask(request({ op: 0x7f }))).toMatchObject([{ status: "ERROR", code: 0x81 }]);
    await client.ask(request({ op: 1, key: "k".repeat(65) }), request({ op: 1, key: "k".repeat(65) }));
    await client.askJson({ op: "get" });
    client.sendText("{");
    await client.message();
    await client.askJson({ op: "ping", id: "x".repeat(5000) });
    await http("/batch", { method: "POST", body: '[{"op":"boil"},{"op":"ping"}]' });
    await http("/batch", { method: "POST", body: "no JSON" });
    client.send(Buffer.from([1]));
    expect(await client.reply()).toMatchObject({ status: "ERROR", code: 0x80 });
    await client.closed;
  });
  const errors = (code: string) => grew("errors_total", { code });
  expect(errors("UNKNOWN_OP")).toBe(2);
  expect(errors("BAD_KEY")).toBe(2);
  // A key that is missing, a text that is no JSON, an id that is too long, and a frame that was cut off.
  expect(errors("MALFORMED")).toBe(4);
  expect(errors("INTERNAL") + errors("BUSY") + errors("FORBIDDEN")).toBe(0);
});

test("HTTP answers by status, upgrades among them", async () => {
  const grew = await growth(async () => {
    await http("/kv/none");
    await http("/get");
    await http("/get", { method: "DELETE" });
    await http("/kv/c", { method: "PUT", body: "1" });
    await http("/kv/c", { method: "PUT", body: "1", headers: { "If-Match": '"1"' } });
    await http("/kv/c", { headers: { "If-None-Match": "*" } });
    const client = await WireClient.connect(server.ws);
    // Its worker counts the upgrade after the client has heard of it, and before it answers this.
    await client.ask(request({ op: 10 }));
    client.close();
  });
  const responses = (status: string) => grew("http_responses_total", { status });
  for (const [status, times] of Object.entries({ 101: 1, 204: 1, 304: 1, 400: 1, 404: 1, 405: 1, 412: 1 }))
    expect({ status, times: responses(status) }).toEqual({ status, times });
  // The first exposition is in it.
  expect(responses("200")).toBe(1);
  expect(responses("500") + responses("503") + responses("other")).toBe(0);
});

describe("service times", () => {
  test("are a histogram of each transport: bounds grow, counts never fall, the last is the count", async () => {
    const client = await WireClient.connect(server.ws);
    for (let i = 0; i < 100; i++) {
      await client.ask(request({ op: 10, value: Buffer.from("p") }));
      await client.askJson({ op: "ping" });
      await http("/healthz");
    }
    client.close();
    const { samples, value } = await metricsOf(server.http);
    for (const transport of ["frames", "text", "http"]) {
      const buckets = samples.filter(
        ({ name, labels }) => name === "breadbox_service_seconds_bucket" && labels["transport"] === transport,
      );
      const bounds = buckets.map(({ labels }) => (labels["le"] === "+Inf" ? Infinity : Number(labels["le"])));
      expect(bounds).toEqual([...bounds].sort((a, b) => a - b));
      expect(bounds[0]).toBe(1e-6);
      expect(bounds.at(-1)).toBe(Infinity);
      const counts = buckets.map((bucket) => bucket.value);
      expect(counts).toEqual([...counts].sort((a, b) => a - b));
      const count = value("breadbox_service_seconds_count", { transport });
      expect(counts.at(-1)).toBe(count);
      expect(count).toBeGreaterThan(0);
      expect(count).toBeLessThan(100);
      expect(value("breadbox_service_seconds_sum", { transport })).toBeGreaterThan(0);
    }
  });

  test("are without the time for which a caller waits for a value that somebody else computes", async () => {
    const callers = 128;
    const token = (await http("/kv/computed?lease=60s")).headers.get("lease")!;
    const grew = await growth(async () => {
      const waiting = Array.from({ length: callers }, () => http("/kv/computed?lease=60s&wait=60s"));
      while ((await metricsOf(server.http)).value("breadbox_waiting_tickets") < callers);
      await Bun.sleep(1000);
      await http(`/kv/computed?lease=${encodeURIComponent(token)}`, { method: "PUT", body: "1" });
      for (const response of await Promise.all(waiting)) expect(response.status).toBe(200);
    });
    // Each worker times at least every 32nd request: of these three or more, which have waited for a second each.
    expect(grew("service_seconds_count", { transport: "http" })).toBeGreaterThanOrEqual(3);
    expect(grew("service_seconds_sum", { transport: "http" })).toBeLessThan(1);
  });

  test("are in the stats in short, with the same counts", async () => {
    const stats = (await (await http("/stats")).json()) as any;
    const { value } = await metricsOf(server.http);
    for (const transport of ["frames", "text"]) {
      const { messages, bytesIn, bytesOut, service } = stats.traffic[transport];
      expect(messages).toBe(value("breadbox_messages_total", { transport }));
      expect(bytesIn).toBe(value("breadbox_received_bytes_total", { transport }));
      expect(bytesOut).toBe(value("breadbox_sent_bytes_total", { transport }));
      expect(service.timed).toBe(value("breadbox_service_seconds_count", { transport }));
      expect(service.p50).toBeLessThanOrEqual(service.p99);
      expect(service.mean * service.timed).toBeCloseTo(
        value("breadbox_service_seconds_sum", { transport }) * 1000,
        6,
      );
    }
    expect(stats.httpRequests).toBe(stats.traffic.http.messages);
    expect(stats.eventLoopLag).toHaveLength(2);
    expect(stats.errors.UNKNOWN_OP).toBe(value("breadbox_errors_total", { code: "UNKNOWN_OP" }));
  });
});
