/** getOrCompute and its leases, on time and sockets that the test holds. */
import { describe, expect, test } from "bun:test";
import { connected as connect } from "./fake-connection";
import { errorOf } from "./error-of";
import {
  changed,
  failure,
  filled,
  hitLeased,
  leased,
  metaValue,
  miss,
  number,
  ok,
  pending,
  refused,
  reset,
  value,
} from "./wire-replies";

const GET = 0x01;
const PUT = 0x02;
const LEASE = 0x12;
const RELEASE = 0x13;
const connected = (options: object = {}) => connect({ heartbeatMs: 0, ...options });

/** A computation whose end the test decides. */
class Work {
  calls = 0;
  private settle = Promise.withResolvers<string | Uint8Array>();
  readonly compute = (): Promise<string | Uint8Array> => {
    this.calls++;
    return this.settle.promise;
  };

  done(result: string | Uint8Array): void {
    this.settle.resolve(result);
  }

  fail(error: Error): void {
    this.settle.reject(error);
  }
}

const never = () => expect.unreachable("nothing is to be computed");

describe("a value that is there", () => {
  test("is returned; nothing is computed", async () => {
    const { cache, asked, receive } = await connected();
    const got = cache.getOrCompute("k", never);
    expect(await asked()).toEqual([
      { op: LEASE, flags: 0x28, key: "k", ttlMs: 10_000, version: undefined, value: undefined },
    ]);
    await receive(metaValue("there", 5));
    expect(await got).toBe("there");
  });

  test("its terms are sent as they are given", async () => {
    const { cache, asked, receive } = await connected({ near: {} });
    const got = cache.getOrCompute("k", never, { leaseMs: 60_000, earlyMs: 2 ** 40, ttlMs: 5 });
    const [lease] = await asked();
    expect(lease).toMatchObject({ op: LEASE, flags: 0x38, ttlMs: 60_000 });
    expect(lease!.value!.readBigUInt64LE()).toBe(2n ** 40n);
    await receive(metaValue("there", 5));
    await got;
  });

  test("it is a copy like any other, and copies answer", async () => {
    const { cache, asked, receive } = await connected({ near: {} });
    const got = cache.getOrCompute("k", never);
    await asked();
    await receive(metaValue("there", 5));
    expect(await got).toBe("there");
    expect(await cache.getOrCompute("k", never)).toBe("there");
    expect(cache.near.peek("k")).toBe("there");
    expect(await asked()).toEqual([]);
    expect(cache.near.stats()).toMatchObject({ hits: 2, misses: 1 });
  });

  test("a copy with less than earlyMs to live asks, and so does one of absence", async () => {
    const { cache, asked, receive, clock } = await connected({ near: { maxAgeMs: 60_000 } });
    const gets = cache.many(["k", "absent"]);
    await asked();
    await receive(metaValue("old", 5, 10_000), miss());
    await gets;
    await clock.advance(6000);
    expect(await cache.getOrCompute("k", never, { earlyMs: 4000 - 1 })).toBe("old");
    const early = cache.getOrCompute("k", never, { earlyMs: 4000 });
    const absent = cache.getOrCompute("absent", () => "computed");
    expect((await asked()).map(({ op, key }) => [op, key])).toEqual([
      [LEASE, "k"],
      [LEASE, "absent"],
    ]);
    await receive(metaValue("old", 5, 4000), metaValue("there now", 6));
    expect([await early, await absent]).toEqual(["old", "there now"]);
  });

  test("pushes that come before the answer count for it as for a get", async () => {
    for (const push of [changed(["k", 6]), changed(["k", 0]), reset()]) {
      const { cache, asked, receive } = await connected({ near: {} });
      const got = cache.getOrCompute("k", never);
      await asked();
      await receive(push, metaValue("v5", 5));
      expect(await got).toBe("v5");
      expect(cache.near.peek("k")).toBeUndefined();
    }
  });
});

