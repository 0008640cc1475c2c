/** Every verb on a real server, at its borders. What the verbs mean is the store's; here it is asked of the scripts. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Engine } from "../../src/origin/engine";
import { OriginError } from "../../src/origin/faults";
import { MAGIC_PLAIN, MAGIC_TYPED } from "../../src/origin/value";
import { Outcome } from "../../src/store/shard";
import { NO_TYPE, typeNumbered } from "../../src/store/value-type";
import { Condition, TouchIf } from "../../src/store/write";
import { type Engine as Server, startEngine, until } from "../support/engine";
import { connectOrigin } from "../support/origin";
import { Random } from "../support/random";

const I64_MAX = 2n ** 63n - 1n;
const I64_MIN = -(2n ** 63n);
const TTL = 60_000;

let server: Server;
let origin: Engine;
beforeAll(async () => {
  server = await startEngine();
  ({ origin } = await connectOrigin(server.url));
});
afterAll(async () => {
  await origin.close();
  await server.kill();
});
beforeEach(async () => {
  await server.command("FLUSHALL");
});

const bytes = (text: string) => Buffer.from(text, "latin1");
const key = bytes("key");
const raw = "bb:key";
const putText = (text: string, rest = {}) => origin.put(key, { payload: bytes(text), ...rest });
const textOf = async () => (await origin.get(key))?.payload.toString("latin1") ?? null;
/** As the server has it: -1 without, -2 without a key. */
const keyTtl = async () => (await server.command("PTTL", raw)) as number;

