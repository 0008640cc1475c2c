/** What is repeated and what is not, on a server that answers what the test says. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Engine } from "../../src/origin/engine";
import { OriginError } from "../../src/origin/faults";
import { SCRIPTS } from "../../src/origin/scripts";
import { encode, EXPIRY_AT } from "../../src/origin/value";
import { Outcome } from "../../src/store/shard";
import { NO_TYPE } from "../../src/store/value-type";
import { until } from "../support/engine";
import { type Answers, END, FakeNode, NIL, SILENCE } from "../support/fake-node";
import { connectOrigin } from "../support/origin";

const key = Buffer.from("k");
const payload = Buffer.from("v");
const AHEAD_MS = 3_600_000;

let node: FakeNode;
let origin: Engine;
beforeEach(async () => {
  node = new FakeNode(AHEAD_MS);
  ({ origin } = await connectOrigin(node.url, { timeoutMs: 1000 }));
});
afterEach(async () => {
  origin.invariants();
  await origin.close();
  node.close();
});

/** These answers to commands of that name, one after the other; afterwards the usual ones. */
function answering(name: string, ...replies: ReturnType<Answers>[]): void {
  node.answers = (asked) => (asked === name ? replies.shift() : undefined);
}

const count = (command: string) => node.commands.filter((sent) => sent === command).length;
const failureOf = async (call: Promise<unknown>) => {
  const error = (await call.catch((failed: unknown) => failed)) as OriginError;
  expect(error).toBeInstanceOf(OriginError);
  return error;
};
const PUT_DONE = [Outcome.DONE, 7, NIL, 0];
const EVALSHA = `EVALSHA ${SCRIPTS.put.sha}`;

describe("a read", () => {
  for (const error of ["-TRYAGAIN x", "-CLUSTERDOWN x", "-LOADING x", "-BUSY x", "-MASTERDOWN x"])
    test(`is repeated after ${error}`, async () => {
      answering("GET", error, error, payload);
      expect((await origin.get(key))!.payload).toEqual(payload);
      expect(count("GET bb:k")).toBe(3);
    });

  test("is repeated after its connection has ended", async () => {
    answering("GET", END, END, payload);
    expect((await origin.get(key))!.payload).toEqual(payload);
    expect(count("GET bb:k")).toBe(3);
  });

  test("that is not answered fails at its deadline, and says so", async () => {
    answering("GET", SILENCE);
    const error = await failureOf(origin.get(key));
    expect([error.kind, error.failure, error.message]).toEqual([
      "BUSY",
      "timeout",
      "origin: no answer within 1000 ms (--origin-timeout); try again",
    ]);
    expect(origin.state().errors.timeout).toBe(1);
  });
});

describe("a write", () => {
  for (const error of ["-TRYAGAIN x", "-CLUSTERDOWN x", "-LOADING x", "-NOSCRIPT x"])
    test(`was not executed after ${error}, and is repeated`, async () => {
      answering("EVALSHA", error, PUT_DONE);
      expect((await origin.put(key, { payload })).version).toBe(7);
      expect(count(EVALSHA)).toBe(2);
    });

  test("loads all scripts again where one is gone, before what follows", async () => {
    const loads = count("SCRIPT LOAD");
    expect(loads).toBe(Object.keys(SCRIPTS).length);
    answering("EVALSHA", "-NOSCRIPT No matching script.", PUT_DONE);
    await origin.put(key, { payload });
    expect(node.commands.slice(-loads - 1)).toEqual([...Array(loads).fill("SCRIPT LOAD"), EVALSHA]);
  });

  test("is never repeated after its connection has ended: it may have happened", async () => {
    answering("EVALSHA", END);
    const error = await failureOf(origin.put(key, { payload }));
    expect([error.kind, error.failure, error.mayHaveHappened]).toEqual(["BUSY", "lost", true]);
    expect(error.message).toEndWith("the write may have happened");
    expect(count(EVALSHA)).toBe(1);
  });

  test("of which the answer is late may have happened, and is not repeated", async () => {
    answering("EVALSHA", SILENCE);
    const error = await failureOf(origin.add(key, 1n));
    expect(error.message).toBe(
      "origin: no answer within 1000 ms (--origin-timeout); the write may have happened",
    );
    expect(error.mayHaveHappened).toBe(true);
  });

  test("does not overtake a later call for its key: it fails, and has not happened", async () => {
    answering("EVALSHA", "-CLUSTERDOWN x");
    const put = origin.put(key, { payload });
    expect(await origin.delete(key)).toBe(Outcome.MISS);
    const error = await failureOf(put);
    expect([error.failure, error.mayHaveHappened, count(EVALSHA)]).toEqual(["overtaken", false, 1]);
  });

  test("that waits lets later ones wait, and goes first", async () => {
    answering("EVALSHA", "-CLUSTERDOWN x", "-CLUSTERDOWN x", PUT_DONE, PUT_DONE);
    const done: string[] = [];
    const puts = ["a", "b"].map((text) =>
      origin.put(key, { payload: Buffer.from(text) }).then(() => done.push(text)),
    );
    await until("both were refused", () => count(EVALSHA) >= 2);
    const removal = origin.delete(key).then(() => done.push("delete"));
    await Promise.all([...puts, removal]);
    expect(done).toEqual(["a", "b", "delete"]);
    expect(node.commands.lastIndexOf("UNLINK bb:k")).toBeGreaterThan(node.commands.lastIndexOf(EVALSHA));
  });
});

