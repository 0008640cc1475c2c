/**
 * The rules of the near cache, one by one (R1 to R9 of near/rules.ts), on time and sockets that the test holds: each test fails
 * when its rule is broken.
 */
import { describe, expect, test } from "bun:test";
import { errorOf } from "./error-of";
import { connected as connect } from "./fake-connection";
import { changed, current, failure, metaValue, miss, number, ok, reset, value } from "./wire-replies";

const AGE = 1000;
const connected = (near: object = {}, options: object = {}) =>
  connect({ heartbeatMs: 0, near: { maxAgeMs: AGE, ...near }, ...options });
type Client = Awaited<ReturnType<typeof connected>>;

/** Reads a key and answers; what the client is given. */
async function readWith(
  { cache, asked, receive }: Client,
  key: string,
  reply: Buffer,
): Promise<string | null> {
  const read = cache.get(key);
  expect((await asked()).map(({ op, key }) => ({ op, key }))).toEqual([{ op: 1, key }]);
  await receive(reply);
  return await read;
}

/** A client that holds a copy of "k". */
async function holding(reply = metaValue("v5", 5), near = {}, options = {}): Promise<Client> {
  const client = await connected(near, options);
  await readWith(client, "k", reply);
  return client;
}

/** Moves the proof on: a request that leaves now is answered. */
async function prove({ cache, asked, receive }: Client): Promise<void> {
  const ping = cache.ping();
  await asked();
  await receive(value(""));
  await ping;
}

describe("R1: served is what is of this connection, lives, and was proven young enough", () => {
  test("a value that was read is served without asking, as text, as bytes, and by peek", async () => {
    const client = await holding(metaValue("grüße 🍞", 5));
    const { cache, asked } = client;
    expect(await cache.get("k")).toBe("grüße 🍞");
    expect(cache.near.peek("k")).toBe("grüße 🍞");
    expect(await cache.getBytes("k")).toEqual(new TextEncoder().encode("grüße 🍞"));
    expect(await cache.many(["k", "k"])).toEqual(["grüße 🍞", "grüße 🍞"]);
    expect(await asked()).toEqual([]);
    expect(cache.near.stats()).toMatchObject({ hits: 5, misses: 1, entries: 1 });
  });

  test("until the last proof is maxAgeMs old, to the millisecond", async () => {
    const client = await holding();
    const { cache, clock } = client;
    await clock.advance(AGE);
    expect(cache.near.peek("k")).toBe("v5");
    await clock.advance(1);
    expect(cache.near.peek("k")).toBeUndefined();
  });

  test("the age counts from when the request left, not from its answer", async () => {
    const client = await connected();
    const { cache, clock, asked, receive } = client;
    const get = cache.get("k");
    await asked();
    await clock.advance(900);
    await receive(metaValue("v", 5));
    expect(await get).toBe("v");
    expect(cache.near.peek("k")).toBe("v");
    await clock.advance(101);
    expect(cache.near.peek("k")).toBeUndefined();
  });

  test("until the entry expires, counted from when the request left", async () => {
    const client = await connected();
    const { cache, clock, asked, receive } = client;
    const get = cache.get("k");
    await asked();
    await clock.advance(300);
    await receive(metaValue("v", 5, 500));
    await get;
    await clock.advance(199);
    expect(cache.near.peek("k")).toBe("v");
    await clock.advance(1);
    expect(cache.near.peek("k")).toBeUndefined();
  });

  test("nothing without the option, though everything else is the same", async () => {
    const { cache, asked, receive } = await connect({ heartbeatMs: 0 });
    const get = cache.get("k");
    expect(await asked()).toMatchObject([{ op: 1, flags: 0 }]);
    await receive(value("v"));
    expect(await get).toBe("v");
    expect(cache.near.peek("k")).toBeUndefined();
    expect(cache.near.stats()).toEqual({
      hits: 0,
      misses: 0,
      revalidations: 0,
      invalidations: 0,
      evictions: 0,
      entries: 0,
      bytes: 0,
    });
  });

  test("a clock that leaps, as after sleep, makes everything too old at once", async () => {
    const client = await holding();
    client.clock.leap(AGE + 1);
    expect(client.cache.near.peek("k")).toBeUndefined();
  });
});