describe("put and get", () => {
  test("a value, its version, and no expiry", async () => {
    expect(await origin.get(key)).toBe(null);
    const before = Date.now() * 1000;
    const { outcome, version, previous } = await putText("hello");
    expect([outcome, previous]).toEqual([Outcome.DONE, null]);
    // The server's time in µs, on this machine.
    expect(version).toBeGreaterThan(before - 1e6);
    expect(version).toBeLessThan(before + 60e6);
    expect(await origin.get(key)).toEqual({
      payload: bytes("hello"),
      version,
      ttlMs: Infinity,
      type: NO_TYPE,
      isForeign: false,
    });
    const stored = (await server.bytes("GET", raw)) as Buffer;
    expect(stored.subarray(0, 4)).toEqual(MAGIC_PLAIN);
    expect(Number(stored.readBigUInt64LE(4))).toBe(version);
    expect(stored.readBigUInt64LE(12)).toBe(0n);
    expect(stored.toString("latin1", 20)).toBe("hello");
    expect(await keyTtl()).toBe(-1);
  });

  test("empty, binary and long values, and keys of any bytes", async () => {
    const random = new Random(1);
    for (const payload of [Buffer.alloc(0), Buffer.from([0, 13, 10, 255]), random.bytes(3 << 20)])
      for (const name of [Buffer.from([0]), Buffer.from([255, 10, 13, 32]), Buffer.alloc(5000, 97)]) {
        await origin.put(name, { payload });
        expect((await origin.get(name))!.payload.equals(payload)).toBe(true);
      }
  });

  test("types", async () => {
    for (const type of [
      NO_TYPE,
      typeNumbered(1),
      typeNumbered(255),
      { number: 0, text: "a" },
      { number: 0, text: "t".repeat(255) },
    ]) {
      await putText("v", { type });
      expect(await origin.get(key)).toMatchObject({ type, payload: bytes("v") });
    }
    expect(((await server.bytes("GET", raw)) as Buffer).subarray(0, 4)).toEqual(MAGIC_TYPED);
  });

  test("an expiry is the header's and the key's", async () => {
    await putText("v", { ttlMs: TTL });
    const stored = (await server.bytes("GET", raw)) as Buffer;
    expect(Number(stored.readBigUInt64LE(12))).toBe((await server.command("PEXPIRETIME", raw)) as number);
    const { ttlMs } = (await origin.get(key))!;
    expect(ttlMs).toBeGreaterThan(TTL - 30_000);
    expect(ttlMs).toBeLessThanOrEqual(TTL + 5);
    await putText("v");
    expect(await keyTtl()).toBe(-1);
  });

  test("the longest and the shortest times to live", async () => {
    await putText("v", { ttlMs: Number.MAX_SAFE_INTEGER });
    expect((await origin.get(key))!.ttlMs).toBeGreaterThan(8e15);
    await putText("v", { ttlMs: 0.4 });
    await until("it has expired", async () => (await origin.get(key)) === null);
    await putText("v");
    expect((await putText("v", { ttlMs: 0 })).outcome).toBe(Outcome.DONE);
    expect(await origin.get(key)).toBe(null);
    expect((await putText("v", { ttlMs: -5 })).outcome).toBe(Outcome.DONE);
    expect(await origin.get(key)).toBe(null);
  });

  test("an entry that expires is gone for every verb", async () => {
    await putText("v", { ttlMs: 1 });
    await until("it has expired", async () => (await origin.get(key)) === null);
    expect((await putText("v", { condition: Condition.IF_PRESENT })).outcome).toBe(Outcome.REFUSED);
    expect(await origin.touch(key, TTL)).toBe(Outcome.MISS);
    expect(await origin.delete(key)).toBe(Outcome.MISS);
    expect((await origin.append(key, key, 100)).outcome).toBe(Outcome.MISS);
  });

  test("conditions", async () => {
    const { DONE, REFUSED } = Outcome;
    const outcome = async (rest: object) => (await putText("v", rest)).outcome;
    expect(await outcome({ condition: Condition.IF_PRESENT })).toBe(REFUSED);
    expect(await outcome({ ifVersion: 1 })).toBe(REFUSED);
    expect(await outcome({ condition: Condition.IF_ABSENT })).toBe(DONE);
    expect(await outcome({ condition: Condition.IF_ABSENT })).toBe(REFUSED);
    expect(await outcome({ condition: Condition.IF_PRESENT })).toBe(DONE);
    const { version } = (await origin.get(key))!;
    expect(await outcome({ ifVersion: version - 1 })).toBe(REFUSED);
    expect(await outcome({ ifVersion: version, condition: Condition.IF_ABSENT })).toBe(REFUSED);
    expect(await outcome({ ifVersion: version })).toBe(DONE);
    expect(await outcome({ ifVersion: version })).toBe(REFUSED);
    expect((await putText("v", { ifVersion: version })).version).toBe(0);
  });

  test("keeps the expiry that is there, and has its own where nothing is", async () => {
    await putText("a", { ttlMs: TTL, keepsExpiry: true });
    const until1 = await server.command("PEXPIRETIME", raw);
    await putText("b", { keepsExpiry: true });
    expect(await server.command("PEXPIRETIME", raw)).toBe(until1);
    expect((await origin.get(key))!.ttlMs).toBeLessThan(TTL + 5);
    expect(await textOf()).toBe("b");
    await putText("c");
    await putText("d", { ttlMs: TTL, keepsExpiry: true });
    expect(await keyTtl()).toBe(-1);
    expect((await origin.get(key))!.ttlMs).toBe(Infinity);
  });

  test("the value that was there, also when refused", async () => {
    expect((await putText("a", { returnsPrevious: true })).previous).toBe(null);
    const first = (await origin.get(key))!;
    const second = await putText("b", { returnsPrevious: true, type: typeNumbered(3), ttlMs: TTL });
    expect(second.previous).toEqual(first);
    const refused = await putText("c", { returnsPrevious: true, condition: Condition.IF_ABSENT });
    expect(refused.outcome).toBe(Outcome.REFUSED);
    expect(refused.previous).toMatchObject({
      payload: bytes("b"),
      version: second.version,
      type: typeNumbered(3),
    });
    expect(refused.previous!.ttlMs).toBeLessThan(TTL + 5);
    expect(await textOf()).toBe("b");
  });

  test("versions grow by at least one, also from one that lies ahead of the clock", async () => {
    const ahead = 2 ** 52;
    await putText("v");
    const stored = (await server.bytes("GET", raw)) as Buffer;
    stored.writeBigUInt64LE(BigInt(ahead), 4);
    await server.command("SET", raw, stored);
    expect((await putText("w")).version).toBe(ahead + 1);
    expect((await origin.add(bytes("other"), 1n)).version).toBeLessThan(ahead);
    expect((await origin.append(key, bytes("x"), 100)).version).toBe(ahead + 2);
    await server.command("SET", "bb:n", Buffer.concat([stored.subarray(0, 20), bytes("5")]));
    expect((await origin.add(bytes("n"), 1n)).version).toBe(ahead + 1);
  });
});