describe("a value that is not there", () => {
  test("is computed once for all callers, stored with the lease, and kept as a copy", async () => {
    const { cache, asked, receive } = await connected({ near: {} });
    const work = new Work();
    const others = new Work();
    const got = [cache.getOrCompute("k", work.compute, { ttlMs: 60_000 })];
    for (let i = 0; i < 999; i++) got.push(cache.getOrCompute("k", others.compute));
    expect(await asked()).toHaveLength(1);
    await receive(leased(77));
    got.push(cache.getOrCompute("k", others.compute));
    work.done("computed");
    expect(await asked()).toEqual([
      { op: PUT, flags: 0xe0, key: "k", ttlMs: 60_000, version: 77, value: Buffer.from("computed") },
    ]);
    await receive(number(8n));
    expect(new Set(await Promise.all(got))).toEqual(new Set(["computed"]));
    expect([work.calls, others.calls]).toEqual([1, 0]);
    expect(cache.near.peek("k")).toBe("computed");
  });

  test("without a near cache nothing is watched", async () => {
    const { cache, asked, receive } = await connected();
    const got = cache.getOrCompute("k", () => "computed");
    await asked();
    await receive(leased(77));
    expect(await asked()).toMatchObject([{ op: PUT, flags: 0xa0, version: 77, ttlMs: undefined }]);
    await receive(number(8n));
    expect(await got).toBe("computed");
  });

  test("REFUSED: the callers have the value, and it is not kept", async () => {
    const { cache, asked, receive, events } = await connected({ near: {} });
    const got = cache.getOrCompute("k", () => "late");
    await asked();
    await receive(leased(77));
    await asked();
    await receive(refused());
    expect(await got).toBe("late");
    expect(cache.near.peek("k")).toBeUndefined();
    expect(events).toEqual([]);
  });

  test("a change that overtakes the answer to the fill: the value is not kept", async () => {
    const { cache, asked, receive } = await connected({ near: {} });
    const got = cache.getOrCompute("k", () => "computed");
    await asked();
    await receive(leased(77));
    await asked();
    await receive(changed(["k", 8], ["k", 9]), number(8n));
    expect(await got).toBe("computed");
    expect(cache.near.peek("k")).toBeUndefined();
  });

  test("MISS, as when there are too many leases: computed all the same, stored where nobody else has", async () => {
    const { cache, asked, receive } = await connected();
    const got = cache.getOrCompute("k", () => "computed");
    await asked();
    await receive(miss());
    expect(await asked()).toMatchObject([{ op: PUT, flags: 0x28, version: undefined }]);
    await receive(refused());
    expect(await got).toBe("computed");
  });

  test("bytes are stored as bytes, and cannot be changed afterwards", async () => {
    const { cache, asked, receive } = await connected({ near: {} });
    const bytes = new TextEncoder().encode("bytes");
    const got = cache.getOrCompute("k", () => bytes);
    await asked();
    await receive(leased(77));
    bytes.fill(0);
    const [put] = await asked();
    expect(put!.value).toEqual(Buffer.from("bytes"));
    await receive(number(8n));
    expect(await got).toBe("bytes");
    expect(await cache.get("k")).toBe("bytes");
  });

  test("JSON: everybody has what JSON gives back, each an object of its own", async () => {
    const { cache, asked, receive } = await connected();
    const users = cache.json<{ name: string; born?: Date }>();
    const born = new Date(0);
    const got = [
      users.getOrCompute("k", async () => ({ name: "Ada", born })),
      users.getOrCompute("k", never as never),
    ];
    await asked();
    await receive(leased(77));
    expect((await asked())[0]!.value!.toString()).toBe('{"name":"Ada","born":"1970-01-01T00:00:00.000Z"}');
    await receive(number(8n));
    const [one, two] = await Promise.all(got);
    expect(one as object).toEqual({ name: "Ada", born: "1970-01-01T00:00:00.000Z" });
    expect(two).toEqual(one!);
    expect(two).not.toBe(one!);
  });
});