describe("R2: one fetch for a key at a time, with what is needed to keep its answer", () => {
  test("it asks for version and time, watches the key, and names the version that it holds", async () => {
    const client = await holding();
    const { cache, clock, asked, receive } = client;
    await clock.advance(AGE + 1);
    const get = cache.get("k");
    expect(await asked()).toEqual([
      { op: 1, flags: 0x18, key: "k", version: 5, ttlMs: undefined, value: undefined },
    ]);
    await receive(current(400));
    expect(await get).toBe("v5");
    expect(cache.near.stats()).toMatchObject({ revalidations: 1, entries: 1 });
    // What remains was told anew, and counts from when the request left.
    await clock.advance(399);
    expect(cache.near.peek("k")).toBe("v5");
    await clock.advance(1);
    expect(cache.near.peek("k")).toBeUndefined();
  });

  test("a thousand callers share it", async () => {
    const { cache, asked, receive } = await connected();
    const gets = Array.from({ length: 1000 }, (_, i) => (i % 2 ? cache.get("k") : cache.getBytes("k")));
    expect(await asked()).toHaveLength(1);
    await receive(metaValue("v", 5));
    const answers = await Promise.all(gets);
    expect(answers.filter((answer) => answer === "v")).toHaveLength(500);
    const bytes = answers.filter((answer) => typeof answer !== "string");
    expect(new Set(bytes).size).toBe(500);
  });

  test("each gives up by its own signal and time, and the others still get their answer", async () => {
    const { cache, asked, receive, pass } = await connected();
    const abort = new AbortController();
    const first = errorOf(cache.get("k", { timeoutMs: 100 }));
    const second = errorOf(cache.get("k", { signal: abort.signal }));
    const third = cache.get("k");
    expect((await errorOf(cache.get("k", { signal: AbortSignal.abort() }))).code).toBe("aborted");
    expect(await asked()).toHaveLength(1);
    abort.abort();
    expect((await second).code).toBe("aborted");
    await pass(100);
    expect((await first).message).toBe("no answer within 100 ms");
    // The fetch was the first one's, and ended with its time.
    expect(await asked()).toHaveLength(1);
    await receive(Buffer.concat([metaValue("late", 5), metaValue("v", 6)]));
    expect(await third).toBe("v");
    expect(cache.near.peek("k")).toBe("v");
  });

  test("one whose answer may be too old already is not joined", async () => {
    const { cache, clock, asked, receive } = await connected();
    const first = cache.get("k");
    await asked();
    await clock.advance(AGE);
    const joined = cache.get("k");
    expect(await asked()).toHaveLength(0);
    await clock.advance(1);
    const second = cache.get("k");
    expect(await asked()).toHaveLength(1);
    await receive(metaValue("old", 5), metaValue("new", 6));
    expect(await Promise.all([first, joined, second])).toEqual(["old", "old", "new"]);
    expect(cache.near.peek("k")).toBe("new");
  });

  test("an error is everybody's, and nothing is kept", async () => {
    const { cache, asked, receive } = await connected();
    const gets = [errorOf(cache.get("k")), errorOf(cache.get("k"))];
    await asked();
    await receive(failure(0x86, "busy"));
    expect((await Promise.all(gets)).map(({ code }) => code)).toEqual(["busy", "busy"]);
    expect(cache.near.stats().entries).toBe(0);
    const again = cache.get("k");
    expect(await asked()).toHaveLength(1);
    await receive(miss());
    expect(await again).toBeNull();
  });

  test("CURRENT where no version was named ends the connection, as any answer to something else", async () => {
    const { cache, asked, receive, events, reconnect } = await connected();
    const get = cache.get("k");
    await asked();
    await receive(current());
    expect(events[0]).toMatchObject(["close", { code: 1002 }]);
    await reconnect();
    expect(await asked()).toMatchObject([{ op: 1, key: "k" }]);
    await receive(metaValue("v", 5));
    expect(await get).toBe("v");
  });
});