describe("delete", () => {
  test("with and without a version", async () => {
    expect(await origin.delete(key)).toBe(Outcome.MISS);
    expect(await origin.delete(key, 5)).toBe(Outcome.MISS);
    const { version } = await putText("v");
    expect(await origin.delete(key, version + 1)).toBe(Outcome.REFUSED);
    expect(await textOf()).toBe("v");
    expect(await origin.delete(key, version)).toBe(Outcome.DONE);
    await putText("v");
    expect(await origin.delete(key)).toBe(Outcome.DONE);
    expect(await keyTtl()).toBe(-2);
  });
});

describe("touch", () => {
  test("gives, changes and removes an expiry; version and value stay", async () => {
    expect(await origin.touch(key, TTL)).toBe(Outcome.MISS);
    const { version } = await putText("v", { type: { number: 0, text: "a/b" } });
    for (const ttlMs of [TTL, TTL / 2, Infinity]) {
      expect(await origin.touch(key, ttlMs)).toBe(Outcome.DONE);
      const { ttlMs: left, ...rest } = (await origin.get(key))!;
      expect(rest).toEqual({
        payload: bytes("v"),
        version,
        type: { number: 0, text: "a/b" },
        isForeign: false,
      });
      expect(left).toBeLessThanOrEqual(ttlMs + 5);
      expect(left === Infinity).toBe((await keyTtl()) === -1);
    }
  });

  test("one in the past deletes", async () => {
    for (const ttlMs of [0, -1000]) {
      await putText("v");
      expect(await origin.touch(key, ttlMs)).toBe(Outcome.DONE);
      expect(await keyTtl()).toBe(-2);
    }
  });

  const { ALWAYS, NO_EXPIRY, EXPIRES, LATER, EARLIER } = TouchIf;
  const CASES: [number, number, number, boolean][] = [
    [Infinity, TTL, ALWAYS, true],
    [Infinity, TTL, NO_EXPIRY, true],
    [TTL, TTL, NO_EXPIRY, false],
    [Infinity, TTL, EXPIRES, false],
    [TTL, 2 * TTL, EXPIRES, true],
    [TTL, 2 * TTL, LATER, true],
    [TTL, TTL / 2, LATER, false],
    [TTL, Infinity, LATER, true],
    [Infinity, Infinity, LATER, false],
    [Infinity, TTL, LATER, false],
    [TTL, TTL / 2, EARLIER, true],
    [TTL, 2 * TTL, EARLIER, false],
    [Infinity, TTL, EARLIER, true],
    [TTL, Infinity, EARLIER, false],
    [TTL, -1, EARLIER, true],
    [TTL, -1, LATER, false],
    [TTL, 2 * TTL, EXPIRES | LATER, true],
    [Infinity, TTL, EXPIRES | EARLIER, false],
    [TTL, TTL / 2, NO_EXPIRY | EARLIER, false],
  ];
  for (const [before, after, touchIf, holds] of CASES)
    test(`from ${before} to ${after} if ${touchIf}: ${holds}`, async () => {
      await putText("v", { ttlMs: before });
      expect(await origin.touch(key, after, touchIf)).toBe(holds ? Outcome.DONE : Outcome.REFUSED);
      if (!holds) expect((await keyTtl()) === -1).toBe(before === Infinity);
    });
});