describe("a computation that fails", () => {
  for (const [what, compute] of [
    ["throws", () => Promise.reject(new Error("no database"))],
    [
      "throws at once",
      () => {
        throw new Error("no database");
      },
    ],
  ] as const)
    test(`${what}: the error to its callers, and the lease is given back`, async () => {
      const { cache, asked, receive } = await connected();
      const got = [cache.getOrCompute("k", compute), cache.getOrCompute("k", never)].map((promise) =>
        promise.catch((error: Error) => error.message),
      );
      await asked();
      await receive(leased(77));
      expect(await Promise.all(got)).toEqual(["no database", "no database"]);
      expect(await asked()).toMatchObject([{ op: RELEASE, key: "k", version: 77 }]);
      await receive(ok());
      // The next one tries again.
      void cache.getOrCompute("k", () => "x").catch(() => {});
      expect(await asked()).toMatchObject([{ op: LEASE }]);
    });

  test("a value that is none is the caller's mistake", async () => {
    for (const wrong of [undefined, null, 7, {}, "half a pair \ud800"]) {
      const { cache, asked, receive } = await connected();
      const failed = errorOf(cache.getOrCompute("k", () => wrong as string));
      await asked();
      await receive(leased(77));
      expect((await failed).code).toBe("invalid-argument");
      expect(await asked()).toMatchObject([{ op: RELEASE, version: 77 }]);
    }
    const { cache } = await connected();
    expect((await errorOf(cache.getOrCompute("k", "x" as never))).message).toStartWith("compute: ");
  });

  test("what cannot be stored is returned, and told as an event; the lease is given back", async () => {
    const { cache, asked, receive, events } = await connected();
    const got = cache.getOrCompute("k", () => "large");
    await asked();
    await receive(leased(77));
    await asked();
    await receive(failure(0x83, "too large"));
    expect(await got).toBe("large");
    expect(events).toMatchObject([["uncached", { key: "k", error: { code: "value-too-large" } }]]);
    expect(await asked()).toMatchObject([{ op: RELEASE, version: 77 }]);
  });
});

describe("somebody else computes", () => {
  test("FILLED with the value ends the waiting", async () => {
    for (const reply of [metaValue("theirs", 9), value("theirs")]) {
      const { cache, asked, receive } = await connected({ near: {} });
      const got = cache.getOrCompute("k", never);
      await asked();
      await receive(pending(4));
      await receive(filled(4, reply));
      expect(await got).toBe("theirs");
    }
  });

  test("FILLED with LEASED: now this client computes", async () => {
    const { cache, asked, receive } = await connected();
    const got = cache.getOrCompute("k", () => "mine");
    await asked();
    await receive(pending(4), filled(4, leased(78)));
    expect(await asked()).toMatchObject([{ op: PUT, version: 78 }]);
    await receive(number(9n));
    expect(await got).toBe("mine");
  });

  test("FILLED with MISS: computed without a lease", async () => {
    const { cache, asked, receive } = await connected();
    const got = cache.getOrCompute("k", () => "mine");
    await asked();
    await receive(pending(4), filled(4, miss()));
    expect(await asked()).toMatchObject([{ op: PUT, flags: 0x28 }]);
    await receive(number(9n));
    expect(await got).toBe("mine");
  });

  test("what is filled may be kept while nothing has used the watch up, and is confirmed before it is served otherwise", async () => {
    for (const push of [null, changed(["k", 9]), changed(["k", 10])]) {
      const { cache, asked, receive } = await connected({ near: {} });
      const got = cache.getOrCompute("k", never);
      await asked();
      await receive(pending(4), ...(push === null ? [] : [push]), filled(4, metaValue("theirs", 9)));
      expect(await got).toBe("theirs");
      if (push === null) expect(cache.near.peek("k")).toBe("theirs");
      else {
        expect(cache.near.peek("k")).toBeUndefined();
        void cache.get("k").catch(() => {});
        const version = push.readUInt8(3) === 9 ? 9 : undefined;
        expect(await asked()).toMatchObject([{ op: GET, version }]);
      }
    }
  });

  test("an answer of another kind ends the connection, and is asked for again", async () => {
    const { cache, asked, receive, reconnect, events } = await connected();
    const got = cache.getOrCompute("k", never);
    await asked();
    await receive(pending(4), filled(4, ok()));
    expect(events[0]).toMatchObject(["close", { code: 1002 }]);
    await reconnect();
    expect(await asked()).toMatchObject([{ op: LEASE }]);
    await receive(metaValue("there", 9));
    expect(await got).toBe("there");
  });
});

describe("HIT_LEASED: the value now, a new one for later", () => {
  test("the callers have the old value before anything is computed", async () => {
    const { cache, asked, receive } = await connected({ near: {} });
    const work = new Work();
    const got = cache.getOrCompute("k", work.compute, { earlyMs: 5000, ttlMs: 60_000 });
    await asked();
    await receive(hitLeased(77, metaValue("old", 5, 4000)));
    expect(await got).toBe("old");
    expect(cache.near.peek("k")).toBe("old");
    expect(work.calls).toBe(1);
    expect(await asked()).toEqual([]);
    work.done("new");
    expect(await asked()).toMatchObject([{ op: PUT, flags: 0xe0, version: 77, ttlMs: 60_000 }]);
    // A write of this client like any other.
    expect(cache.near.peek("k")).toBeUndefined();
    await receive(number(8n));
    expect(cache.near.peek("k")).toBe("new");
  });

  test("what goes wrong then is an event, and nobody's rejection", async () => {
    const { cache, asked, receive, events } = await connected();
    const work = new Work();
    const got = cache.getOrCompute("k", work.compute);
    await asked();
    await receive(hitLeased(77, metaValue("old", 5)));
    expect(await got).toBe("old");
    const error = new Error("no database");
    work.fail(error);
    expect(await asked()).toMatchObject([{ op: RELEASE, version: 77 }]);
    expect(events).toEqual([["uncached", { key: "k", error }]]);
  });
});