describe("R3: an answer is stored unless something newer is known of, where it is read", () => {
  test("a push before the answer, newer than it: the callers have the answer, and it is not kept", async () => {
    const { cache, asked, receive } = await connected();
    const get = cache.get("k");
    await asked();
    await receive(changed(["k", 6]), metaValue("v5", 5));
    expect(await get).toBe("v5");
    expect(cache.near.peek("k")).toBeUndefined();
  });

  test("a push before the answer, no newer than it: kept", async () => {
    const { cache, asked, receive } = await connected();
    const get = cache.get("k");
    await asked();
    await receive(changed(["k", 6]), metaValue("v6", 6));
    expect(await get).toBe("v6");
    expect(cache.near.peek("k")).toBe("v6");
  });

  test("version 0 before the answer: not kept, whatever its version is", async () => {
    const { cache, asked, receive } = await connected();
    const get = cache.get("k");
    await asked();
    await receive(changed(["k", 0]), metaValue("v", 99));
    expect(await get).toBe("v");
    expect(cache.near.peek("k")).toBeUndefined();
  });

  test("answer and push in one turn of the event loop, in both orders", async () => {
    for (const isPushFirst of [true, false]) {
      const client = await connected();
      const { cache, sockets, asked, settleDown } = client;
      const get = cache.get("k");
      await asked();
      const messages = [metaValue("v5", 5), changed(["k", 6])];
      if (isPushFirst) messages.reverse();
      for (const message of messages) sockets.last.receive(message);
      // No microtask has run yet.
      expect(cache.near.peek("k")).toBeUndefined();
      await settleDown();
      expect(await get).toBe("v5");
      expect(cache.near.peek("k")).toBeUndefined();
    }
  });

  test("a value is there before the promises of its callers are", async () => {
    const { cache, sockets, asked } = await connected();
    const get = cache.get("k");
    await asked();
    sockets.last.receive(metaValue("v5", 5));
    expect(cache.near.peek("k")).toBe("v5");
    expect(await get).toBe("v5");
  });

  test("absence is kept, and known to be absence", async () => {
    const client = await holding(miss());
    const { cache, asked, receive } = client;
    expect(cache.near.peek("k")).toBeNull();
    expect(await cache.get("k")).toBeNull();
    expect(await cache.getBytes("k")).toBeNull();
    await receive(changed(["k", 7]));
    const get = cache.get("k");
    expect(await asked()).toMatchObject([{ op: 1, version: undefined }]);
    await receive(metaValue("there", 7));
    expect(await get).toBe("there");
  });

  test("absence is not kept when any change was pushed before the answer", async () => {
    const { cache, asked, receive } = await connected();
    const get = cache.get("k");
    await asked();
    await receive(changed(["k", 1]), miss());
    expect(await get).toBeNull();
    expect(cache.near.peek("k")).toBeUndefined();
  });

  test("two fetches of one key with a write between: the newer stays", async () => {
    const { cache, clock, asked, receive } = await connected();
    const first = cache.get("k");
    await asked();
    await clock.advance(AGE + 1);
    const second = cache.get("k");
    await asked();
    await receive(metaValue("v5", 5), changed(["k", 6]), metaValue("v6", 6));
    expect(await Promise.all([first, second])).toEqual(["v5", "v6"]);
    expect(cache.near.peek("k")).toBe("v6");
    // Of two fetches in flight, both hear of a change.
    await clock.advance(AGE + 1);
    const third = cache.get("k");
    await asked();
    await clock.advance(AGE + 1);
    const fourth = cache.get("k");
    await asked();
    await receive(changed(["k", 8]), metaValue("v7", 7), metaValue("v7", 7));
    expect(await Promise.all([third, fourth])).toEqual(["v7", "v7"]);
    expect(cache.near.peek("k")).toBeUndefined();
  });

  test("CURRENT after the copy was pushed out of date: the callers get it, and it is not kept", async () => {
    const client = await holding();
    const { cache, clock, asked, receive } = client;
    await clock.advance(AGE + 1);
    const get = cache.get("k");
    await asked();
    await receive(changed(["k", 6]), current());
    expect(await get).toBe("v5");
    expect(cache.near.stats().entries).toBe(0);
  });

  test("an answer that comes after its callers have given up is not kept", async () => {
    const { cache, asked, receive, pass } = await connected();
    const late = errorOf(cache.get("k", { timeoutMs: 100 }));
    await asked();
    await pass(100);
    expect((await late).code).toBe("timeout");
    await receive(metaValue("v5", 5));
    expect(cache.near.peek("k")).toBeUndefined();
  });
});