describe("add", () => {
  const add = async (delta: bigint, ttlMs?: number) => await origin.add(key, delta, ttlMs);

  test("creates with an expiry, then keeps it, and the type", async () => {
    expect(await add(5n, TTL)).toMatchObject({ outcome: Outcome.DONE, number: 5n });
    const until1 = await server.command("PEXPIRETIME", raw);
    expect(await add(-7n)).toMatchObject({ number: -2n });
    expect(await server.command("PEXPIRETIME", raw)).toBe(until1);
    expect(await origin.get(key)).toMatchObject({ payload: bytes("-2") });
    for (const type of [typeNumbered(7), { number: 0, text: "text/plain" }]) {
      await putText("41", { type });
      const { version } = await add(1n);
      expect(await origin.get(key)).toMatchObject({ payload: bytes("42"), type, version });
    }
  });

  test("exactly, over the borders of halves and of i64", async () => {
    const halves = [0n, 1n, 999_999_999n, 10n ** 9n, 10n ** 9n + 1n, 2n ** 53n, 2n ** 53n + 1n, 10n ** 18n];
    const numbers = [
      ...halves,
      I64_MAX,
      I64_MAX - 1n,
      9_223_372_036_000_000_000n,
      9_223_372_035_999_999_999n,
    ];
    const all = [...numbers, ...numbers.map((number) => -number), I64_MIN, I64_MIN + 1n];
    const wanted = all.flatMap((before) => all.map((delta) => ({ before, delta, sum: before + delta })));
    const results = await Promise.all(
      wanted.map(async ({ before, delta, sum }, i) => {
        const name = bytes(`n${i}`);
        await origin.put(name, { payload: bytes(String(before)) });
        const { outcome, number } = await origin.add(name, delta);
        const stored = (await origin.get(name))!.payload.toString();
        return { before, delta, outcome, number, stored, sum };
      }),
    );
    for (const { before, sum, outcome, number, stored } of results) {
      const fits = sum <= I64_MAX && sum >= I64_MIN;
      expect({ outcome, number, stored }).toEqual({
        outcome: fits ? Outcome.DONE : Outcome.OVERFLOW,
        number: fits ? sum : 0n,
        stored: String(fits ? sum : before),
      });
    }
  });

  test("random numbers as BigInt has them", async () => {
    const random = new Random(11);
    const number = () => {
      const digits = 1 + random.below(19);
      const text = Array.from({ length: digits }, () => random.below(10)).join("");
      return BigInt.asIntN(64, (random.below(2) === 0 ? 1n : -1n) * BigInt(text));
    };
    let sum = number();
    await putText(String(sum));
    for (let i = 0; i < 2000; i++) {
      const delta = number();
      const { outcome, number: now } = await add(delta);
      const fits = BigInt.asIntN(64, sum + delta) === sum + delta;
      expect(outcome).toBe(fits ? Outcome.DONE : Outcome.OVERFLOW);
      if (fits) expect(now).toBe((sum += delta));
    }
  });

  test("what is no number", async () => {
    const texts = [
      "",
      "-",
      "+1",
      "01",
      "-0",
      "1.0",
      "1 ",
      " 1",
      "0x1",
      "1e3",
      "inf",
      "1\0",
      "\0",
      "9223372036854775808",
    ];
    for (const text of [
      ...texts,
      "-9223372036854775809",
      "9".repeat(20),
      "-" + "9".repeat(20),
      "1".repeat(21),
      "ÿ",
    ]) {
      const { version } = await putText(text, { type: typeNumbered(2) });
      expect(await add(1n)).toEqual({ outcome: Outcome.NOT_A_NUMBER, number: 0n, version: 0 });
      expect(await origin.get(key)).toMatchObject({ payload: bytes(text), version });
    }
    for (const text of ["0", "-1", "10", "-9223372036854775808"]) {
      await putText(text);
      expect(await add(0n)).toMatchObject({ outcome: Outcome.DONE, number: BigInt(text) });
    }
  });
});

