/** Watches of prefixes, on time and sockets that the test holds. */
import { describe, expect, test } from "bun:test";
import type { Change } from "../../src/client/client";
import { BACKLOG_BYTES_MAX, type Watch } from "../../src/client/watch";
import { errorOf } from "./error-of";
import { connected as connect } from "./fake-connection";
import { changed, failure, metaValue, miss, ok, reset } from "./wire-replies";

const WATCH = 0x10;
const UNWATCH = 0x11;
const connected = (options: object = {}) => connect({ heartbeatMs: 0, ...options });
type Client = Awaited<ReturnType<typeof connected>>;
type Changes = ReturnType<Client["cache"]["watch"]>;

/** A watch that the server has confirmed; its first `next` waits. */
async function watching({ cache, asked, receive }: Client, prefix = "user:") {
  const changes = cache.watch(prefix);
  const first = changes.next();
  expect(await asked()).toMatchObject([{ op: WATCH, flags: 0, key: prefix }]);
  await receive(ok());
  return { changes, first };
}

/** The next so many changes. */
async function take(changes: Changes, count: number): Promise<Change[]> {
  const taken: Change[] = [];
  while (taken.length < count) {
    const { value, done } = await changes.next();
    if (done) throw new Error("it has ended");
    taken.push(value);
  }
  return taken;
}

describe("changes", () => {
  test("come with key and version, in their order, from the first next on", async () => {
    const client = await connected();
    const { cache, asked, receive } = client;
    cache.watch("user:");
    expect(await asked()).toEqual([]);
    const { changes, first } = await watching(client);
    await receive(changed(["user:1", 5], ["other", 6], ["user:2", 0]), changed(["user:1", 7]));
    expect(await first).toEqual({ done: false, value: { key: "user:1", version: 5 } });
    expect(await take(changes, 2)).toEqual([
      { key: "user:2", version: 0 },
      { key: "user:1", version: 7 },
    ]);
  });

  test("a loop reads them, and its end is told to the server", async () => {
    const { cache, asked, receive, settleDown } = await connected();
    const seen: Change[] = [];
    const loop = (async () => {
      for await (const change of cache.watch("a")) if (seen.push(change) === 2) break;
    })();
    expect(await asked()).toMatchObject([{ op: WATCH }]);
    await receive(ok(), changed(["a", 5], ["ab", 6], ["abc", 7]));
    await loop;
    expect(seen).toEqual([
      { key: "a", version: 5 },
      { key: "ab", version: 6 },
    ]);
    expect(await asked()).toMatchObject([{ op: UNWATCH, flags: 0, key: "a" }]);
    await receive(ok(), changed(["a", 8]));
    await settleDown();
  });

  test("without a prefix all keys are watched", async () => {
    const client = await connected();
    const { first } = await watching(client, "");
    await client.receive(changed(["anything", 5]));
    expect((await first).value).toEqual({ key: "anything", version: 5 });
  });

  test("who hears of a change reads no older value, though an older one is on its way", async () => {
    const client = await connected({ near: {} });
    const { first } = await watching(client);
    const { cache, asked, receive } = client;
    const before = cache.get("user:1");
    await asked();
    const after = first.then(() => cache.get("user:1"));
    await receive(changed(["user:1", 6]));
    expect(await asked()).toHaveLength(1);
    await receive(metaValue("old", 5), metaValue("new", 6));
    expect(await Promise.all([before, after])).toEqual(["old", "new"]);
  });
});

describe("resets", () => {
  test("name what they are about, within what is watched", async () => {
    const client = await connected();
    const { changes, first } = await watching(client);
    await client.receive(reset("user:4"), reset("us"), reset(), reset("other"), changed(["user:1", 5]));
    expect((await first).value).toEqual({ reset: "user:4" });
    expect(await take(changes, 3)).toEqual([
      { reset: "user:" },
      { reset: "user:" },
      { key: "user:1", version: 5 },
    ]);
  });

  test("who does not read gets one in the place of all that waits", async () => {
    const client = await connected();
    const { changes, first } = await watching(client);
    const { receive } = client;
    await receive(changed(["user:first", 1]));
    await first;
    const key = `user:${"x".repeat(1000)}`;
    const fits = Math.floor(BACKLOG_BYTES_MAX / (64 + 2 * key.length));
    for (let i = 0; i < fits; i++) await receive(changed([key, 100 + i]));
    expect((changes as Watch)["backlog"].length).toBe(fits);
    await receive(changed([key, 999]), changed(["user:after", 1000]));
    expect(await take(changes, 2)).toEqual([{ reset: "user:" }, { key: "user:after", version: 1000 }]);
  });
});