describe("R4: a change drops older copies", () => {
  for (const [version, stays] of [
    [6, false],
    [5, true],
    [4, true],
    [0, false],
  ] as const)
    test(`version ${version} to a copy of version 5: ${stays ? "it stays" : "it goes"}`, async () => {
      const { cache, receive } = await holding();
      await receive(changed(["other", 9], ["k", version]));
      expect(cache.near.peek("k")).toBe(stays ? "v5" : undefined);
      expect(cache.near.stats()).toMatchObject({ entries: stays ? 1 : 0, invalidations: stays ? 0 : 1 });
    });

  test("who asks after the push does not get what was asked before it", async () => {
    const { cache, asked, receive } = await connected();
    const before = cache.get("k");
    await asked();
    await receive(changed(["k", 6]));
    const after = cache.get("k");
    expect(await asked()).toHaveLength(1);
    await receive(metaValue("v5", 5), metaValue("v6", 6));
    expect(await Promise.all([before, after])).toEqual(["v5", "v6"]);
    expect(cache.near.peek("k")).toBe("v6");
  });
});

describe("R5: a reset drops what is under its prefix, and what is on its way is not kept", () => {
  test("copies under the prefix go; others are revalidated, for no single key is watched any more", async () => {
    const client = await connected();
    const { cache, asked, receive } = client;
    for (const key of ["user:1", "user:2", "page:1"]) await readWith(client, key, metaValue(key, 5));
    await receive(reset("user:"));
    for (const key of ["user:1", "user:2", "page:1"]) expect(cache.near.peek(key)).toBeUndefined();
    expect(cache.near.stats()).toMatchObject({ entries: 1, invalidations: 2 });
    const get = cache.get("page:1");
    expect(await asked()).toMatchObject([{ key: "page:1", version: 5 }]);
    await receive(current());
    expect(await get).toBe("page:1");
    expect(cache.near.peek("page:1")).toBe("page:1");
    await receive(reset());
    expect(cache.near.stats().entries).toBe(0);
  });

  test("an answer after a reset, in one segment with it", async () => {
    for (const prefix of ["", "k", "other"]) {
      const { cache, sockets, asked, settleDown } = await connected();
      const get = cache.get("k");
      await asked();
      sockets.last.receive(reset(prefix));
      sockets.last.receive(metaValue("v5", 5));
      expect(cache.near.peek("k")).toBeUndefined();
      await settleDown();
      expect(await get).toBe("v5");
      expect(cache.near.peek("k")).toBeUndefined();
    }
  });

  test("a prefix that ends within a character drops every key that may be under it", async () => {
    const client = await connected();
    const { cache, receive } = client;
    for (const key of ["ké", "kè", "other"]) await readWith(client, key, metaValue(key, 5));
    // The first byte of both é and è.
    await receive(reset(Buffer.from([0x6b, 0xc3])));
    expect(cache.near.stats()).toMatchObject({ entries: 1, invalidations: 2 });
  });
});

