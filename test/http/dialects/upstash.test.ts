/** Upstash's REST API: its forms, Redis's replies and errors to the letter, rights and limits. Its client is in test/compat. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { ALL, type Call, type DialectServer, READ, scoped, startDialects } from "./support";

let dialects: DialectServer;
const call: DialectServer["call"] = (path, init) => dialects.call(`/upstash${path}`, init);
const post = (path: string, body: unknown, init: Call = {}) =>
  call(path, { method: "POST", body: JSON.stringify(body), ...init });
/** The result of one command, or its error. */
async function run(...command: (string | number | boolean)[]): Promise<unknown> {
  const response = await post("", command);
  const { result, error } = (await response.json()) as { result?: unknown; error?: string };
  expect({ command, status: response.status }).toEqual({ command, status: error === undefined ? 200 : 400 });
  return error ?? result;
}

/** So many seconds, of which a slow machine may have taken some already. */
const about = (seconds: number) => expect.closeTo(seconds - 4, -1);
const SYNTAX = "ERR syntax error";
const NOT_AN_INTEGER = "ERR value is not an integer or out of range";

beforeAll(async () => {
  dialects = await startDialects();
});

beforeEach(async () => {
  expect(await run("FLUSHDB")).toBe("OK");
});

afterAll(async () => {
  expect(await dialects.server.stop()).toBe(0);
  expect(dialects.server.log()).not.toContain(" error ");
});

describe("one command", () => {
  test("as a body, in any case, with numbers and truth values as text", async () => {
    expect(await run("set", "k", 1.5)).toBe("OK");
    expect(await run("GeT", "k")).toBe("1.5");
    expect(await run("SET", "k", true)).toBe("OK");
    expect(await run("GET", "k")).toBe("true");
    expect(await run("SET", "", "the empty key")).toBe("OK");
    expect(await run("GET", "")).toBe("the empty key");
    expect(await (await dialects.call("/kv/upstash:k")).text()).toBe("true");
    expect((await post("/", ["GET", "k"])).status).toBe(200);
  });

  test("as a path, with the body as a value and the query behind it", async () => {
    const result = async (path: string, init?: Call) => (await call(path, init)).json() as Promise<object>;
    expect(await result("/set/a/1/EX/100")).toEqual({ result: "OK" });
    expect(await result("/get/a")).toEqual({ result: "1" });
    expect(await result("/set/b%2Fc/d%20e")).toEqual({ result: "OK" });
    expect(await run("GET", "b/c")).toBe("d e");
    expect(await result("/set/bytes?EX=100&NX", { method: "POST", body: Buffer.from([0xff, 0]) })).toEqual({
      result: "OK",
    });
    expect(Buffer.from(await (await dialects.call("/kv/upstash:bytes")).bytes())).toEqual(
      Buffer.from([0xff, 0]),
    );
    expect(await run("TTL", "bytes")).toEqual(about(100));
    expect(await result("/set/bytes/x?NX")).toEqual({ result: null });
    expect(await result("/mget/a/none")).toEqual({ result: ["1", null] });
    const wrong = await call("/get");
    expect([wrong.status, await wrong.json()]).toEqual([
      400,
      { error: "ERR wrong number of arguments for 'get' command" },
    ]);
    const encoding = await call("/get/%ff");
    expect([encoding.status, await encoding.json()]).toEqual([
      400,
      { error: "ERR path: is not valid percent-encoded UTF-8" },
    ]);
  });

  test("what is no command", async () => {
    for (const body of [{}, "GET", [], [["GET", "k"]], [null], ["GET", { a: 1 }], 1, null]) {
      const response = await post("", body);
      expect({ body, status: response.status }).toEqual({ body, status: 400 });
      expect(await response.json()).toEqual({ error: expect.stringMatching(/^ERR /) });
    }
    const broken = await call("", { method: "POST", body: "[" });
    expect([broken.status, await broken.json()]).toEqual([400, { error: "ERR the body is not valid JSON" }]);
  });

  test("of hashes, lists, sets and scripts is unknown, and its error names no argument", async () => {
    for (const command of [
      "HSET",
      "lpush",
      "SADD",
      "ZADD",
      "EVAL",
      "evalsha",
      "XADD",
      "constructor",
      "__proto__",
    ])
      expect(await run(command, "secret")).toBe(`ERR unknown command '${command.toLowerCase()}'`);
    expect(await run("x".repeat(500))).toBe(`ERR unknown command '${"x".repeat(128)}'`);
  });

  test("Upstash-Encoding: base64 is for every text but OK", async () => {
    const encoded = async (...command: string[]) =>
      (
        (await (await post("", command, { headers: { "Upstash-Encoding": "base64" } })).json()) as {
          result: unknown;
        }
      ).result;
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    expect(await encoded("SET", "k", "größe")).toBe("OK");
    expect(await encoded("GET", "k")).toBe(base64("größe"));
    expect(await encoded("PING")).toBe(base64("PONG"));
    expect(await encoded("TYPE", "k")).toBe(base64("string"));
    expect(await encoded("MGET", "k", "none")).toEqual([base64("größe"), null]);
    expect(await encoded("SCAN", "0")).toEqual([base64("0"), [base64("k")]]);
    expect(await encoded("STRLEN", "k")).toBe(7);
    await call("/set/bytes", { method: "POST", body: Buffer.from([0xff, 0xfe]) });
    expect(await encoded("GET", "bytes")).toBe("//4=");
  });

  test("a sync token comes with every answer, and each time another one", async () => {
    const token = async (path: string, body: unknown) =>
      (await post(path, body)).headers.get("upstash-sync-token");
    const tokens = [
      await token("", ["PING"]),
      await token("", ["GET"]),
      await token("/pipeline", [["PING"]]),
      await token("/multi-exec", [["PING"]]),
      await token("/multi-exec", [["GET"]]),
    ];
    expect(new Set(tokens).size).toBe(tokens.length);
    expect(tokens).not.toContain(null);
  });
});