describe("append", () => {
  test("up to the bound, keeping expiry and type", async () => {
    expect(await origin.append(key, key, 100)).toEqual({ outcome: Outcome.MISS, version: 0, length: 0 });
    for (const type of [NO_TYPE, typeNumbered(4), { number: 0, text: "a/b" }]) {
      const { version } = await putText("ab", { ttlMs: TTL, type });
      const until1 = await server.command("PEXPIRETIME", raw);
      expect(await origin.append(key, bytes("cd"), 3)).toEqual({
        outcome: Outcome.REFUSED,
        version: 0,
        length: 0,
      });
      expect(await origin.get(key)).toMatchObject({ payload: bytes("ab"), version });
      const appended = await origin.append(key, bytes("cd"), 4);
      expect(appended).toMatchObject({ outcome: Outcome.DONE, length: 4 });
      expect(appended.version).toBeGreaterThan(version);
      expect(await origin.get(key)).toMatchObject({
        payload: bytes("abcd"),
        type,
        version: appended.version,
      });
      expect(await server.command("PEXPIRETIME", raw)).toBe(until1);
    }
    expect((await origin.append(key, Buffer.alloc(0), 4)).length).toBe(4);
  });
});

describe("get and change", () => {
  test("getAndDelete", async () => {
    expect(await origin.getAndDelete(key)).toBe(null);
    await putText("v", { ttlMs: TTL, type: typeNumbered(9) });
    const before = (await origin.get(key))!;
    expect(await origin.getAndDelete(key)).toMatchObject({ ...before, ttlMs: expect.any(Number) });
    expect(await origin.get(key)).toBe(null);
  });

  test("getAndTouch gives the expiry that it had", async () => {
    expect(await origin.getAndTouch(key, TTL)).toBe(null);
    await putText("v");
    expect((await origin.getAndTouch(key, TTL))!.ttlMs).toBe(Infinity);
    expect((await origin.getAndTouch(key, Infinity))!.ttlMs).toBeLessThan(TTL + 5);
    expect(await keyTtl()).toBe(-1);
    expect((await origin.getAndTouch(key, 0))!.payload).toEqual(bytes("v"));
    expect(await origin.get(key)).toBe(null);
  });
});