describe("R6: what this client writes, it reads", () => {
  const WRITES: [name: string, write: (cache: Client["cache"]) => Promise<unknown>, reply: Buffer][] = [
    ["put", (cache) => cache.put("k", "mine"), number(6n)],
    ["put of JSON", (cache) => cache.json<number>().put("k", 1), number(6n)],
    ["delete", (cache) => cache.delete("k"), ok()],
    ["touch", (cache) => cache.touch("k", { ttlMs: 10 }), ok()],
    ["add", (cache) => cache.add("k"), number(1n)],
    ["append", (cache) => cache.append("k", "more"), ok()],
    ["clear", (cache) => cache.clear("k"), number(1n)],
    ["clear of everything", (cache) => cache.clear(), number(1n)],
  ];
  for (const [name, write, reply] of WRITES) {
    test(`${name}: the copy is gone when it is called, and reads go to the server behind it`, async () => {
      const client = await holding();
      const { cache, asked, receive } = client;
      const writing = write(cache);
      expect(cache.near.peek("k")).toBeUndefined();
      const read = cache.get("k");
      const [first, second] = await asked();
      expect(second).toMatchObject({ op: 1, key: "k", version: undefined });
      expect(first!.op).not.toBe(1);
      await receive(reply);
      await writing;
      expect(cache.near.peek("k")).toBeUndefined();
      await receive(metaValue("after", 6));
      expect(await read).toBe("after");
      expect(cache.near.peek("k")).toBe("after");
    });

    test(`${name}: a read that left before it is not for who asks after it, and is not kept`, async () => {
      const { cache, asked, receive } = await connected();
      const before = cache.get("k");
      const writing = write(cache);
      const after = cache.get("k");
      expect(await asked()).toHaveLength(3);
      await receive(metaValue("old", 5));
      expect(await before).toBe("old");
      expect(cache.near.peek("k")).toBeUndefined();
      await receive(reply, metaValue("new", 6));
      await writing;
      expect(await after).toBe("new");
      expect(cache.near.peek("k")).toBe("new");
    });
  }

  test("clear of a prefix leaves the others", async () => {
    const client = await connected();
    const { cache, asked, receive } = client;
    for (const key of ["user:1", "page:1"]) await readWith(client, key, metaValue(key, 5));
    const clearing = cache.clear("user:");
    expect(cache.near.peek("user:1")).toBeUndefined();
    expect(cache.near.peek("page:1")).toBe("page:1");
    await asked();
    await receive(number(1n));
    expect(await clearing).toBe(1);
  });
});

describe("R7: every answer moves the proof, and reading near its end asks for one", () => {
  test("any request's answer proves, also an error and one that nobody waits for", async () => {
    for (const [ask, reply] of [
      [(cache: Client["cache"]) => cache.info("other"), miss()],
      [(cache: Client["cache"]) => cache.put("other", "x"), failure(0x86)],
      [(cache: Client["cache"]) => cache.info("other", { timeoutMs: 1 }), miss()],
    ] as const) {
      const { cache, clock, asked, receive } = await holding();
      await clock.advance(900);
      const outcome = ask(cache).then(
        () => {},
        () => {},
      );
      await asked();
      await clock.advance(50);
      await receive(reply);
      await outcome;
      await clock.advance(950);
      expect(cache.near.peek("k")).toBe("v5");
      await clock.advance(1);
      expect(cache.near.peek("k")).toBeUndefined();
    }
  });

  test("a hit in the second half of maxAgeMs sends one PING, and then hits go on", async () => {
    const { cache, clock, asked, receive } = await holding();
    await clock.advance(AGE / 2);
    expect(cache.near.peek("k")).toBe("v5");
    expect(await asked()).toEqual([]);
    await clock.advance(1);
    for (let i = 0; i < 10; i++) expect(await cache.get("k")).toBe("v5");
    expect(await asked()).toMatchObject([{ op: 10 }]);
    await receive(value(""));
    await clock.advance(AGE / 2);
    expect(cache.near.peek("k")).toBe("v5");
    expect(await asked()).toEqual([]);
    await clock.advance(AGE / 2);
    expect(cache.near.peek("k")).toBe("v5");
    expect(await asked()).toMatchObject([{ op: 10 }]);
  });

  test("a PING that is not answered in time is followed by the next", async () => {
    const { cache, pass, asked } = await holding(metaValue("v5", 5), {}, { timeoutMs: 100 });
    await pass(600);
    expect(cache.near.peek("k")).toBe("v5");
    expect(await asked()).toMatchObject([{ op: 10 }]);
    await pass(99);
    expect(cache.near.peek("k")).toBe("v5");
    expect(await asked()).toEqual([]);
    await pass(1);
    expect(cache.near.peek("k")).toBe("v5");
    expect(await asked()).toMatchObject([{ op: 10 }]);
  });

  test("nothing is sent while nothing is read, nor for what is not served", async () => {
    const { cache, clock, asked, receive } = await holding();
    await clock.advance(100 * AGE);
    expect(await asked()).toEqual([]);
    expect(cache.near.peek("k")).toBeUndefined();
    expect(await asked()).toEqual([]);
    const get = cache.get("k");
    expect(await asked()).toMatchObject([{ op: 1, version: 5 }]);
    await receive(current());
    expect(await get).toBe("v5");
  });

  test("when the server answers no more, nothing is served after maxAgeMs", async () => {
    const { cache, clock, asked } = await holding();
    await clock.advance(AGE - 1);
    expect(await cache.get("k")).toBe("v5");
    expect(await asked()).toMatchObject([{ op: 10 }]);
    await clock.advance(2);
    const get = errorOf(cache.get("k", { timeoutMs: 50 }));
    expect(await asked()).toMatchObject([{ op: 1 }]);
    await clock.advance(50);
    expect((await get).code).toBe("timeout");
  });
});