describe("several commands", () => {
  test("as a pipeline: in order, each with its result or error", async () => {
    const answered = await post("/pipeline", [
      ["SET", "n", "x"],
      ["INCR", "n"],
      ["GET"],
      ["NONE"],
      "no command",
      ["SET", "n", 1],
      ["INCR", "n"],
      ["KEYS", "*"],
      ["DEL", "n"],
    ]);
    expect([answered.status, await answered.json()]).toEqual([
      200,
      [
        { result: "OK" },
        { error: NOT_AN_INTEGER },
        { error: "ERR wrong number of arguments for 'get' command" },
        { error: "ERR unknown command 'none'" },
        { error: "ERR a command must be an array of texts and numbers, its name first" },
        { result: "OK" },
        { result: 2 },
        { result: ["n"] },
        { result: 1 },
      ],
    ]);
  });

  test("as a transaction: errors of execution stand in their place, and one that cannot be queued discards all", async () => {
    const done = await post("/multi-exec", [
      ["SET", "n", "x"],
      ["INCR", "n"],
      ["GET", "n"],
    ]);
    expect([done.status, await done.json()]).toEqual([
      200,
      [{ result: "OK" }, { error: NOT_AN_INTEGER }, { result: "x" }],
    ]);
    for (const bad of [["NONE"], ["GET"], [], {}, [null]]) {
      const discarded = await post("/multi-exec", [["SET", "n", "y"], bad]);
      expect([discarded.status, await discarded.json()]).toEqual([
        400,
        { error: "EXECABORT Transaction discarded because of previous errors." },
      ]);
    }
    expect(await run("GET", "n")).toBe("x");
  });

  test("none, or too many, are refused as a whole", async () => {
    for (const path of ["/pipeline", "/multi-exec"]) {
      for (const body of [[], {}, "x"]) expect((await post(path, body)).status).toBe(400);
      const many = await post(
        path,
        Array.from({ length: 601 }, () => ["PING"]),
      );
      expect([many.status, await many.json()]).toEqual([
        413,
        { error: expect.stringContaining("--max-batch") },
      ]);
    }
    const long = await post("/pipeline", [["SET", "k", "x".repeat(250_000)]]);
    expect([long.status, await long.json()]).toEqual([
      413,
      { error: expect.stringContaining("--max-message") },
    ]);
  });

  test("a long answer is whole", async () => {
    await run("SET", "k", "x".repeat(10_000));
    const answered = await post(
      "/pipeline",
      Array.from({ length: 300 }, () => ["GET", "k"]),
    );
    const items = (await answered.json()) as { result: string }[];
    expect([items.length, items.every(({ result }) => result.length === 10_000)]).toEqual([300, true]);
  });
});