describe("several watches", () => {
  test("of one prefix share what the server tells, until the last of them ends", async () => {
    const client = await connected();
    const { cache, asked, receive } = client;
    const { changes, first } = await watching(client);
    const other = cache.watch("user:");
    const otherFirst = other.next();
    expect(await asked()).toEqual([]);
    await receive(changed(["user:1", 5]));
    expect((await first).value).toEqual((await otherFirst).value);
    await changes.return!();
    expect(await asked()).toEqual([]);
    await other.return!();
    expect(await asked()).toMatchObject([{ op: UNWATCH, key: "user:" }]);
    // A new one begins anew, behind the end of the one before.
    void cache.watch("user:").next();
    expect(await asked()).toMatchObject([{ op: WATCH, key: "user:" }]);
    await receive(ok(), ok());
  });

  test("of prefixes within each other each get what is theirs", async () => {
    const client = await connected();
    const all = await watching(client, "");
    const users = await watching(client, "user:");
    await client.receive(changed(["page", 5], ["user:1", 6]));
    expect((await all.first).value).toEqual({ key: "page", version: 5 });
    expect((await users.first).value).toEqual({ key: "user:1", version: 6 });
    expect(await take(all.changes, 1)).toEqual([{ key: "user:1", version: 6 }]);
  });
});

describe("the end", () => {
  for (const [status, code] of [
    [0x86, "busy"],
    [0x85, "forbidden"],
    [0x81, "unknown-op"],
  ] as const)
    test(`${code} is the error of the first next, of each watch`, async () => {
      const { cache, asked, receive } = await connected();
      const [one, two] = [cache.watch("p"), cache.watch("p")];
      const errors = [errorOf(one.next()), errorOf(two.next())];
      expect(await asked()).toMatchObject([{ op: WATCH }]);
      await receive(failure(status));
      expect((await Promise.all(errors)).map((error) => error.code)).toEqual([code, code]);
      expect(await one.next()).toEqual({ done: true, value: undefined });
    });

  test("arguments that no server takes, and a signal that was aborted before", async () => {
    const { cache, asked } = await connected();
    const wrong: [Changes, string][] = [
      [cache.watch("k".repeat(65_536)), "bad-key"],
      [cache.watch("a\ud800"), "invalid-argument"],
      [cache.watch("a", { ttlMs: 5 } as object), "invalid-argument"],
      [cache.watch("a", { signal: AbortSignal.abort() }), "aborted"],
    ];
    for (const [changes, code] of wrong) {
      expect((await errorOf(changes.next())).code).toBe(code as never);
      expect((await changes.next()).done).toBe(true);
    }
    expect((await asked()).filter(({ op }) => op === WATCH)).toEqual([]);
  });

  test("by a signal, also while nobody reads: what waits is read first", async () => {
    const { cache, asked, receive } = await connected();
    const abort = new AbortController();
    const changes = cache.watch("a", { signal: abort.signal });
    const first = changes.next();
    await asked();
    await receive(ok(), changed(["a", 1], ["a", 2]));
    await first;
    abort.abort();
    expect(await asked()).toMatchObject([{ op: UNWATCH }]);
    await receive(ok());
    expect(await take(changes, 1)).toEqual([{ key: "a", version: 2 }]);
    expect((await errorOf(changes.next())).code).toBe("aborted");
    expect((await changes.next()).done).toBe(true);
  });

  test("by return while a next waits, and before the first next", async () => {
    const client = await connected();
    const { changes, first } = await watching(client);
    const second = changes.next();
    expect(await changes.return!()).toEqual({ done: true, value: undefined });
    expect([await first, await second]).toEqual([
      { done: true, value: undefined },
      { done: true, value: undefined },
    ]);
    await client.asked();
    const unused = client.cache.watch("user:");
    await unused.return!();
    expect((await unused.next()).done).toBe(true);
    expect(await client.asked()).toEqual([]);
  });

  test("with the client: quietly when it is closed, with the error when it ends by itself", async () => {
    const closing = await connected();
    const one = await watching(closing);
    const closed = closing.cache.close();
    expect((await one.first).done).toBe(true);
    closing.sockets.last.end(1000);
    await closed;
    expect((await errorOf(closing.cache.watch("x").next())).code).toBe("closed");
    const ending = await connected();
    const two = await watching(ending);
    const failed = errorOf(two.first);
    ending.sockets.last.end(4401, "the token has expired");
    expect((await failed).code).toBe("unauthorized");
  });

  test("no answer within its time is the first next's error, and a registration that came late is ended", async () => {
    const { cache, asked, receive, pass } = await connected();
    const failed = errorOf(cache.watch("a", { timeoutMs: 100 }).next());
    await asked();
    await pass(100);
    expect((await failed).code).toBe("timeout");
    expect(await asked()).toMatchObject([{ op: UNWATCH, key: "a" }]);
    await receive(ok(), changed(["a", 5]), ok());
  });
});