describe("R8: after a disconnect nothing is served until it was revalidated", () => {
  test("copies stay, and each is confirmed with CURRENT or replaced", async () => {
    const client = await connected();
    const { cache, asked, receive, reconnect } = client;
    for (const key of ["a", "b", "gone", "absent"])
      await readWith(client, key, key === "absent" ? miss() : metaValue(key, 5));
    await reconnect();
    await prove(client);
    for (const key of ["a", "b", "gone", "absent"]) expect(cache.near.peek(key)).toBeUndefined();
    const gets = ["a", "b", "gone", "absent"].map((key) => cache.get(key));
    expect((await asked()).map(({ key, version }) => [key, version])).toEqual([
      ["a", 5],
      ["b", 5],
      ["gone", 5],
      ["absent", undefined],
    ]);
    await receive(Buffer.concat([current(), metaValue("new b", 6), miss(), miss()]));
    expect(await Promise.all(gets)).toEqual(["a", "new b", null, null]);
    expect(["a", "b", "gone", "absent"].map((key) => cache.near.peek(key))).toEqual([
      "a",
      "new b",
      null,
      null,
    ]);
    expect(cache.near.stats()).toMatchObject({ revalidations: 1, entries: 4 });
  });

  test("10,000 copies are confirmed without one value on the wire", async () => {
    const client = await connected();
    const { cache, asked, receive, reconnect } = client;
    const keys = Array.from({ length: 10_000 }, (_, i) => `key:${i}`);
    const first = cache.many(keys);
    await asked();
    await receive(...keys.map((key) => metaValue(`value of ${key}`, 5)));
    await first;
    await reconnect();
    const again = cache.many(keys);
    const requests = await asked();
    expect(requests).toHaveLength(10_000);
    expect(requests.every(({ op, version }) => op === 1 && version === 5)).toBe(true);
    await receive(...keys.map(() => current()));
    expect(await again).toEqual(keys.map((key) => `value of ${key}`));
    expect(cache.near.stats()).toMatchObject({ revalidations: 10_000, entries: 10_000 });
  });

  test("a proof of the connection before proves nothing", async () => {
    const client = await holding();
    const { cache, connection, reconnect } = client;
    await reconnect();
    expect(connection.provenAt).toBe(-Infinity);
    expect(cache.near.peek("k")).toBeUndefined();
  });

  test("a fetch in flight is sent again, and what it brings then is kept", async () => {
    const { cache, asked, receive, reconnect } = await connected();
    const get = cache.get("k");
    await asked();
    await reconnect();
    expect(await asked()).toMatchObject([{ op: 1, key: "k" }]);
    await receive(metaValue("v5", 5));
    expect(await get).toBe("v5");
    expect(cache.near.peek("k")).toBe("v5");
  });

  test("a client that is closed serves nothing", async () => {
    const { cache, sockets, asked, settleDown } = await holding();
    const get = cache.get("other");
    await asked();
    const closing = cache.close();
    expect(cache.near.peek("k")).toBeUndefined();
    sockets.last.receive(metaValue("late", 5));
    expect(await get).toBe("late");
    expect(cache.near.peek("other")).toBeUndefined();
    expect((await errorOf(cache.get("k"))).code).toBe("closed");
    sockets.last.end(1000);
    await closing;
    await settleDown();
  });
});