describe("SET", () => {
  test("with each option", async () => {
    expect(await run("SET", "k", "1", "XX")).toBeNull();
    expect(await run("SET", "k", "1", "NX")).toBe("OK");
    expect(await run("SET", "k", "2", "nx")).toBeNull();
    expect(await run("SET", "k", "3", "xx")).toBe("OK");
    expect(await run("SET", "k", "4", "GET")).toBe("3");
    expect(await run("SET", "none", "5", "GET")).toBeNull();
    expect(await run("MGET", "k", "none")).toEqual(["4", "5"]);
    expect(await run("SET", "k", "6", "NX", "GET")).toBe("4");
    expect(await run("GET", "k")).toBe("4");
    expect(await run("SET", "new", "7", "NX", "GET")).toBeNull();
    expect(await run("GET", "new")).toBe("7");
    expect(await run("SET", "k", "8", "GET", "XX")).toBe("4");
    expect(await run("SET", "absent", "9", "XX", "GET")).toBeNull();
    expect(await run("EXISTS", "absent")).toBe(0);
  });

  test("with times, which the next SET takes away unless it keeps them", async () => {
    const inSeconds = Math.floor(Date.now() / 1000);
    for (const [options, least, most] of [
      [["EX", 100], 60_000, 100_000],
      [["PX", 100_000], 60_000, 100_000],
      [["EXAT", inSeconds + 100], 60_000, 100_000],
      [["PXAT", Date.now() + 100_000], 60_000, 100_000],
      [["EX", 100, "NX", "GET"], -2, -2],
    ] as const) {
      if (least > 0) await run("SET", "k", "v", ...options);
      const left = (await run("PTTL", least > 0 ? "k" : "none")) as number;
      expect({ options, isRight: left >= least && left <= most }).toEqual({ options, isRight: true });
    }
    expect(await run("SET", "k", "w", "KEEPTTL")).toBe("OK");
    expect(await run("TTL", "k")).toEqual(about(100));
    expect(await run("SET", "k", "w", "KEEPTTL", "GET")).toBe("w");
    expect(await run("TTL", "k")).toEqual(about(100));
    expect(await run("SET", "k", "w")).toBe("OK");
    expect(await run("TTL", "k")).toBe(-1);
    expect(await run("SET", "k", "w", "PXAT", 1)).toBe("OK");
    expect(await run("GET", "k")).toBeNull();
  });

  test("with options that contradict each other, or times that are none", async () => {
    for (const options of [
      ["NX", "XX"],
      ["EX", "1", "PX", "1"],
      ["KEEPTTL", "EX", "1"],
      ["EX"],
      ["NO"],
      ["1"],
    ])
      expect([options, await run("SET", "k", "v", ...options)]).toEqual([options, SYNTAX]);
    for (const time of ["0", "-1", "9223372036854775807"])
      expect([time, await run("SET", "k", "v", "EX", time)]).toEqual([
        time,
        "ERR invalid expire time in 'set' command",
      ]);
    for (const time of ["a", "1.5", "", "9223372036854775808", "01", "+1", " 1"])
      expect([time, await run("SET", "k", "v", "PX", time)]).toEqual([time, NOT_AN_INTEGER]);
    expect(await run("SETEX", "k", 0, "v")).toBe("ERR invalid expire time in 'setex' command");
    expect(await run("PSETEX", "k", -5, "v")).toBe("ERR invalid expire time in 'psetex' command");
    expect(await run("SETEX", "k", "x", "v")).toBe(NOT_AN_INTEGER);
    expect(await run("EXISTS", "k")).toBe(0);
  });

  test("is one operation: of many that set a lock at once, one has it, and all who ask for the value before see a chain", async () => {
    const locks = await Promise.all(
      Array.from({ length: 40 }, (_, i) => run("SET", "lock", i, "NX", "EX", 10)),
    );
    expect(locks.filter((lock) => lock === "OK")).toHaveLength(1);
    const before = await Promise.all(Array.from({ length: 40 }, (_, i) => run("SET", "chain", i, "GET")));
    const last = await run("GET", "chain");
    expect(new Set([...before, last]).size).toBe(41);
    const deleted = await Promise.all(Array.from({ length: 40 }, () => run("GETDEL", "chain")));
    expect(deleted.filter((value) => value !== null)).toEqual([last as string]);
  });
});