test("a new connection ends the one before it first: nothing of that may come later", async () => {
  answering("GET", END, payload);
  await origin.get(key);
  const kill = node.commands.indexOf("CLIENT KILL");
  expect(kill).toBeGreaterThan(0);
  expect(node.commands.lastIndexOf("GET bb:k")).toBeGreaterThan(kill);
});

test("a connection on which nothing is answered any more is given up for another one, without which nobody would know", async () => {
  await origin.close();
  ({ origin } = await connectOrigin(node.url, { timeoutMs: 50 }));
  const connections = count("CLIENT ID");
  let isSilent = true;
  node.answers = (name) => (isSilent && (name === "GET" || name === "PING") ? SILENCE : undefined);
  await until("nobody waits any more", async () => (await failureOf(origin.get(key))).failure === "circuit");
  await until("it connects again", () => count("CLIENT ID") > connections);
  isSilent = false;
  expect(count("PING")).toBeGreaterThan(1);
  await until("it answers", async () => (await origin.get(key).catch(() => "not yet")) === null);
});

test("an expiry is on the node's clock, whatever ours shows", async () => {
  const value = encode(payload, NO_TYPE);
  value.writeBigUInt64LE(BigInt(Math.round(node.now()) + 60_000), EXPIRY_AT);
  answering("GET", value);
  const { ttlMs } = (await origin.get(key))!;
  expect(ttlMs).toBeGreaterThan(30_000);
  expect(ttlMs).toBeLessThan(62_000);
  expect(origin.state().nodes[0]!.clockAheadMs / AHEAD_MS).toBeCloseTo(1, 1);
});

test("one that has run out on the way still lives: the node has said so", async () => {
  const value = encode(payload, NO_TYPE);
  value.writeBigUInt64LE(BigInt(Math.round(node.now()) - 60_000), EXPIRY_AT);
  answering("GET", value);
  expect((await origin.get(key))!.ttlMs).toBe(1);
});

test("calls made in one turn leave together, in their order", async () => {
  const values = await Promise.all(Array.from({ length: 100 }, (_, i) => origin.get(Buffer.from(`${i}`))));
  expect(values.every((value) => value === null)).toBe(true);
  const gets = node.commands.filter((command) => command.startsWith("GET "));
  expect(gets).toEqual(Array.from({ length: 100 }, (_, i) => `GET bb:${i}`));
});

describe("errors that do not pass", () => {
  const CASES: [string, string, string][] = [
    ["-OOM command not allowed when used memory > 'maxmemory'.", "BUSY", "is out of memory"],
    ["-READONLY You can't write against a read only replica.", "BUSY", "is a read-only replica"],
    ["-MISCONF Redis is configured to save RDB snapshots", "BUSY", "refuses writes because it cannot save"],
    ["-NOREPLICAS Not enough good replicas to write.", "BUSY", "too few replicas"],
    ["-NOPERM this user has no permissions", "BUSY", "does not permit the user"],
    ["-NOAUTH Authentication required.", "BUSY", "asks for a password"],
    ["-ERR string exceeds maximum allowed size (512MB)", "VALUE_TOO_LARGE", "larger than the origin takes"],
    ["-ERR Error running script: @user_script: 8: -OOM command not allowed", "BUSY", "is out of memory"],
    ["-ERR value of secret k in it", "INTERNAL", "an unexpected error (ERR)"],
    [`-${"X".repeat(100)}`, "INTERNAL", `(${"X".repeat(20)})`],
    ["-MOVED nowhere", "INTERNAL", "an unexpected error (MOVED)"],
  ];
  for (const [reply, kind, text] of CASES)
    test(reply.slice(0, 60), async () => {
      answering("EVALSHA", reply);
      const error = await failureOf(origin.put(key, { payload }));
      expect([error.kind as string, error.mayHaveHappened]).toEqual([kind, false]);
      expect(error.message).toContain(text);
      expect(error.message).not.toContain("secret");
      expect(count(EVALSHA)).toBe(1);
    });
});

test("a node that sends calls in circles is left", async () => {
  const { port } = new URL(node.url);
  node.answers = (name) => (name === "GET" ? `-MOVED 1 127.0.0.1:${port}` : undefined);
  const error = await failureOf(origin.get(key));
  expect(error.message).toContain("from node to node");
  expect(origin.state().redirects).toBeGreaterThan(10);
});

test("a redirect without a host means the node that was asked", async () => {
  const { port } = new URL(node.url);
  answering("GET", `-MOVED 1 :${port}`, `-ASK 1 :${port}`, payload);
  expect((await origin.get(key))!.payload).toEqual(payload);
  expect(node.commands.filter((command) => /^(ASKING|GET)/.test(command))).toEqual([
    "GET bb:k",
    "GET bb:k",
    "ASKING",
    "GET bb:k",
  ]);
});

test("after closing nothing is taken, and what was open has ended", async () => {
  answering("GET", SILENCE);
  const open = failureOf(origin.get(key));
  const closing = origin.close();
  expect((await failureOf(origin.get(key))).failure).toBe("closing");
  await closing;
  expect((await open).failure).toBe("timeout");
});