describe("foreign values", () => {
  test("are served as they are, with their expiry", async () => {
    for (const text of ["", "hello", "42"]) {
      await server.command("SET", raw, text);
      const wanted = { payload: bytes(text), version: 0, type: NO_TYPE, isForeign: true };
      expect(await origin.get(key)).toEqual({ ...wanted, ttlMs: Infinity });
      await server.command("PEXPIRE", raw, TTL);
      const { ttlMs, ...rest } = (await origin.get(key))!;
      expect(rest).toEqual(wanted);
      expect(ttlMs).toBeLessThanOrEqual(TTL);
    }
  });

  test("are replaced by a put, and never have a version", async () => {
    await server.command("SET", raw, "theirs", "PX", TTL);
    expect((await putText("v", { condition: Condition.IF_ABSENT })).outcome).toBe(Outcome.REFUSED);
    expect((await putText("v", { ifVersion: 1 })).outcome).toBe(Outcome.REFUSED);
    expect(await origin.delete(key, 1)).toBe(Outcome.REFUSED);
    const { outcome, previous } = await putText("v", { keepsExpiry: true, returnsPrevious: true });
    expect(outcome).toBe(Outcome.DONE);
    expect(previous).toMatchObject({ payload: bytes("theirs"), version: 0, isForeign: true });
    expect(previous!.ttlMs).toBeLessThan(TTL + 5);
    const now = (await origin.get(key))!;
    expect([now.isForeign, now.payload]).toEqual([false, bytes("v")]);
    expect(now.ttlMs).toBeLessThan(TTL + 5);
    // The key's own expiry is kept to the millisecond; the header's was counted by the same clock.
    expect(await keyTtl()).toBeGreaterThan(0);
  });

  test("an empty one is there", async () => {
    await server.command("SET", raw, "");
    expect((await putText("v", { condition: Condition.IF_ABSENT })).outcome).toBe(Outcome.REFUSED);
    expect(await origin.touch(key, TTL)).toBe(Outcome.DONE);
    expect((await origin.append(key, bytes("x"), 10)).length).toBe(1);
    expect(await origin.get(key)).toMatchObject({ payload: bytes("x"), isForeign: false });
  });

  test("numbers are added to, and become ours with the expiry that they had", async () => {
    await server.command("SET", raw, "41", "PX", TTL);
    const { number, version } = await origin.add(key, 1n);
    expect(number).toBe(42n);
    expect(await origin.get(key)).toMatchObject({ payload: bytes("42"), version, isForeign: false });
    expect(await keyTtl()).toBeGreaterThan(0);
    await server.command("SET", raw, "4x");
    expect((await origin.add(key, 1n)).outcome).toBe(Outcome.NOT_A_NUMBER);
  });

  test("are appended to, touched, and taken", async () => {
    await server.command("SET", raw, "their", "PX", TTL);
    expect(await origin.append(key, bytes("s"), 5)).toMatchObject({ outcome: Outcome.REFUSED });
    expect(await origin.append(key, bytes("s"), 6)).toMatchObject({ outcome: Outcome.DONE, length: 6 });
    expect(await origin.get(key)).toMatchObject({ payload: bytes("theirs"), isForeign: false });
    expect(await keyTtl()).toBeGreaterThan(0);
    await server.command("SET", raw, "theirs");
    expect(await origin.touch(key, TTL, TouchIf.NO_EXPIRY)).toBe(Outcome.DONE);
    expect(await server.command("GET", raw)).toBe("theirs");
    expect(await origin.touch(key, 2 * TTL, TouchIf.LATER)).toBe(Outcome.DONE);
    expect((await origin.getAndTouch(key, Infinity))!.ttlMs).toBeGreaterThan(TTL);
    expect(await keyTtl()).toBe(-1);
    expect(await origin.getAndDelete(key)).toMatchObject({ payload: bytes("theirs"), isForeign: true });
  });

  test("a header that is cut or too new is theirs", async () => {
    await putText("v", { type: { number: 0, text: "abc" } });
    const stored = (await server.bytes("GET", raw)) as Buffer;
    await server.command("SET", raw, stored.subarray(0, 24));
    expect((await origin.get(key))!.isForeign).toBe(true);
    expect((await origin.add(key, 1n)).outcome).toBe(Outcome.NOT_A_NUMBER);
    expect((await origin.append(key, bytes("!"), 100)).length).toBe(25);
    stored.writeBigUInt64LE(2n ** 64n - 1n, 4);
    await server.command("SET", raw, stored);
    expect((await origin.get(key))!.version).toBe(0);
    expect((await putText("w")).version).toBeLessThan(2 ** 53);
  });

  test("what is no string is a clear error for every verb that reads it, and stays", async () => {
    await server.command("HSET", raw, "field", "1");
    const verbs = [
      () => origin.get(key),
      () => putText("v"),
      () => origin.delete(key, 1),
      () => origin.touch(key, TTL),
      () => origin.add(key, 1n),
      () => origin.append(key, key, 100),
      () => origin.getAndDelete(key),
      () => origin.getAndTouch(key, TTL),
    ];
    for (const verb of verbs) {
      const error = (await verb().catch((failed: unknown) => failed)) as OriginError;
      expect(error).toBeInstanceOf(OriginError);
      expect([error.kind, error.http, error.mayHaveHappened]).toEqual(["BAD_KEY", 409, false]);
      expect(error.message).toContain("no string");
    }
    expect(await server.command("HGET", raw, "field")).toBe("1");
  });
});