describe("the other ways to write and read", () => {
  test("SETNX, SETEX, PSETEX, GETSET, GETDEL", async () => {
    expect([await run("SETNX", "k", "1"), await run("SETNX", "k", "2")]).toEqual([1, 0]);
    expect(await run("GETSET", "k", "3")).toBe("1");
    expect(await run("GETSET", "none", "4")).toBeNull();
    expect(await run("SETEX", "k", 100, "5")).toBe("OK");
    expect(await run("TTL", "k")).toEqual(about(100));
    expect(await run("GETSET", "k", "6")).toBe("5");
    expect(await run("TTL", "k")).toBe(-1);
    expect(await run("PSETEX", "k", 5000, "7")).toBe("OK");
    expect(await run("GETDEL", "k")).toBe("7");
    expect([await run("GETDEL", "k"), await run("EXISTS", "k")]).toEqual([null, 0]);
  });

  test("GETEX", async () => {
    await run("SET", "k", "v");
    expect([await run("GETEX", "k"), await run("TTL", "k")]).toEqual(["v", -1]);
    expect([await run("GETEX", "k", "EX", 100), await run("TTL", "k")]).toEqual(["v", about(100)]);
    expect([await run("GETEX", "k", "PX", 50_000), await run("TTL", "k")]).toEqual(["v", about(50)]);
    expect([await run("GETEX", "k"), await run("TTL", "k")]).toEqual(["v", about(50)]);
    expect([await run("GETEX", "k", "PERSIST"), await run("TTL", "k")]).toEqual(["v", -1]);
    expect([await run("GETEX", "k", "PXAT", 5), await run("EXISTS", "k")]).toEqual(["v", 0]);
    expect(await run("GETEX", "k", "EX", 100)).toBeNull();
    for (const options of [["EX"], ["PERSIST", "EX", "1"], ["EX", "1", "PX", "1"], ["NX"]])
      expect([options, await run("GETEX", "k", ...options)]).toEqual([options, SYNTAX]);
    expect(await run("GETEX", "k", "EX", 0)).toBe("ERR invalid expire time in 'getex' command");
  });

  test("MSET, MGET, MSETNX, DEL, UNLINK, EXISTS, TOUCH, of more keys than are taken in a row", async () => {
    const names = Array.from({ length: 200 }, (_, i) => `k${i}`);
    expect(await run("MSET", ...names.flatMap((name) => [name, `${name}!`]))).toBe("OK");
    expect(await run("MGET", ...names, "none", "k0")).toEqual([
      ...names.map((name) => `${name}!`),
      null,
      "k0!",
    ]);
    expect(await run("EXISTS", ...names, "none", "k0", "k0")).toBe(202);
    expect(await run("TOUCH", "k0", "none")).toBe(1);
    expect(await run("DEL", ...names.slice(0, 150), "none", "k0")).toBe(150);
    expect(await run("UNLINK", ...names)).toBe(50);
    expect(await run("MSET", "a", "1", "a", "2")).toBe("OK");
    expect(await run("GET", "a")).toBe("2");
    for (const name of ["mset", "msetnx"])
      expect(await run(name, "a", "1", "b")).toBe(`ERR wrong number of arguments for '${name}' command`);
    expect([await run("MSETNX", "b", "1", "a", "1"), await run("EXISTS", "b")]).toEqual([0, 0]);
    expect([await run("MSETNX", "b", "1", "c", "2", "b", "3"), await run("MGET", "b", "c")]).toEqual([
      1,
      ["3", "2"],
    ]);
  });

  test("APPEND, STRLEN, GETRANGE, SUBSTR, SETRANGE", async () => {
    expect([await run("APPEND", "k", "Hello "), await run("APPEND", "k", "World")]).toEqual([6, 11]);
    expect([await run("STRLEN", "k"), await run("STRLEN", "none")]).toEqual([11, 0]);
    for (const [from, to, wanted] of [
      [0, 3, "Hell"],
      [-3, -1, "rld"],
      [0, -1, "Hello World"],
      [6, 100, "World"],
      [5, 3, ""],
      [-100, 0, "H"],
      [-1, -3, ""],
      [20, 30, ""],
      [0, -100, "H"],
    ] as const)
      expect([from, to, await run("GETRANGE", "k", from, to), await run("SUBSTR", "k", from, to)]).toEqual([
        from,
        to,
        wanted,
        wanted,
      ]);
    expect(await run("GETRANGE", "none", 0, -1)).toBe("");
    expect(await run("GETRANGE", "k", "a", 1)).toBe(NOT_AN_INTEGER);
    expect([await run("SETRANGE", "k", 6, "Redis"), await run("GET", "k")]).toEqual([11, "Hello Redis"]);
    expect([await run("SETRANGE", "pad", 3, "x"), await run("GET", "pad")]).toEqual([4, "\0\0\0x"]);
    expect([await run("SETRANGE", "none", 3, ""), await run("EXISTS", "none")]).toEqual([0, 0]);
    expect(await run("SETRANGE", "k", -1, "x")).toBe("ERR offset is out of range");
    expect(await run("SETRANGE", "k", 200_000, "x")).toBe(
      "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
    );
    await run("EXPIRE", "k", 100);
    await run("SETRANGE", "k", 0, "J");
    expect(await run("TTL", "k")).toEqual(about(100));
  });

  test("INCR, DECR, INCRBY, DECRBY", async () => {
    expect([
      await run("INCR", "n"),
      await run("INCRBY", "n", 10),
      await run("DECR", "n"),
      await run("DECRBY", "n", "5"),
    ]).toEqual([1, 11, 10, 5]);
    expect(await run("INCRBY", "n", -15)).toBe(-10);
    await run("EXPIRE", "n", 100);
    await run("INCR", "n");
    expect(await run("TTL", "n")).toEqual(about(100));
    for (const value of ["", "a", "1.0", " 1", "01", "9223372036854775808"]) {
      await run("SET", "n", value);
      expect([value, await run("INCR", "n"), await run("GET", "n")]).toEqual([value, NOT_AN_INTEGER, value]);
    }
    await run("SET", "n", "9223372036854775806");
    const text = await (await post("", ["INCR", "n"])).text();
    expect(text).toBe('{"result":9223372036854775807}');
    expect(await run("INCR", "n")).toBe("ERR increment or decrement would overflow");
    expect(await run("DECRBY", "n", "-1")).toBe("ERR increment or decrement would overflow");
    expect(await run("DECRBY", "n", "-9223372036854775808")).toBe("ERR decrement would overflow");
    expect(await run("GET", "n")).toBe("9223372036854775807");
    for (const delta of ["1.5", "x", "9223372036854775808"])
      expect(await run("INCRBY", "n", delta)).toBe(NOT_AN_INTEGER);
  });

  test("INCRBYFLOAT, of many clients at once too", async () => {
    expect(await run("INCRBYFLOAT", "f", "10.5")).toBe("10.5");
    expect(await run("INCRBYFLOAT", "f", "-5")).toBe("5.5");
    expect(await run("INCRBYFLOAT", "f", "1e3")).toBe("1005.5");
    expect(await run("INCRBYFLOAT", "large", "1e21")).toBe("1000000000000000000000");
    expect(await run("INCRBYFLOAT", "small", "1e-7")).toBe("0.0000001");
    expect([await run("INCRBYFLOAT", "exact", "0.1"), await run("INCRBYFLOAT", "exact", "0.2")]).toEqual([
      "0.1",
      "0.3",
    ]);
    expect(await run("INCRBYFLOAT", "wide", "9223372036854775807")).toBe("9223372036854775807");
    expect(await run("INCRBYFLOAT", "wide", "-9223372036854775807.25")).toBe("-0.25");
    expect(await run("INCRBYFLOAT", "zero", "-0e999999999")).toBe("0");
    expect(await run("INCRBYFLOAT", "zero", "1e-999999999")).toBe("0");
    expect(await run("INCRBYFLOAT", "zero", "0.000000000000000015")).toBe("0.00000000000000002");
    await run("SET", "digits", "1".repeat(90_000));
    expect(await run("INCRBYFLOAT", "digits", "1")).toBe("ERR value is not a valid float");
    for (const delta of ["x", "", "inf", "0x10", "1e400", ".", "1e", " 1", `0.${"0".repeat(6000)}1`])
      expect([delta, await run("INCRBYFLOAT", "f", delta)]).toEqual([
        delta,
        "ERR value is not a valid float",
      ]);
    await run("SET", "f", "text");
    expect(await run("INCRBYFLOAT", "f", "1")).toBe("ERR value is not a valid float");
    await run("SET", "huge", "1.7e308");
    expect(await run("INCRBYFLOAT", "huge", "1.7e308")).toBe("ERR increment would produce NaN or Infinity");
    await Promise.all(Array.from({ length: 50 }, () => run("INCRBYFLOAT", "sum", "0.5")));
    expect(await run("GET", "sum")).toBe("25");
  });
});

