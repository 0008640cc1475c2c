/** Requests that wait for a store of record: executed again with the answers that they have, begun ahead where order allows it. */
import { describe, expect, test } from "bun:test";
import { Calls, CONFLICT, drive, execute, step, SUSPENDED } from "../../src/commands/calls";
import { SmallStore } from "../support/small-store";

const { store } = new SmallStore({ shardBytes: 1 << 20 });

function keyOf(text: string) {
  const bytes = Buffer.from(text);
  const key = store.newKey();
  key.aim(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
  return key;
}

/** A store of record whose answers come when the test says so. */
class Origin {
  readonly asked: string[] = [];
  private readonly answers: (() => void)[] = [];

  ask<Value>(what: string, value: Value | Error): Promise<Value> {
    this.asked.push(what);
    return new Promise((resolve, reject) =>
      this.answers.push(() => (value instanceof Error ? reject(value) : resolve(value))),
    );
  }

  /** The oldest question is answered. */
  async answer(): Promise<void> {
    this.answers.shift()!();
    for (let turn = 0; turn < 4; turn++) await Promise.resolve();
  }
}

/** What comes of it: its result, or what it threw. */
function tried(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

describe("a request", () => {
  test("is suspended until the answer is there, and asks once, however often it is executed", async () => {
    const origin = new Origin();
    const calls = new Calls();
    const get = () =>
      calls.next({ key: keyOf("a"), isWrite: false, start: () => origin.ask("get a", "value") });
    for (let times = 0; times < 3; times++) {
      calls.begin(0);
      expect(tried(get)).toBe(SUSPENDED);
    }
    await origin.answer();
    await calls.answered;
    calls.begin(0);
    expect(get()).toBe("value");
    calls.end();
    calls.begin(1);
    expect(tried(get)).toBe(SUSPENDED);
    expect(origin.asked).toEqual(["get a", "get a"]);
  });

  test("that asks twice finds its first answer again", async () => {
    const origin = new Origin();
    const commands = { calls: null as Calls | null, newCalls: () => new Calls() };
    const next = (what: string, value: string) =>
      commands.calls!.next({ key: null, isWrite: false, start: () => origin.ask(what, value) });
    const result = execute(commands, () => `${next("one", "1")} ${next("two", "2")}`);
    await origin.answer();
    await origin.answer();
    expect(await result).toBe("1 2");
    expect(origin.asked).toEqual(["one", "two"]);
  });

  test("is given what the store of record rejected with", async () => {
    const origin = new Origin();
    const commands = { calls: null as Calls | null, newCalls: () => new Calls() };
    const result = execute(commands, () =>
      commands.calls!.next({ key: null, isWrite: true, start: () => origin.ask("put", new Error("down")) }),
    ) as Promise<unknown>;
    await origin.answer();
    expect(await result.catch((error) => error.message)).toBe("down");
  });

  test("without a store of record is executed at once, and gives no promise", () => {
    const commands = { calls: null, newCalls: () => null };
    expect(execute(commands, () => 5)).toBe(5);
  });
});

describe("begun ahead", () => {
  const begin = (calls: Calls, origin: Origin, request: number, [op, name]: readonly [string, string]) => {
    if (request === 0) calls.begin(0);
    else calls.beginAhead(request);
    const key = keyOf(name);
    return tried(() => {
      calls.claim(key, op === "put");
      return calls.next({ key, isWrite: op === "put", start: () => origin.ask(`${op} ${name}`, "") });
    });
  };
  for (const [what, requests, begun] of [
    ["gets of different keys and of one key", ["get a", "get b", "get a", "get b"], 4],
    ["puts of different keys", ["put a", "put b", "put c"], 3],
    ["not a get behind a put of its key", ["put a", "get b", "get a"], 2],
    ["not a put behind a get of its key", ["get b", "get a", "put a"], 2],
    ["not a put behind a put", ["put a", "put a"], 1],
  ] as const)
    test(what, () => {
      const origin = new Origin();
      const calls = new Calls();
      for (const [request, text] of requests.entries())
        if (begin(calls, origin, request, text.split(" ") as [string, string]) === CONFLICT) break;
      expect(origin.asked).toEqual(requests.slice(0, begun));
    });

  test("they are not begun twice, and each finds its own answer in its turn", async () => {
    const origin = new Origin();
    const calls = new Calls();
    const get = (name: string) =>
      calls.next({ key: keyOf(name), isWrite: false, start: () => origin.ask(name, `of ${name}`) });
    calls.begin(0);
    expect(tried(() => get("a"))).toBe(SUSPENDED);
    expect(calls.mayBeginAhead).toBe(true);
    calls.beginAhead(1);
    expect(tried(() => get("b"))).toBe(SUSPENDED);
    calls.begin(0);
    expect(calls.mayBeginAhead).toBe(false);
    await origin.answer();
    await origin.answer();
    for (const [request, name] of ["a", "b"].entries()) {
      calls.begin(request);
      expect(get(name)).toBe(`of ${name}`);
      calls.end();
    }
    expect(origin.asked).toEqual(["a", "b"]);
    calls.begin(2);
    expect(calls.mayBeginAhead).toBe(true);
  });
});

test("a generator of several steps goes on where it was, and asks for each once", async () => {
  const origin = new Origin();
  const commands = { calls: null as Calls | null, newCalls: () => new Calls() };
  function* sum(): Generator<void, number> {
    let total = 0;
    for (const number of [1, 2, 3])
      total += yield* step(commands, () =>
        commands.calls!.next({ key: null, isWrite: false, start: () => origin.ask(String(number), number) }),
      );
    return total;
  }
  let resumed = 0;
  const turns = {
    next: () => Promise.reject(new Error("no turn was asked for")),
    resume: (goOn: () => void) => {
      resumed++;
      goOn();
    },
  };
  const result = drive(commands, turns, sum());
  for (let times = 0; times < 3; times++) await origin.answer();
  expect(await result).toBe(6);
  expect(origin.asked).toEqual(["1", "2", "3"]);
  expect(resumed).toBe(3);
});

describe("values that are read ahead", () => {
  const LONG = 64 * 1024 + 1;
  const get = (calls: Calls, origin: Origin, name: string, bytes: number) =>
    calls.next({
      ...{ key: keyOf(name), isWrite: false },
      start: () => origin.ask(name, name),
      bytesOf: () => bytes,
    });

  test("are kept while they are short, and counted", async () => {
    const origin = new Origin();
    const calls = new Calls();
    calls.begin(0);
    tried(() => get(calls, origin, "a", 10));
    calls.beginAhead(1);
    tried(() => get(calls, origin, "b", 20));
    await origin.answer();
    await origin.answer();
    expect(calls.heldBytes).toBe(30);
    for (const [request, name] of ["a", "b"].entries()) {
      calls.begin(request);
      expect(get(calls, origin, name, 0)).toBe(name);
      calls.end();
    }
    expect(calls.heldBytes).toBe(0);
    expect(origin.asked).toEqual(["a", "b"]);
  });

  test("are read again in their turn where they are long, and then nothing is read ahead", async () => {
    const origin = new Origin();
    const calls = new Calls();
    calls.begin(0);
    tried(() => get(calls, origin, "a", LONG));
    calls.beginAhead(1);
    tried(() => get(calls, origin, "b", LONG));
    await origin.answer();
    await origin.answer();
    expect(calls.heldBytes).toBe(LONG);
    calls.begin(0);
    expect(get(calls, origin, "a", LONG)).toBe("a");
    calls.end();
    calls.begin(1);
    expect(tried(() => get(calls, origin, "b", LONG))).toBe(SUSPENDED);
    expect(calls.mayBeginAhead).toBe(false);
    expect(origin.asked).toEqual(["a", "b", "b"]);
  });

  test("are kept where it is their turn by then", async () => {
    const origin = new Origin();
    const calls = new Calls();
    calls.begin(0);
    tried(() => get(calls, origin, "a", 1));
    calls.beginAhead(1);
    tried(() => get(calls, origin, "b", LONG));
    await origin.answer();
    calls.begin(0);
    get(calls, origin, "a", 1);
    calls.end();
    calls.begin(1);
    expect(tried(() => get(calls, origin, "b", LONG))).toBe(SUSPENDED);
    await origin.answer();
    calls.begin(1);
    expect(get(calls, origin, "b", LONG)).toBe("b");
  });
});