describe("scan and clear", () => {
  const scanned = async (prefix: string, count = 10) => {
    const keys: string[] = [];
    let cursor = 0n;
    do {
      const page = await origin.scan(bytes(prefix), cursor, count);
      keys.push(...page.keys.map((found) => found.toString("latin1")));
      ({ cursor } = page);
    } while (cursor !== 0n);
    return [...new Set(keys)].sort();
  };

  test("keys with a prefix, and nothing else", async () => {
    expect(await scanned("")).toEqual([]);
    const wanted = Array.from({ length: 200 }, (_, i) => `a:${i}`).sort();
    await Promise.all([...wanted, "b", "aa:1"].map((name) => origin.put(bytes(name), { payload: key })));
    await server.command("SET", "a:others", "not in the namespace");
    await server.command("SET", "bbx:a:1", "neither");
    await server.command("HSET", "bb:a:hash", "f", 1);
    await server.command("SET", "bb:a:gone", "v", "PX", 1);
    await until("it has expired", async () => (await server.command("EXISTS", "bb:a:gone")) === 0);
    expect(await scanned("a:")).toEqual(wanted);
    expect(await scanned("a:", 1)).toEqual(wanted);
    expect(await scanned("a:", 1e9)).toEqual(wanted);
    expect(await scanned("")).toEqual([...wanted, "b", "aa:1"].sort());
  });

  test("characters that mean something in a pattern mean themselves", async () => {
    const names = ["a*b", "a?b", "a[x]b", "a\\b", "a^b", "a-b", "axb", "\n\xff*"];
    await Promise.all(names.map((name) => origin.put(bytes(name), { payload: key })));
    for (const name of names) expect(await scanned(name)).toEqual([name]);
    expect(await scanned("a")).toHaveLength(7);
  });

  test("any number is a cursor", async () => {
    await putText("v");
    for (const cursor of [1n, 2n ** 49n, 2n ** 62n, 2n ** 63n - 1n, 2n ** 64n - 1n])
      await origin.scan(key, cursor, 10);
  });

  test("clear, in steps", async () => {
    const names = Array.from({ length: 1500 }, (_, i) => `a:${i}`);
    await Promise.all([...names, "b"].map((name) => origin.put(bytes(name), { payload: key })));
    await server.command("SET", "other", "stays");
    await server.command("HSET", "bb:a:hash", "f", 1);
    const clear = origin.clear(bytes("a:"));
    let steps = 1;
    while (!(await clear.step())) steps++;
    expect(steps).toBeGreaterThan(1);
    expect(clear.removed).toBe(names.length);
    expect(await scanned("")).toEqual(["b"]);
    expect(await server.command("EXISTS", "other", "bb:a:hash")).toBe(2);
    const all = origin.clear(Buffer.alloc(0));
    while (!(await all.step()));
    expect(all.removed).toBe(1);
  });
});

describe("counts", () => {
  test("calls by verb, errors by kind, latencies", async () => {
    const before = origin.state();
    await putText("v");
    await origin.get(key);
    await server.command("DEL", raw);
    await server.command("LPUSH", raw, 1);
    await origin.get(key).catch(() => {});
    const { calls, errors, traffic } = origin.state();
    expect(calls.put - before.calls.put).toBe(1);
    expect(calls.get - before.calls.get).toBe(2);
    expect(errors.refused - before.errors.refused).toBe(1);
    expect(traffic.messages - before.traffic.messages).toBe(3);
    expect(traffic.service.timed).toBeGreaterThan(0);
    expect(traffic.bytesIn - before.traffic.bytesIn).toBe(1);
  });
});