describe("expiry", () => {
  test("EXPIRE and its like, PERSIST, and what is left", async () => {
    await run("SET", "k", "v");
    expect([await run("TTL", "k"), await run("PTTL", "none"), await run("EXPIRETIME", "k")]).toEqual([
      -1, -2, -1,
    ]);
    expect([await run("PERSIST", "k"), await run("PERSIST", "none")]).toEqual([0, 0]);
    expect([await run("EXPIRE", "k", 100), await run("TTL", "k")]).toEqual([1, about(100)]);
    expect([await run("PERSIST", "k"), await run("TTL", "k")]).toEqual([1, -1]);
    expect([await run("PEXPIRE", "k", 50_000), await run("TTL", "k")]).toEqual([1, about(50)]);
    const at = Math.floor(Date.now() / 1000) + 100;
    expect([await run("EXPIREAT", "k", at), await run("EXPIRETIME", "k")]).toEqual([
      1,
      expect.closeTo(at, -1),
    ]);
    expect(await run("PEXPIREAT", "k", at * 1000 + 5000)).toBe(1);
    expect(await run("PEXPIRETIME", "k")).toEqual(expect.closeTo(at * 1000 + 5000, -4));
    for (const command of ["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"]) {
      expect(await run(command, "none", 1)).toBe(0);
      expect(await run(command, "k", "soon")).toBe(NOT_AN_INTEGER);
      expect(await run(command, "k", "9223372036854775807")).toBe(
        `ERR invalid expire time in '${command.toLowerCase()}' command`,
      );
    }
    expect([await run("EXPIRE", "k", -1), await run("GET", "k")]).toEqual([1, null]);
    await run("SET", "k", "v");
    expect([await run("EXPIREAT", "k", 1), await run("EXISTS", "k")]).toEqual([1, 0]);
  });

  test("on conditions", async () => {
    await run("SET", "k", "v");
    expect([
      await run("EXPIRE", "k", 100, "XX"),
      await run("EXPIRE", "k", 100, "GT"),
      await run("TTL", "k"),
    ]).toEqual([0, 0, -1]);
    expect([await run("EXPIRE", "k", 100, "LT", "XX"), await run("EXPIRE", "k", 100, "LT")]).toEqual([0, 1]);
    expect([
      await run("EXPIRE", "k", 200, "NX"),
      await run("EXPIRE", "k", 200, "LT"),
      await run("TTL", "k"),
    ]).toEqual([0, 0, about(100)]);
    expect([
      await run("EXPIRE", "k", 200, "gt"),
      await run("EXPIRE", "k", 50, "GT"),
      await run("TTL", "k"),
    ]).toEqual([1, 0, about(200)]);
    expect([
      await run("EXPIRE", "k", 300, "XX", "GT"),
      await run("EXPIRE", "k", 150, "XX"),
      await run("TTL", "k"),
    ]).toEqual([1, 1, about(150)]);
    await run("PERSIST", "k");
    expect([await run("EXPIRE", "k", 100, "NX"), await run("TTL", "k")]).toEqual([1, about(100)]);
    for (const options of [
      ["NX", "XX"],
      ["NX", "GT"],
      ["NX", "LT"],
    ])
      expect(await run("EXPIRE", "k", 1, ...options)).toBe(
        "ERR NX and XX, GT or LT options at the same time are not compatible",
      );
    expect(await run("EXPIRE", "k", 1, "GT", "LT")).toBe(
      "ERR GT and LT options at the same time are not compatible",
    );
    expect(await run("EXPIRE", "k", 1, "AB")).toBe("ERR Unsupported option AB");
  });
});