describe("who waits", () => {
  test("gives up by signal and time, and the others have the value", async () => {
    const { cache, asked, receive, pass } = await connected();
    const work = new Work();
    const abort = new AbortController();
    const got = cache.getOrCompute("k", work.compute);
    const aborted = errorOf(cache.getOrCompute("k", never, { signal: abort.signal }));
    const late = errorOf(cache.getOrCompute("k", never, { timeoutMs: 50 }));
    await asked();
    await receive(leased(77));
    abort.abort();
    await pass(50);
    expect([(await aborted).code, (await late).code]).toEqual(["aborted", "timeout"]);
    work.done("computed");
    await asked();
    await receive(number(8n));
    expect(await got).toBe("computed");
  });

  test("has as long as the lease and a request together, if nothing else is said", async () => {
    const { cache, asked, receive, pass } = await connected({ timeoutMs: 500 });
    let ended = false;
    const late = errorOf(cache.getOrCompute("k", () => new Promise<never>(() => {}), { leaseMs: 2000 }));
    void late.then(() => (ended = true));
    await asked();
    await receive(leased(77));
    await pass(2499);
    expect(ended).toBe(false);
    await pass(1);
    expect((await late).message).toBe("no answer within 2500 ms");
    // Whoever comes now does not wait for a computation that may never end.
    void cache.getOrCompute("k", never).catch(() => {});
    expect(await asked()).toMatchObject([{ op: LEASE }]);
  });

  test("once its lease is over, whoever comes later asks again, though its computation goes on", async () => {
    const { cache, asked, receive, pass } = await connected({ timeoutMs: 5000 });
    const work = new Work();
    const first = cache.getOrCompute("k", work.compute, { leaseMs: 200 });
    await asked();
    await receive(leased(77));
    await pass(199);
    const joined = cache.getOrCompute("k", never);
    await pass(1);
    const later = cache.getOrCompute("k", never);
    expect(await asked()).toMatchObject([{ op: LEASE }]);
    await receive(metaValue("by another", 5));
    expect(await later).toBe("by another");
    work.done("late");
    await asked();
    await receive(refused());
    expect([await first, await joined]).toEqual(["late", "late"]);
  });

  test("who asks for more time than a request usually has gets it", async () => {
    const { cache, asked, receive, pass } = await connected({ timeoutMs: 100 });
    const patient = cache.getOrCompute("k", never, { timeoutMs: 1000 });
    await asked();
    await pass(999);
    await receive(metaValue("there", 5));
    expect(await patient).toBe("there");
    const usual = errorOf(cache.getOrCompute("k", never, { leaseMs: 900 }));
    await asked();
    await pass(100);
    expect((await usual).message).toBe("no answer within 100 ms");
  });

  test("and is gone before the answer: nothing is computed, and the lease is given back", async () => {
    for (const answer of [
      [leased(77)],
      [pending(4), filled(4, leased(77))],
      [hitLeased(77, metaValue("v", 5))],
    ]) {
      const { cache, asked, receive, events } = await connected();
      const abort = new AbortController();
      const given = errorOf(cache.getOrCompute("k", never, { signal: abort.signal }));
      await asked();
      abort.abort();
      expect((await given).code).toBe("aborted");
      await receive(...answer);
      expect(await asked()).toMatchObject([{ op: RELEASE, key: "k", version: 77 }]);
      expect(events).toEqual([]);
    }
  });

  test("a LEASE that is answered after its own time: the lease is given back", async () => {
    for (const answer of [[leased(77)], [pending(4), filled(4, leased(77))]]) {
      const { cache, asked, receive, pass } = await connected({ timeoutMs: 100 });
      const late = errorOf(cache.getOrCompute("k", never, { leaseMs: 1000 }));
      await asked();
      await pass(100);
      expect((await late).code).toBe("timeout");
      await receive(...answer);
      expect(await asked()).toMatchObject([{ op: RELEASE, version: 77 }]);
    }
  });

  test("a ticket that comes after its LEASE's own time, and then the client's end", async () => {
    const { cache, sockets, asked, receive, pass, settleDown } = await connected({ timeoutMs: 100 });
    const late = errorOf(cache.getOrCompute("k", never, { leaseMs: 1000 }));
    await asked();
    await pass(100);
    expect((await late).code).toBe("timeout");
    await receive(pending(4));
    const closing = cache.close();
    sockets.last.end(1000);
    await closing;
    await settleDown();
  });

  test("a signal that was aborted before asks for nothing", async () => {
    const { cache, asked } = await connected();
    const signal = AbortSignal.abort();
    expect((await errorOf(cache.getOrCompute("k", never, { signal }))).code).toBe("aborted");
    expect(await asked()).toEqual([]);
  });

  test("options are checked before anything is asked", async () => {
    const { cache, asked } = await connected();
    for (const options of [
      { leaseMs: 0 },
      { leaseMs: 60_001 },
      { earlyMs: -1 },
      { ttlMs: 0.5 },
      { ifAbsent: true },
    ])
      expect((await errorOf(cache.getOrCompute("k", never, options as object))).code).toBe(
        "invalid-argument",
      );
    expect((await errorOf(cache.getOrCompute("k".repeat(65_536), never))).code).toBe("bad-key");
    expect(await asked()).toEqual([]);
  });
});