describe("a connection that breaks", () => {
  test("is watched again, and a reset says that changes may have been missed", async () => {
    const client = await connected();
    const { asked, receive, reconnect } = client;
    const { changes, first } = await watching(client);
    await reconnect();
    expect(await asked()).toMatchObject([{ op: WATCH, key: "user:" }]);
    await receive(ok(), changed(["user:1", 9]));
    expect((await first).value).toEqual({ reset: "user:" });
    expect(await take(changes, 1)).toEqual([{ key: "user:1", version: 9 }]);
    await reconnect();
    await receive(ok());
    expect(await take(changes, 1)).toEqual([{ reset: "user:" }]);
  });

  test("before the first answer: asked once more, and nothing was missed", async () => {
    const client = await connected();
    const { cache, asked, receive, reconnect } = client;
    const first = cache.watch("a").next();
    await asked();
    await reconnect();
    expect(await asked()).toMatchObject([{ op: WATCH }]);
    await receive(ok(), changed(["a", 5]));
    expect((await first).value).toEqual({ key: "a", version: 5 });
  });

  test("and is away for long: the watch is set when it is back", async () => {
    const client = await connected({ timeoutMs: 100, reconnectMaxMs: 10_000, connectTimeoutMs: 1000 });
    const { sockets, pass, asked, receive } = client;
    const { first } = await watching(client);
    sockets.last.end();
    for (let waited = 0; waited < 4000 || sockets.last.state !== "connecting"; waited += 100) {
      if (sockets.last.state === "connecting") sockets.last.end();
      await pass(100);
    }
    sockets.last.open();
    expect(await asked()).toMatchObject([{ op: WATCH, key: "user:" }]);
    await receive(ok());
    expect((await first).value).toEqual({ reset: "user:" });
  });

  test("a server that has no room for it any more ends the watch with its error", async () => {
    const client = await connected();
    const { receive, reconnect } = client;
    const { first } = await watching(client);
    await reconnect();
    const failed = errorOf(first);
    await receive(failure(0x86));
    expect((await failed).code).toBe("busy");
  });

  test("a watch that ended meanwhile is not asked for again", async () => {
    const client = await connected();
    const { sockets, settleDown, asked, events, pass } = client;
    const { changes } = await watching(client);
    sockets.last.end();
    await settleDown();
    await changes.return!();
    await pass((events.at(-1)![1] as { delayMs: number }).delayMs);
    sockets.last.open();
    expect((await asked()).map(({ op }) => op)).toEqual([WATCH, UNWATCH]);
  });
});

test("a WATCH that is answered with something else ends the connection", async () => {
  const { cache, asked, receive, events } = await connected();
  void cache.watch("a").next();
  await asked();
  await receive(miss());
  expect(events[0]).toMatchObject(["close", { code: 1002 }]);
});