describe("all keys", () => {
  const walk = async (...options: (string | number)[]) => {
    const found: string[] = [];
    let pages = 0;
    for (let cursor = "0"; ;) {
      const [next, keys] = (await run("SCAN", cursor, ...options)) as [string, string[]];
      found.push(...keys);
      pages++;
      if (next === "0") return { found: [...new Set(found)].sort(), pages };
      cursor = next;
    }
  };

  test("SCAN with MATCH, COUNT and TYPE; KEYS; DBSIZE; FLUSHDB", async () => {
    const names = Array.from({ length: 100 }, (_, i) => `${i % 2 ? "odd" : "even"}:${i}`).sort();
    await run("MSET", ...names.flatMap((name) => [name, "x"]));
    await dialects.call("/kv/other", { method: "PUT", body: "no key of this client" });
    expect((await walk()).found).toEqual(names);
    const counted = await walk("COUNT", 7);
    expect([counted.found, counted.pages >= 14]).toEqual([names, true]);
    expect((await walk("COUNT", 1000)).pages).toBeLessThan(10);
    const odd = names.filter((name) => name.startsWith("odd"));
    expect((await walk("MATCH", "odd:*", "COUNT", 20)).found).toEqual(odd);
    expect((await walk("match", "*:1?")).found).toEqual(names.filter((name) => /:1.$/.test(name)));
    expect((await walk("TYPE", "string")).found).toEqual(names);
    expect((await walk("TYPE", "zset")).found).toEqual([]);
    expect(((await run("SCAN", 0, "WITHTYPE", "COUNT", 1)) as [string, string[]])[1][1]).toBe("string");
    expect(((await run("KEYS", "odd:*")) as string[]).sort()).toEqual(odd);
    expect(await run("KEYS", "none")).toEqual([]);
    expect(await run("DBSIZE")).toBe(100);
    expect(await run("FLUSHDB", "ASYNC")).toBe("OK");
    expect([await run("DBSIZE"), await run("SCAN", 0)]).toEqual([0, ["0", []]]);
    expect(await (await dialects.call("/kv/other")).text()).toBe("no key of this client");
  });

  test("errors of SCAN and FLUSHDB", async () => {
    for (const cursor of ["a", "-1", "18446744073709551616", "1.5"])
      expect(await run("SCAN", cursor)).toBe("ERR invalid cursor");
    for (const options of [["MATCH"], ["COUNT", "0"], ["COUNT", "-1"], ["LIMIT", "1"]])
      expect([options, await run("SCAN", 0, ...options)]).toEqual([options, SYNTAX]);
    expect(await run("SCAN", 0, "COUNT", "x")).toBe(NOT_AN_INTEGER);
    expect(await run("FLUSHDB", "NOW")).toBe(SYNTAX);
    const long = "ERR pattern: 1025 bytes, at most 1024 are allowed";
    expect(await run("KEYS", "*".repeat(1025))).toBe(long);
    expect(await run("SCAN", 0, "MATCH", `[${"x".repeat(1023)}]`)).toBe(long);
    expect(await run("KEYS", `*[${"x".repeat(1021)}]`)).toEqual([]);
  });

  test("PING, ECHO, TYPE", async () => {
    await run("SET", "k", "v");
    expect([await run("PING"), await run("PING", "hi"), await run("ECHO", "x y")]).toEqual([
      "PONG",
      "hi",
      "x y",
    ]);
    expect([await run("TYPE", "k"), await run("TYPE", "none")]).toEqual(["string", "none"]);
  });
});