type Cache = Awaited<ReturnType<typeof connected>>["cache"];

describe("a computation is not for who comes after a change", () => {
  for (const [what, write, answer] of [
    ["a write of this client", (cache: Cache) => cache.delete("k"), ok()],
    ["a clear of this client", (cache: Cache) => cache.clear("k"), number(1n)],
    ["a change that was pushed", null, changed(["k", 7])],
    ["a reset that was pushed", null, reset("k")],
  ] as const)
    test(what, async () => {
      const { cache, asked, receive } = await connected();
      const work = new Work();
      const before = cache.getOrCompute("k", work.compute);
      await asked();
      await receive(leased(77));
      const written = write?.(cache);
      if (write === null) await receive(answer);
      const after = cache.getOrCompute("k", never);
      expect((await asked()).at(-1)).toMatchObject({ op: LEASE });
      if (write !== null) await receive(answer);
      await written;
      await receive(metaValue("after", 9));
      expect(await after).toBe("after");
      work.done("before");
      expect(await asked()).toMatchObject([{ op: PUT, version: 77 }]);
      await receive(refused());
      expect(await before).toBe("before");
    });
});

describe("a connection that breaks", () => {
  test("while the answer is awaited: asked again", async () => {
    const { cache, asked, receive, reconnect } = await connected();
    const got = cache.getOrCompute("k", never);
    await asked();
    await reconnect();
    expect(await asked()).toMatchObject([{ op: LEASE }]);
    await receive(metaValue("there", 5));
    expect(await got).toBe("there");
  });

  test("while somebody else computes: asked again, and a ticket of before means nothing", async () => {
    const { cache, asked, receive, reconnect } = await connected();
    const got = cache.getOrCompute("k", () => "mine");
    await asked();
    await receive(pending(4));
    await reconnect();
    expect(await asked()).toMatchObject([{ op: LEASE }]);
    await receive(filled(4, metaValue("of another", 5)), pending(5), filled(5, leased(79)));
    expect(await asked()).toMatchObject([{ op: PUT, version: 79 }]);
    await receive(number(8n));
    expect(await got).toBe("mine");
  });

  test("while it computes: the callers have the value, and it is not stored with a lease that is void", async () => {
    const { cache, asked, receive, reconnect, events } = await connected();
    const work = new Work();
    const got = cache.getOrCompute("k", work.compute);
    await asked();
    await receive(leased(77));
    await reconnect();
    work.done("computed");
    expect(await got).toBe("computed");
    expect(await asked()).toEqual([]);
    expect(events.map(([name]) => name)).not.toContain("uncached");
  });

  test("while it computes, and computing fails: the error, and nothing to give back", async () => {
    const { cache, asked, receive, reconnect } = await connected();
    const work = new Work();
    const got = cache.getOrCompute("k", work.compute).catch((error: Error) => error.message);
    await asked();
    await receive(leased(77));
    await reconnect();
    work.fail(new Error("no database"));
    expect(await got).toBe("no database");
    expect(await asked()).toEqual([]);
  });

  test("while the value is being stored: the callers have it, and an event says that it may not be stored", async () => {
    const { cache, asked, receive, reconnect, events } = await connected();
    const got = cache.getOrCompute("k", () => "computed");
    await asked();
    await receive(leased(77));
    await asked();
    await reconnect();
    expect(await got).toBe("computed");
    expect(events).toContainEqual([
      "uncached",
      { key: "k", error: expect.objectContaining({ code: "disconnected" }) },
    ]);
  });

  test("for good: waiting ends with the reason", async () => {
    for (const before of [[], [pending(4)]]) {
      const { cache, sockets, asked, receive } = await connected();
      const failed = errorOf(cache.getOrCompute("k", never));
      await asked();
      await receive(...before);
      sockets.last.end(4401, "the token has expired");
      expect((await failed).code).toBe("unauthorized");
    }
  });

  test("a client that is closed: nobody waits any more, neither for others nor for a function that runs", async () => {
    for (const finish of [
      (work: Work) => work.done("computed"),
      (work: Work) => work.fail(new Error("too late")),
      () => {},
    ]) {
      const { cache, sockets, asked, receive, settleDown, events } = await connected();
      const work = new Work();
      const computing = [cache.getOrCompute("a", work.compute), cache.getOrCompute("a", never)].map(errorOf);
      const waiting = errorOf(cache.getOrCompute("b", never));
      const anew = cache.getOrCompute("c", work.compute, { earlyMs: 50 });
      await asked();
      await receive(leased(77), pending(4), hitLeased(78, metaValue("old", 5, 20)));
      expect(await anew).toBe("old");
      const closing = cache.close();
      for (const error of await Promise.all([...computing, waiting])) expect(error.code).toBe("closed");
      await settleDown();
      // Only who computes anew has no caller that could be told.
      expect(events).toMatchObject([["uncached", { key: "c", error: { code: "closed" } }]]);
      finish(work);
      await settleDown();
      expect(events).toHaveLength(1);
      sockets.last.end(1000);
      await closing;
      await settleDown();
      expect(work.calls).toBe(2);
    }
  });

  test("a lease that is given while the client is closing computes nothing", async () => {
    const { cache, sockets, asked, receive } = await connected();
    const failed = errorOf(cache.getOrCompute("k", never));
    await asked();
    const slow = cache.get("slow");
    const closing = cache.close();
    await receive(leased(77));
    expect((await failed).code).toBe("closed");
    await receive(value("slow"));
    expect(await slow).toBe("slow");
    sockets.last.end(1000);
    await closing;
  });

  test("a function that closes the client ends as well", async () => {
    for (const [then, outcome] of [
      [() => "at once", "at once"],
      [() => expect.unreachable("thrown"), "thrown"],
      [() => new Promise<string>(() => {}), "the client was closed"],
    ] as const) {
      const { cache, sockets, asked, receive, settleDown } = await connected();
      const compute = () => {
        void cache.close();
        return then();
      };
      const ended = cache.getOrCompute("k", compute).catch((error: Error) => error.message);
      await asked();
      await receive(leased(77));
      expect(await ended).toContain(outcome);
      sockets.last.end(1000);
      await settleDown();
    }
  });

  test("a token that is good no more: who computes has the value all the same", async () => {
    const { cache, sockets, asked, receive, events } = await connected();
    const work = new Work();
    const computing = cache.getOrCompute("a", work.compute);
    await asked();
    await receive(leased(77));
    sockets.last.end(4401, "the token has expired");
    work.done("computed");
    expect(await computing).toBe("computed");
    expect(events.at(-1)).toMatchObject(["uncached", { key: "a", error: { code: "unauthorized" } }]);
  });

  test("a ticket that is given while the client is closing ends with it", async () => {
    const { cache, sockets, asked, receive } = await connected();
    const failed = errorOf(cache.getOrCompute("k", never));
    const slow = cache.get("slow");
    await asked();
    const closing = cache.close();
    await receive(pending(4));
    await receive(value("slow"));
    expect(await slow).toBe("slow");
    sockets.last.end(1000);
    await closing;
    expect((await failed).code).toBe("closed");
  });
});