describe("R9: what is held is bounded, and belongs to the cache", () => {
  test("copies take at most maxBytes, and what goes needs no message", async () => {
    const client = await connected({ maxBytes: 10_000 });
    const { cache, asked } = client;
    for (let i = 0; i < 100; i++) await readWith(client, `key:${i}`, metaValue("v".repeat(400), 5));
    const { bytes, entries, evictions } = cache.near.stats();
    expect(bytes).toBeLessThanOrEqual(10_000);
    expect(entries).toBe(15);
    expect(evictions).toBe(85);
    expect(await asked()).toEqual([]);
  });

  test("what is read stays longer than what is not", async () => {
    const client = await connected({ maxBytes: 10_000 });
    const { cache } = client;
    for (let i = 0; i < 100; i++) {
      await readWith(client, `key:${i}`, metaValue("v".repeat(400), 5));
      cache.near.peek("key:0");
      if (i > 0) await cache.get("key:1");
    }
    expect([0, 1].map((i) => typeof cache.near.peek(`key:${i}`))).toEqual(["string", "string"]);
  });

  test("a value that would take an eighth of everything is not held", async () => {
    const client = await connected({ maxBytes: 80_000 });
    expect(await readWith(client, "big", metaValue("v".repeat(10_000), 5))).toHaveLength(10_000);
    expect(client.cache.near.stats()).toMatchObject({ entries: 0, evictions: 0 });
    await readWith(client, "smaller", metaValue("v".repeat(9000), 5));
    expect(client.cache.near.stats().entries).toBe(1);
  });

  test("who changes the bytes that he was given changes nobody else's", async () => {
    const { cache, asked, receive } = await connected();
    const gets = [cache.getBytes("k"), cache.getBytes("k")];
    await asked();
    await receive(metaValue("abc", 5));
    const [first, second] = await Promise.all(gets);
    first!.fill(0);
    const third = await cache.getBytes("k");
    third!.fill(1);
    expect([second, await cache.getBytes("k")]).toEqual(
      [Buffer.from("abc"), Buffer.from("abc")].map((b) => new Uint8Array(b)),
    );
    expect(await cache.get("k")).toBe("abc");
  });

  test("bytes that are no text stay what they are, whoever reads them first", async () => {
    const raw = Buffer.from([0xff, 0x61, 0xef, 0xbb, 0xbf]);
    const client = await connected();
    const { cache, asked, receive } = client;
    const get = cache.get("k");
    await asked();
    const head = metaValue("", 5);
    head.writeUInt32LE(raw.length, 17);
    await receive(Buffer.concat([head, raw]));
    expect(await get).toBe("\ufffda\ufeff");
    expect(await cache.getBytes("k")).toEqual(new Uint8Array(raw));
    await readWith(client, "bom", metaValue("\ufefftext", 5));
    expect(await cache.getBytes("bom")).toEqual(new Uint8Array(Buffer.from("\ufefftext")));
  });
});

test("getWithMeta and info always ask the server", async () => {
  const { cache, asked, receive } = await holding();
  const meta = cache.getWithMeta("k");
  const info = cache.info("k");
  expect(await asked()).toHaveLength(2);
  await receive(metaValue("v6", 6), miss());
  expect((await meta)!.version).toBe(6);
  expect(await info).toBeNull();
});

test("options are checked before a copy is looked for", async () => {
  const { cache } = await holding();
  for (const options of [{ ttlMs: 5 }, { timeoutMs: 0 }, { signal: {} }])
    expect((await errorOf(cache.get("k", options as object))).code).toBe("invalid-argument");
  expect((await errorOf(cache.get("k", { signal: AbortSignal.abort() }))).code).toBe("aborted");
  expect(await cache.get("k", { timeoutMs: 5 })).toBe("v5");
});