test("every command refuses too few and too many arguments by its name", async () => {
  const few =
    "append decr decrby del echo exists expire expireat get getdel getex getrange getset incr incrby keys mget mset persist pexpire psetex pttl scan set setex setnx strlen ttl type unlink";
  for (const name of few.split(" "))
    expect(await run(name.toUpperCase())).toBe(`ERR wrong number of arguments for '${name}' command`);
  for (const name of [
    "get",
    "incr",
    "ttl",
    "strlen",
    "getdel",
    "type",
    "keys",
    "dbsize",
    "ping",
    "echo",
    "persist",
  ])
    expect(await run(name, "1", "2", "3")).toBe(`ERR wrong number of arguments for '${name}' command`);
});

describe("who may do what", () => {
  const one = async (token: string | null, ...command: string[]) => {
    const response = await post("", command, { token });
    return [response.status, ((await response.json()) as { error?: string }).error ?? "done"];
  };

  test("errors of access in Redis's words", async () => {
    expect(await one(null, "GET", "k")).toEqual([
      401,
      "WRONGPASS a token is needed: Authorization: Bearer TOKEN",
    ]);
    expect(await one("wrong", "GET", "k")).toEqual([
      401,
      "WRONGPASS a valid token is needed: Authorization: Bearer TOKEN",
    ]);
    expect(await one(READ, "GET", "k")).toEqual([200, "done"]);
    const refused = [400, "NOPERM this token may only read (GET, INFO, SCAN, STATS, WATCH)"];
    for (const command of [
      ["SET", "k", "v"],
      ["DEL", "k"],
      ["GETDEL", "k"],
      ["GETEX", "k", "PERSIST"],
      ["EXPIRE", "k", "1"],
      ["INCR", "k"],
      ["APPEND", "k", "v"],
      ["FLUSHDB"],
      ["MSETNX", "k", "v"],
      ["SETRANGE", "k", "0", "v"],
      ["INCRBYFLOAT", "k", "1"],
    ])
      expect([command, await one(READ, ...command)]).toEqual([command, refused]);
    const items = await post(
      "/pipeline",
      [
        ["GET", "k"],
        ["SET", "k", "v"],
      ],
      { token: READ },
    );
    expect([items.status, await items.json()]).toEqual([200, [{ result: null }, { error: refused[1] }]]);
  });

  test("what tells the value before needs GET as well", async () => {
    const writer = scoped("upstash:", ["put"]);
    expect(await one(writer, "SET", "k", "v")).toEqual([200, "done"]);
    for (const command of [
      ["SET", "k", "w", "GET"],
      ["GETSET", "k", "w"],
      ["GETDEL", "k"],
      ["GETEX", "k", "EX", "1"],
    ])
      expect([command[0], (await one(writer, ...command))[0]]).toEqual([command[0], 400]);
    expect(await run("GET", "k")).toBe("v");
    const deleter = scoped("upstash:", ["delete"]);
    expect((await one(deleter, "GETDEL", "k"))[0]).toBe(400);
    expect(await run("GET", "k")).toBe("v");
  });

  test("a token with a prefix below upstash: has a database of its own", async () => {
    const verbs = ["get", "put", "delete", "scan", "touch", "add", "append"];
    const shop = scoped("upstash:shop:", verbs);
    await run("SET", "k", "all's");
    expect(await one(shop, "SET", "k", "shop's")).toEqual([200, "done"]);
    expect(await run("MGET", "k", "shop:k")).toEqual(["all's", "shop's"]);
    const result = async (...command: string[]) =>
      ((await (await post("", command, { token: shop })).json()) as { result: unknown }).result;
    expect([await result("GET", "k"), await result("KEYS", "*"), await result("DBSIZE")]).toEqual([
      "shop's",
      ["k"],
      1,
    ]);
    expect(await result("FLUSHDB")).toBe("OK");
    expect([await result("DBSIZE"), await run("GET", "k")]).toEqual([0, "all's"]);
    expect((await one(scoped("other:", verbs), "GET", "k"))[0]).toBe(400);
  });

  test("?_token= stands for the header, but not where there is one", async () => {
    const status = async (path: string, token: string | null) => (await call(path, { token })).status;
    expect(await status(`/get/k?_token=${ALL}`, null)).toBe(200);
    expect(await status("/get/k?_token=wrong", null)).toBe(401);
    expect(await status(`/get/k?_token=${ALL}`, "wrong")).toBe(401);
    expect((await post(`/pipeline?_token=${ALL}`, [["PING"]], { token: null })).status).toBe(200);
    expect((await dialects.call(`/kv/k?_token=${ALL}`, { token: null })).status).toBe(401);
  });

  test("pages on the list may use it as its client does in a browser; others may not, and images send nothing", async () => {
    const headers = {
      Origin: "https://ok.example",
      "Access-Control-Request-Method": "POST",
      "Access-Control-Request-Headers":
        "authorization,content-type,upstash-encoding,upstash-sync-token,upstash-telemetry-sdk",
    };
    for (const path of ["", "/pipeline", "/multi-exec", "/set/k/v"]) {
      const preflight = await call(path, { method: "OPTIONS", headers, token: null });
      expect([path, preflight.status]).toEqual([path, 204]);
      const allowed = preflight.headers.get("access-control-allow-headers")!.toLowerCase().split(", ");
      for (const name of headers["Access-Control-Request-Headers"].split(","))
        expect(allowed).toContain(name);
    }
    const answered = await post("", ["PING"], { headers: { Origin: "https://ok.example" } });
    expect(answered.headers.get("access-control-expose-headers")).toContain("Upstash-Sync-Token");
    expect((await post("", ["PING"], { headers: { Origin: "https://evil.example" } })).status).toBe(403);
    const image = await call(`/flushdb?_token=${ALL}`, {
      token: null,
      headers: { "Sec-Fetch-Site": "cross-site" },
    });
    expect([image.status, await image.json()]).toEqual([
      403,
      { error: expect.stringMatching(/^NOPERM Origin/) },
    ]);
  });
});

