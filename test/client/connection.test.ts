/** Where a connection stands, step by step, with time and sockets in the test's hands; what always holds is checked throughout. */
import { describe, expect, test } from "bun:test";
import { open } from "../../src/client/client";
import type { ConnectionEvents } from "../../src/client/events";
import { type ConnectOptions, settle } from "../../src/client/options";
import { errorOf } from "./error-of";
import { connected, opened, URL } from "./fake-connection";
import { FakeSockets } from "./fake-runtime";
import { failure, metaValue, miss, number, ok, requestsIn, value } from "./wire-replies";

const REFUSED = { code: "ECONNREFUSED" };

describe("close always resolves", () => {
  test("after a request that timed out, though its answer never came", async () => {
    const { cache, pass, sockets, settleDown } = await connected();
    const late = errorOf(cache.get("k", { timeoutMs: 100 }));
    await pass(100);
    expect((await late).code).toBe("timeout");
    const closing = cache.close();
    await settleDown();
    expect(sockets.last.state).toBe("closing");
    sockets.last.end(1000);
    await closing;
    await settleDown();
  });

  test("after a request that was aborted", async () => {
    const { cache, sockets, settleDown } = await connected();
    const abort = new AbortController();
    const given = errorOf(cache.get("k", { signal: abort.signal }));
    await settleDown();
    const closing = cache.close();
    await settleDown();
    abort.abort();
    expect((await given).code).toBe("aborted");
    expect(sockets.last.state).toBe("closing");
    sockets.last.end(1000);
    await closing;
  });

  test("though the server answers nothing at all: after closeTimeoutMs, and a second for its goodbye", async () => {
    const { cache, pass, sockets, events } = await connected({ timeoutMs: 60_000, closeTimeoutMs: 300 });
    const put = errorOf(cache.put("k", "v"));
    const get = errorOf(cache.get("k"));
    let closed = false;
    const closing = cache.close().then(() => (closed = true));
    await pass(299);
    expect(sockets.last.state).toBe("open");
    await pass(1);
    expect(await put).toMatchObject({ code: "closed", mayHaveHappened: true });
    expect(await get).toMatchObject({ code: "closed", mayHaveHappened: false });
    expect([sockets.last.state, closed]).toEqual(["closing", false]);
    await pass(1000);
    await closing;
    expect(sockets.last.state).toBe("closed");
    expect(events).toEqual([["close", { code: 1006, reason: "no goodbye came", willReconnect: false }]]);
  });

  test("a second call resolves with the first, not before", async () => {
    const { cache, sockets, settleDown } = await connected();
    const get = cache.get("k");
    const order: string[] = [];
    const first = cache.close().then(() => order.push("first"));
    const second = cache.close().then(() => order.push("second"));
    await settleDown();
    sockets.last.receive(value("v"));
    expect(await get).toBe("v");
    await settleDown();
    expect(order).toEqual([]);
    sockets.last.end(1000);
    await Promise.all([first, second]);
    expect(order).toEqual(["first", "second"]);
    await cache.close();
  });

  test("while the connection is being made again: at once, and nothing is dialled any more", async () => {
    for (const moment of ["backoff", "connecting"]) {
      const { cache, pass, sockets, settleDown, events } = await connected({ reconnectMinMs: 10 });
      const waits = errorOf(cache.get("k"));
      await settleDown();
      sockets.last.end();
      await settleDown();
      if (moment === "connecting") await pass(10);
      const dialled = sockets.made.length;
      await cache.close();
      await settleDown();
      expect((await waits).code).toBe("closed");
      await pass(60_000);
      sockets.last.open();
      await settleDown();
      expect(sockets.made).toHaveLength(dialled);
      expect(events.map(([name]) => name)).toEqual(["close", "reconnecting"]);
      expect((await errorOf(cache.get("k"))).code).toBe("closed");
    }
  });

  test("what is under way, and what waits behind the bounds, is answered first", async () => {
    const { cache, sockets, settleDown } = await connected({ inFlightRequestsMax: 2 });
    const gets = ["a", "b", "c", "d", "e"].map((key) => cache.get(key));
    const closing = cache.close();
    for (const batch of [["a", "b"], ["c", "d"], ["e"]]) {
      await settleDown();
      expect(requestsIn(sockets.last.sent.at(-1)!).map(({ key }) => key)).toEqual(batch);
      for (const key of batch) sockets.last.receive(value(key));
    }
    expect(await Promise.all(gets)).toEqual(["a", "b", "c", "d", "e"]);
    sockets.last.end(1000);
    await closing;
  });
});

describe("a server that breaks the protocol", () => {
  for (const [what, garbage] of [
    ["an unknown status", Uint8Array.of(0x55)],
    ["a reply that runs past its message", Uint8Array.of(1, 9, 0, 0, 0, 65)],
    ["an answer to something else", number(5n)],
    ["a text message", "hello"],
    ["more keys than a message can hold", Uint8Array.of(7, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255)],
  ] as const)
    test(`${what}: nothing that comes later is taken for another's answer`, async () => {
      const { cache, sockets, settleDown, pass, events } = await connected({ reconnectMinMs: 10 });
      const a = cache.get("a");
      const put = errorOf(cache.put("p", "v"));
      const b = cache.get("b");
      await settleDown();
      const [first] = sockets.made;
      first!.receive(garbage);
      first!.receive(value("for a"));
      first!.receive(value("for a, too"));
      await settleDown();
      expect(await put).toMatchObject({ code: "disconnected", mayHaveHappened: true });
      expect(first!.state).toBe("closed");
      expect(events[0]).toEqual(["close", { code: 1002, reason: expect.any(String), willReconnect: true }]);
      await pass(10);
      sockets.last.open();
      await settleDown();
      first!.receive(value("for a, late"));
      expect(requestsIn(sockets.last.sent[0]!).map(({ key }) => key)).toEqual(["a", "b"]);
      sockets.last.receive(value("A"));
      sockets.last.receive(value("B"));
      expect([await a, await b]).toEqual(["A", "B"]);
      await settleDown();
    });

  test("a reply that nobody asked for", async () => {
    const { sockets, settleDown, events } = await connected();
    sockets.last.receive(value("surprise"));
    await settleDown();
    expect(events.map(([name]) => name)).toEqual(["close", "reconnecting"]);
  });
});