test("limits: keys and values, in one command and in a path", async () => {
  expect(await run("SET", "k".repeat(200), "v")).toMatch(/^ERR key: .*--max-key/);
  expect(await run("SET", "k", "x".repeat(100 * 1024 + 1))).toMatch(/^ERR value: .*--max-value/);
  expect(await run("SET", "k", "x".repeat(100 * 1024))).toBe("OK");
  expect(await run("APPEND", "k", "x")).toMatch(/^ERR value: .*--max-value/);
});

test("a reply of many values has the bound of what a worker holds; single ones and pipelines are answered", async () => {
  const small = await startDialects(["--max-buffered", "1mb"]);
  const ask = async (path: string, body: unknown) =>
    (await small.call(`/upstash${path}`, { method: "POST", body: JSON.stringify(body) })).json();
  await ask("", ["SET", "k", "x".repeat(100 * 1024)]);
  const many = Array.from({ length: 50 }, () => "k");
  expect(await ask("", ["MGET", ...many])).toEqual({ error: expect.stringMatching(/^ERR .*--max-buffered/) });
  const items = (await ask(
    "/pipeline",
    many.map((key) => ["GETEX", key, "EX", 100]),
  )) as { result?: string; error?: string }[];
  // A pipeline is answered in pieces. How many commands find no room depends on how fast they are read; none of those was executed.
  expect(items).toHaveLength(50);
  expect(items.some(({ result }) => result?.length === 100 * 1024)).toBe(true);
  for (const { result, error } of items)
    if (result === undefined) expect(error).toMatch(/--max-buffered/);
    else expect(result.length).toBe(100 * 1024);
  for (let i = 0; i < 30; i++)
    expect(((await ask("", ["GET", "k"])) as { result: string }).result.length).toBe(100 * 1024);
  expect(await small.server.stop()).toBe(0);
});

test("another method is 405", async () => {
  expect((await call("", { method: "GET" })).status).toBe(405);
  expect((await call("/pipeline", { method: "DELETE" })).status).toBe(405);
});