describe("dialling again", () => {
  test("a server that accepts and closes is dialled less and less often", async () => {
    const { pass, sockets, events, settleDown } = await connected();
    const delays: number[] = [];
    for (let i = 0; i < 9; i++) {
      sockets.last.end(1013);
      await settleDown();
      const [name, event] = events.at(-1)!;
      expect(name).toBe("reconnecting");
      const { attempt, delayMs } = event as ConnectionEvents["reconnecting"];
      expect(attempt).toBe(i + 1);
      delays.push(delayMs);
      await pass(delayMs);
      sockets.last.open();
      await settleDown();
    }
    expect(delays).toEqual([50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
  });

  test("one that answers a request and closes, too", async () => {
    const { cache, pass, sockets, events, settleDown } = await connected();
    for (let attempt = 1; attempt <= 4; attempt++) {
      const get = cache.get("k");
      await settleDown();
      sockets.last.receive(miss());
      expect(await get).toBeNull();
      sockets.last.end(1011);
      await settleDown();
      expect(events.at(-1)![1]).toMatchObject({ attempt });
      await pass(1000);
      sockets.last.open();
      await settleDown();
    }
  });

  test("a connection that held for reconnectMaxMs begins anew", async () => {
    const { pass, sockets, events, settleDown } = await connected({ reconnectMaxMs: 1000, heartbeatMs: 0 });
    for (const held of [0, 999, 1000]) {
      sockets.last.end();
      await settleDown();
      await pass(1000);
      sockets.last.open();
      await pass(held);
    }
    sockets.last.end();
    await settleDown();
    const attempts = events.flatMap(([name, event]) =>
      name === "reconnecting" ? [(event as ConnectionEvents["reconnecting"]).attempt] : [],
    );
    expect(attempts).toEqual([1, 2, 3, 1]);
  });

  test("requests that run out of time meanwhile say what stands in the way", async () => {
    const { cache, pass, sockets, settleDown } = await connected({ reconnectMinMs: 10 });
    sockets.last.end();
    await settleDown();
    const get = errorOf(cache.get("k", { timeoutMs: 1000 }));
    await pass(10);
    sockets.last.end(1006, "", REFUSED);
    await settleDown();
    await pass(1000);
    expect((await get).message).toBe(
      "no answer within 1000 ms; no connection to ws://cache.example/ws: nobody listens there",
    );
  });

  test("a token that is not accepted any more ends it for good", async () => {
    const { cache, pass, sockets, settleDown, events } = await connected({ token: "t", reconnectMinMs: 10 });
    sockets.last.end();
    await settleDown();
    const get = errorOf(cache.get("k"));
    await pass(10);
    sockets.last.end(1006, "", { message: "Unexpected server response: 401" });
    await settleDown();
    expect((await get).code).toBe("unauthorized");
    expect((await errorOf(cache.put("k", "v"))).code).toBe("unauthorized");
    expect(events.at(-1)).toEqual([
      "close",
      { code: 4401, reason: expect.stringContaining("the token is not accepted"), willReconnect: false },
    ]);
    await pass(60_000);
    expect(sockets.made).toHaveLength(2);
    await cache.close();
  });

  test("an attempt that is not answered ends after connectTimeoutMs", async () => {
    const { pass, sockets, settleDown, events } = await connected({
      reconnectMinMs: 10,
      connectTimeoutMs: 200,
    });
    sockets.last.end();
    await settleDown();
    await pass(10);
    const second = sockets.last;
    await pass(200);
    expect(second.state).toBe("closed");
    expect(events.at(-1)).toEqual([
      "reconnecting",
      {
        attempt: 2,
        delayMs: 20,
        reason: "no connection to ws://cache.example/ws: no answer within 200 ms",
      },
    ]);
    second.open();
    await settleDown();
  });
});

describe("opened before the server is there", () => {
  test("requests wait, also over attempts that fail, and are answered by the first connection", async () => {
    const { cache, pass, sockets, settleDown, events } = opened({ reconnectMinMs: 10 });
    const get = cache.get("k");
    const put = cache.put("k", "v");
    await settleDown();
    sockets.last.end(1006, "", REFUSED);
    await settleDown();
    const reason = "no connection to ws://cache.example/ws: nobody listens there";
    expect(events).toEqual([["reconnecting", { attempt: 1, delayMs: 10, reason }]]);
    await pass(10);
    expect(sockets.made).toHaveLength(2);
    sockets.last.open();
    await settleDown();
    expect(events.at(-1)).toEqual(["open", {}]);
    expect(requestsIn(sockets.last.sent[0]!).map(({ op }) => op)).toEqual([1, 2]);
    sockets.last.receive(miss());
    sockets.last.receive(number(7n));
    expect(await get).toBeNull();
    expect(await put).toBe(7);
  });

  test("requests that run out of time say why there is no connection", async () => {
    const { cache, pass, sockets, settleDown } = opened({ connectTimeoutMs: 60_000 });
    const early = errorOf(cache.put("k", "v", { timeoutMs: 100 }));
    await pass(100);
    expect(await early).toMatchObject({
      code: "timeout",
      message: "no answer within 100 ms; the first connection is not made yet",
      mayHaveHappened: false,
    });
    const late = errorOf(cache.get("k", { timeoutMs: 100 }));
    sockets.last.end(1006, "", REFUSED);
    await settleDown();
    await pass(100);
    expect((await late).message).toEndWith("nobody listens there");
  });

  test("a token that is not accepted ends it: an event, and every request says so", async () => {
    const { cache, pass, sockets, settleDown, events } = opened({ token: "wrong" });
    const get = errorOf(cache.get("k"));
    const next = errorOf(cache.watch("").next());
    await settleDown();
    sockets.last.end(1006, "", { message: "Unexpected server response: 401" });
    await settleDown();
    expect((await get).code).toBe("unauthorized");
    expect((await next).code).toBe("unauthorized");
    expect((await errorOf(cache.put("k", "v"))).message).toContain("the token is not accepted");
    expect(events).toEqual([
      ["close", { code: 4401, reason: expect.stringContaining("not accepted"), willReconnect: false }],
    ]);
    await pass(60_000);
    expect(sockets.made).toHaveLength(1);
  });

  test("what can be no address is refused at once", () => {
    for (const url of ["", "localhost:7171", "ftp://localhost"])
      expect(() => open(url)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
    expect(() => open(URL, { failFast: 1 } as object)).toThrow("failFast: must be true or false");
  });

  test("close at any moment ends what waits, and nothing is dialled any more", async () => {
    for (const moment of ["connecting", "asking", "backoff"]) {
      const { cache, pass, sockets, settleDown } = opened({ reconnectMinMs: 10 });
      const get = errorOf(cache.get("k"));
      await settleDown();
      if (moment !== "connecting") sockets.last.end(1006, "", REFUSED);
      if (moment === "backoff") await settleDown();
      await cache.close();
      await settleDown();
      expect((await get).code).toBe("closed");
      await pass(60_000);
      expect(sockets.made).toHaveLength(1);
    }
  });
});

describe("a read that changes something", () => {
  test("is a write when the connection breaks: not asked again, unless that was said to be right", async () => {
    const { cache, pass, sockets, settleDown } = await connected({ reconnectMinMs: 10 });
    const once = [errorOf(cache.getAndDelete("a")), errorOf(cache.getAndTouch("b", { ttlMs: 5 }))];
    const again = cache.getAndTouch("c", { ttlMs: 5, retry: true });
    await settleDown();
    sockets.last.end();
    await settleDown();
    for (const error of await Promise.all(once))
      expect(error).toMatchObject({ code: "disconnected", mayHaveHappened: true });
    await pass(10);
    sockets.last.open();
    await settleDown();
    expect(requestsIn(sockets.last.sent[0]!)).toEqual([{ op: 0x15, key: "c" }]);
    sockets.last.receive(value("v"));
    expect(await again).toBe("v");
  });

  test("of a server that is older is unknown-op, and the connection stays", async () => {
    const { cache, asked, receive, events } = await connected();
    const removed = errorOf(cache.getAndDelete("a"));
    const touched = errorOf(cache.getAndTouch("a"));
    const get = cache.get("a");
    await asked();
    await receive(failure(0x81), failure(0x81), value("v"));
    expect(await removed).toMatchObject({ code: "unknown-op", mayHaveHappened: false });
    expect((await touched).code).toBe("unknown-op");
    expect(await get).toBe("v");
    expect(events).toEqual([]);
  });

  test("drops the copy that it changes", async () => {
    const { cache, asked, receive } = await connected({ near: {}, heartbeatMs: 0 });
    for (const [op, call] of [
      [0x14, () => cache.getAndDelete("k")],
      [0x15, () => cache.getAndTouch("k", { ttlMs: 5000 })],
    ] as const) {
      const get = cache.get("k");
      await asked();
      await receive(metaValue("v", 5));
      expect(await get).toBe("v");
      expect(cache.near.peek("k")).toBe("v");
      const value = call();
      expect(cache.near.peek("k")).toBeUndefined();
      expect(await asked()).toMatchObject([{ op, key: "k" }]);
      await receive(Buffer.concat([Buffer.of(1, 1, 0, 0, 0), Buffer.from("v")]));
      expect(await value).toBe("v");
    }
  });
});

describe("failFast", () => {
  const NOT_CONNECTED = { code: "not-connected", mayHaveHappened: false };

  test("without a connection every request fails at once, and says why there is none", async () => {
    const { cache, pass, sockets, settleDown } = opened({ failFast: true, reconnectMinMs: 10 });
    expect(await errorOf(cache.get("k"))).toMatchObject({
      ...NOT_CONNECTED,
      message: "there is no connection now; the first connection is not made yet",
    });
    sockets.last.end(1006, "", REFUSED);
    await settleDown();
    for (const call of [
      () => cache.get("k"),
      () => cache.put("k", "v", { retry: true }),
      () => cache.scan().next(),
      () => cache.getOrCompute("k", () => "v"),
    ])
      expect(await errorOf(call())).toMatchObject({
        ...NOT_CONNECTED,
        message: expect.stringContaining("nobody listens there"),
      });
    await pass(10);
    sockets.last.open();
    const get = cache.get("k");
    await settleDown();
    sockets.last.receive(value("v"));
    expect(await get).toBe("v");
  });

  test("when the connection breaks, nothing waits for the next one", async () => {
    const { cache, pass, sockets, settleDown } = await connected({
      failFast: true,
      inFlightRequestsMax: 2,
      reconnectMinMs: 10,
    });
    const read = errorOf(cache.get("read"));
    const write = errorOf(cache.put("write", "v", { retry: true }));
    const unsent = errorOf(cache.put("unsent", "v"));
    await settleDown();
    sockets.last.end(1011);
    await settleDown();
    expect(await read).toMatchObject({ code: "disconnected", mayHaveHappened: false });
    expect(await write).toMatchObject({ code: "disconnected", mayHaveHappened: true });
    expect(await unsent).toMatchObject(NOT_CONNECTED);
    await pass(10);
    sockets.last.open();
    await settleDown();
    expect(sockets.last.sent).toEqual([]);
  });

  test("a watch waits for its connection, and outlives it", async () => {
    const { cache, asked, receive, reconnect, sockets } = opened({ failFast: true, heartbeatMs: 0 });
    const changes = cache.watch("a");
    const first = changes.next();
    sockets.last.open();
    expect(await asked()).toMatchObject([{ op: 0x10, key: "a" }]);
    await receive(ok());
    await reconnect();
    expect(await asked()).toMatchObject([{ op: 0x10, key: "a" }]);
    await receive(ok());
    expect((await first).value).toEqual({ reset: "a" });
    sockets.last.end();
    const given = changes.return!();
    await reconnect();
    expect((await asked()).map(({ op }) => op)).toEqual([0x10, 0x11]);
    await receive(ok(), ok());
    expect(await given).toEqual({ done: true, value: undefined });
  });

  test("closed is closed, and no longer not connected", async () => {
    const { cache } = opened({ failFast: true });
    await cache.close();
    expect((await errorOf(cache.get("k"))).code).toBe("closed");
  });
});

describe("heartbeat", () => {
  test("a connection that is half-open is found while idle, and made again", async () => {
    const { cache, pass, sockets, events } = await connected({ heartbeatMs: 1000, reconnectMinMs: 10 });
    await pass(1500);
    expect(requestsIn(sockets.last.sent[0]!)).toEqual([{ op: 10, key: "" }]);
    await pass(1000);
    expect(events[0]).toEqual([
      "close",
      { code: 1006, reason: "nothing came for 2000 ms", willReconnect: true },
    ]);
    await pass(10);
    sockets.last.open();
    const get = cache.get("k");
    await pass(0);
    // The PING was asked again, as every read.
    sockets.last.receive(value(""));
    sockets.last.receive(value("v"));
    expect(await get).toBe("v");
  });

  test("requests under way are found to be lost: reads go again, writes may have happened", async () => {
    const { cache, pass, sockets } = await connected({
      heartbeatMs: 1000,
      timeoutMs: 30_000,
      reconnectMinMs: 10,
    });
    const get = cache.get("g");
    const put = errorOf(cache.put("p", "v"));
    await pass(2500);
    expect(await put).toMatchObject({ code: "disconnected", mayHaveHappened: true });
    expect(sockets.made[0]!.sent).toHaveLength(1);
    await pass(10);
    sockets.last.open();
    await pass(0);
    sockets.last.receive(value("found"));
    expect(await get).toBe("found");
  });

  test("a busy connection carries no PING", async () => {
    const { cache, pass, sockets } = await connected({ heartbeatMs: 1000 });
    for (let i = 0; i < 40; i++) {
      const get = cache.get(`k${i}`);
      await pass(0);
      sockets.last.receive(miss());
      await get;
      await pass(400);
    }
    const ops = sockets.last.sent.flatMap((message) => requestsIn(message).map(({ op }) => op));
    expect(ops).toEqual(Array.from({ length: 40 }, () => 1));
  });

  test("an idle one carries a PING a heartbeat and a half, and holds", async () => {
    const { pass, sockets, events } = await connected({ heartbeatMs: 1000 });
    for (let i = 0; i < 10; i++) {
      await pass(1500);
      expect(sockets.last.sent).toHaveLength(i + 1);
      sockets.last.receive(value(""));
    }
    expect(events).toEqual([]);
  });

  test("a large message that is leaving slowly is a sign of life", async () => {
    const { cache, pass, sockets, events } = await connected({ heartbeatMs: 1000, timeoutMs: 60_000 });
    const put = cache.put("big", new Uint8Array(1 << 20));
    await pass(0);
    for (let left = 1 << 20; left > 0; left -= 1 << 16) {
      sockets.last.bufferedAmount = left;
      await pass(500);
    }
    expect(events).toEqual([]);
    sockets.last.receive(number(7n));
    expect(await put).toBe(7);
  });

  test("a request that asks for more time of its own is waited for", async () => {
    const { cache, pass, sockets, events } = await connected({ heartbeatMs: 1000 });
    const cleared = cache.clear("", { timeoutMs: 20_000 });
    await pass(19_000);
    sockets.last.receive(number(3n));
    expect(await cleared).toBe(3);
    expect(events).toEqual([]);
    const lost = errorOf(cache.clear("", { timeoutMs: 20_000 }));
    await pass(21_000);
    expect(await lost).toMatchObject({ code: "timeout", mayHaveHappened: true });
    expect(events[0]).toMatchObject(["close", { code: 1006 }]);
  });

  test("none with heartbeatMs 0", async () => {
    const { pass, sockets, events } = await connected({ heartbeatMs: 0 });
    await pass(10_000_000);
    expect([sockets.last.sent, events]).toEqual([[], []]);
  });

  test("it is as patient as the requests are", () => {
    const heartbeatOf = (options: ConnectOptions) =>
      settle(URL, { WebSocket: new FakeSockets().WebSocket, ...options }).heartbeatMs;
    expect(heartbeatOf({})).toBe(5000);
    expect(heartbeatOf({ timeoutMs: 100 })).toBe(5000);
    expect(heartbeatOf({ timeoutMs: 60_000 })).toBe(60_000);
    expect(heartbeatOf({ timeoutMs: 60_000, heartbeatMs: 2000 })).toBe(2000);
  });
});

describe("bounds", () => {
  test("a server with a smaller maximum: the message that was too large is not sent again, the others are", async () => {
    const { cache, pass, sockets, settleDown } = await connected({ reconnectMinMs: 10 });
    const big = errorOf(cache.put("big", new Uint8Array(500_000), { retry: true }));
    const get = cache.get("small");
    await settleDown();
    expect(sockets.last.sent.map(({ length }) => length)).toEqual([500_011, 9]);
    sockets.last.end(1009, "message too large");
    await settleDown();
    expect(await big).toMatchObject({ code: "value-too-large", mayHaveHappened: false });
    await pass(10);
    sockets.last.open();
    await settleDown();
    expect(requestsIn(sockets.last.sent[0]!).map(({ key }) => key)).toEqual(["small"]);
    sockets.last.receive(value("fine"));
    expect(await get).toBe("fine");
    expect((await errorOf(cache.put("big", new Uint8Array(500_000)))).code).toBe("value-too-large");
  });

  test("many small requests in a message that was too large go in smaller ones", async () => {
    const { cache, pass, sockets, settleDown } = await connected({ reconnectMinMs: 10 });
    const gets = Array.from({ length: 100 }, (_, i) => cache.get(`key ${i + 100}`));
    await settleDown();
    let longest = Infinity;
    for (let round = 0; round < 3; round++) {
      const lengths = sockets.last.sent.map(({ length }) => length);
      expect(Math.max(...lengths)).toBeLessThan(longest);
      longest = Math.max(...lengths);
      sockets.last.end(1009);
      await settleDown();
      await pass(1000);
      sockets.last.open();
      await settleDown();
    }
    const asked = sockets.last.sent.flatMap((message) => requestsIn(message));
    for (const { key } of asked) sockets.last.receive(value(key));
    expect(await Promise.all(gets)).toEqual(Array.from({ length: 100 }, (_, i) => `key ${i + 100}`));
  });

  test("messages are no larger than messageBytesMax, though many requests wait", async () => {
    const { cache, sockets, settleDown } = await connected({ messageBytesMax: 1024 });
    const puts = Array.from({ length: 50 }, (_, i) => cache.put(`k${i}`, new Uint8Array(300)));
    await settleDown();
    expect(Math.max(...sockets.last.sent.map(({ length }) => length))).toBeLessThanOrEqual(1024);
    for (let i = 0; i < 50; i++) sockets.last.receive(number(1n));
    await Promise.all(puts);
  });
});

test("listeners that are none, and events that there are not", async () => {
  const { cache } = await connected();
  for (const call of [() => cache.on("close", null as never), () => cache.on("closed" as "close", () => {})])
    expect(call).toThrow(expect.objectContaining({ name: "CacheError", code: "invalid-argument" }));
});

test("stats that are no JSON are not-json", async () => {
  const { cache, asked, receive } = await connected();
  const stats = errorOf(cache.stats());
  await asked();
  await receive(value("<html>"));
  expect((await stats).code).toBe("not-json");
});

describe("signals", () => {
  test("20,000 gets with one signal have one listener, and let go of it", async () => {
    const { cache, sockets, settleDown } = await connected();
    const abort = new AbortController();
    const listeners = countListeners(abort.signal);
    const answered = Array.from({ length: 10_000 }, (_, i) => cache.get(`${i}`, { signal: abort.signal }));
    await settleDown();
    for (let i = 0; i < 10_000; i++) sockets.last.receive(miss());
    await Promise.all(answered);
    expect(listeners).toEqual({ added: 1, removed: 1 });
    const given = Array.from({ length: 20_000 }, () => errorOf(cache.get("k", { signal: abort.signal })));
    await settleDown();
    expect(listeners).toEqual({ added: 2, removed: 1 });
    abort.abort();
    await settleDown();
    expect(new Set((await Promise.all(given)).map(({ code }) => code))).toEqual(new Set(["aborted"]));
  });
});

function countListeners(signal: AbortSignal): { added: number; removed: number } {
  const counts = { added: 0, removed: 0 };
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<AbortSignal["addEventListener"]>) => {
    counts.added++;
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<AbortSignal["removeEventListener"]>) => {
    counts.removed++;
    removeEventListener.apply(signal, args);
  };
  return counts;
}
