/** The verbs of a node with an origin, through a session: what is asked of the origin, when, and what clients are told. */
import { describe, expect, test } from "bun:test";
import { JsonBatch } from "../../src/commands/json-batch";
import { JsonCommands } from "../../src/commands/json";
import { Quota } from "../../src/commands/quota";
import { ID_BYTES_MAX } from "../../src/protocol/json";
import { RequestError } from "../../src/protocol/errors";
import { settled } from "../support/fake-engine";
import { isPush, pushes, request } from "../support/frames";
import { ANYBODY } from "../../src/commands/access";
import { LIMITS } from "../support/small-session";
import { NO_TYPE } from "../../src/store/value-type";
import { SmallNode } from "../support/small-node";

const [GET, PUT, DELETE, ADD, APPEND, INFO, SCAN, CLEAR] = [1, 2, 3, 5, 6, 7, 8, 9];
const META = 0x08;
const GET_WATCH = 0x10;
const LEASE = 0x12;
const FILL = 0x80;
const LEASE_WAIT = 0x20;

const get = (key: string) => request({ op: GET, key });
const put = (key: string, value: string) => request({ op: PUT, key, value: Buffer.from(value) });
const OK = { status: "OK" } as const;
const MISS = { status: "MISS" } as const;
const value = (text: string) => ({ status: "VALUE", value: Buffer.from(text) }) as const;

/** Sends requests as one message; resolves with their replies. */
async function ask({ session, got }: ReturnType<SmallNode["connect"]>, ...requests: Buffer[]) {
  session.receive(Buffer.concat(requests));
  await settled();
  return got();
}

describe("a read", () => {
  test("asks the origin once, and then the copy", async () => {
    const node = new SmallNode();
    node.engine.record.put("a", Buffer.from("1"));
    const client = node.connect();
    expect(await ask(client, get("a"))).toEqual([value("1")]);
    expect(await ask(client, get("a"), get("a"))).toEqual([value("1"), value("1")]);
    expect(await ask(client, request({ op: INFO, key: "a" }))).toMatchObject([{ length: 1 }]);
    expect(node.engine.asked).toEqual(["get a"]);
  });

  test("that is refused at once lets the event loop go on, however many connections have how many of them", async () => {
    const node = new SmallNode();
    node.engine.failure = new RequestError("BUSY", "down");
    const clients = [node.connect(), node.connect()];
    const gets = Array.from({ length: 10_000 }, (_, i) => get(`k${i}`));
    for (const { session } of clients) session.receive(Buffer.concat(gets));
    let answered = 0;
    const take = () => {
      for (const { got } of clients) answered += got().length;
    };
    await new Promise((resolve) => setImmediate(resolve));
    take();
    expect(answered).toBeLessThan(2 * gets.length);
    while (answered < 2 * gets.length) {
      await new Promise((resolve) => setImmediate(resolve));
      take();
    }
    expect(answered).toBe(2 * gets.length);
  });

  test("tells the collector where it asks the origin, as a write does, and not where a copy answers", async () => {
    const node = new SmallNode();
    node.engine.record.put("a", Buffer.from("1"));
    const client = node.connect();
    await ask(client, get("a"), get("none"));
    expect(node.callsNoted).toBe(2);
    await ask(client, get("a"));
    expect(node.callsNoted).toBe(2);
    await ask(client, put("b", "2"));
    expect(node.callsNoted).toBe(3);
  });

  test("of a batch of misses is one round trip, and the answers keep their order", async () => {
    const node = new SmallNode();
    const { engine } = node;
    for (let i = 0; i < 64; i++) if (i % 3 !== 0) engine.record.put(`k${i}`, Buffer.from(`v${i}`));
    engine.isPrompt = false;
    const client = node.connect();
    client.session.receive(Buffer.concat(Array.from({ length: 64 }, (_, i) => get(`k${i}`))));
    expect(engine.asked.length).toBe(64);
    await engine.answer();
    const expected = Array.from({ length: 64 }, (_, i) => (i % 3 === 0 ? MISS : value(`v${i}`)));
    expect(client.got()).toEqual(expected);
    expect(engine.asked.length).toBe(64);
  });

  test("of one key by many connections is one question", async () => {
    const node = new SmallNode();
    const { engine } = node;
    engine.record.put("hot", Buffer.from("1"));
    engine.isPrompt = false;
    const clients = Array.from({ length: 20 }, () => node.connect());
    for (const { session } of clients) session.receive(get("hot"));
    expect(engine.asked).toEqual(["get hot"]);
    await engine.answer();
    for (const { got } of clients) expect(got()).toEqual([value("1")]);
  });

  test("that waits does not hold up others", async () => {
    const node = new SmallNode();
    const [one, other] = [node.connect(), node.connect()];
    node.engine.record.put("here", Buffer.from("1"));
    await ask(other, get("here"));
    node.engine.isPrompt = false;
    one.session.receive(get("elsewhere"));
    expect(await ask(other, get("here"))).toEqual([value("1")]);
    expect(one.got()).toEqual([]);
    await node.engine.answer();
    expect(one.got()).toEqual([MISS]);
  });

  test("whose key changes while it is asked for leaves no copy", async () => {
    const node = new SmallNode();
    const { engine } = node;
    engine.record.put("a", Buffer.from("old"));
    engine.isPrompt = false;
    const client = node.connect();
    client.session.receive(get("a"));
    engine.record.put("a", Buffer.from("new"));
    node.tell(["a"]);
    await engine.answer();
    expect(client.got()).toEqual([value("old")]);
    engine.isPrompt = true;
    expect(await ask(client, get("a"))).toEqual([value("new")]);
  });

  test("does not join a question from before a write", async () => {
    const node = new SmallNode();
    const { engine } = node;
    engine.record.put("a", Buffer.from("old"));
    engine.isPrompt = false;
    const [reader, writer] = [node.connect(), node.connect()];
    reader.session.receive(get("a"));
    writer.session.receive(Buffer.concat([put("a", "new"), get("a")]));
    await engine.answer();
    await engine.answer();
    expect(writer.got()).toEqual([OK, value("new")]);
    expect(reader.got()).toEqual([value("old")]);
  });

  test("is not answered from a copy that may be old", async () => {
    const node = new SmallNode(undefined, { maxAgeMs: 500 });
    const { engine, copies } = node;
    engine.record.put("a", Buffer.from("1"));
    const client = node.connect();
    await ask(client, get("a"));
    copies.now += 501;
    await ask(client, get("a"));
    expect(engine.asked.length).toBe(2);
    node.prove();
    await ask(client, get("a"));
    node.lose();
    await ask(client, get("a"));
    expect(engine.asked.length).toBe(3);
  });
});

test("as many values as there are places are on their way at once, and all are answered in their order", async () => {
  const node = new SmallNode(undefined, { places: 3 });
  const { engine } = node;
  for (let i = 0; i < 8; i++) engine.record.put(`k${i}`, Buffer.from(`v${i}`));
  engine.isPrompt = false;
  const client = node.connect();
  client.session.receive(Buffer.concat(Array.from({ length: 8 }, (_, i) => get(`k${i}`))));
  for (let asked = 3; asked <= 8; asked++) {
    await settled();
    expect(engine.asked.length).toBe(asked);
    await engine.answer(1);
    node.gate.invariants();
  }
  await engine.answer();
  expect(client.got()).toEqual(Array.from({ length: 8 }, (_, i) => value(`v${i}`)));
});

test("what a batch has asked for counts for what its session holds", async () => {
  const node = new SmallNode();
  node.engine.isPrompt = false;
  const client = node.connect();
  client.session.receive(Buffer.concat([put("a", "x".repeat(1000)), put("b", "x".repeat(1000))]));
  const held = client.session.heldBytes();
  expect(held).toBeGreaterThan(4000);
  await node.engine.answer();
  expect(client.session.heldBytes()).toBe(0);
});

test("a value is read and touched, or read and removed, as one operation", async () => {
  const node = new SmallNode();
  node.engine.record.put("a", Buffer.from("1"));
  const [GET_DELETE, GET_TOUCH] = [0x14, 0x15];
  const client = node.connect();
  expect(await ask(client, request({ op: GET_TOUCH, key: "a", ttlMs: 60_000n }))).toMatchObject([
    { value: Buffer.from("1") },
  ]);
  expect(node.engine.record.getWithMeta("a")!.expiresAt).toBe(node.engine.record.now + 60_000);
  expect(await ask(client, request({ op: GET_DELETE, key: "a" }), get("a"))).toMatchObject([
    { value: Buffer.from("1") },
    MISS,
  ]);
});

describe("a write", () => {
  test("and what follows it in its batch happen in their order", async () => {
    const node = new SmallNode();
    const delta = Buffer.alloc(8);
    delta.writeBigInt64LE(5n);
    const replies = await ask(
      node.connect(),
      ...[put("n", "1"), request({ op: ADD, key: "n", value: delta }), get("n"), put("other", "x")],
      ...[request({ op: APPEND, key: "n", value: Buffer.from("0") }), get("n")],
      ...[request({ op: DELETE, key: "n" }), get("n"), get("other")],
    );
    expect(replies).toEqual([
      ...[OK, { status: "NUMBER", number: 6n } as const, value("6"), OK],
      ...[OK, value("60"), OK, MISS, value("x")],
    ]);
  });

  test("to different keys of a batch are sent together", () => {
    const node = new SmallNode();
    node.engine.isPrompt = false;
    node.connect().session.receive(Buffer.concat([put("a", "1"), put("b", "2"), get("c"), put("a", "3")]));
    expect(node.engine.asked).toEqual(["put a", "put b", "get c"]);
  });

  test("drops the copy when it is sent and when it is answered", async () => {
    const node = new SmallNode();
    const { engine } = node;
    engine.record.put("a", Buffer.from("old"));
    const client = node.connect();
    await ask(client, get("a"));
    engine.isPrompt = false;
    client.session.receive(put("a", "new"));
    expect(node.copies.get("a")).toBeNull();
    await engine.answer();
    engine.isPrompt = true;
    expect(client.got()).toEqual([OK]);
    expect(await ask(client, get("a"))).toEqual([value("new")]);
  });

  test("that the origin does not answer is BUSY, and the connection goes on", async () => {
    const node = new SmallNode();
    const client = node.connect();
    node.engine.failure = new RequestError("BUSY", "origin: no answer");
    const replies = await ask(client, put("a", "1"), get("a"));
    expect(replies).toMatchObject([
      { status: "ERROR", code: 0x86, message: "origin: no answer" },
      { status: "ERROR", code: 0x86 },
    ]);
    node.engine.failure = null;
    expect(await ask(client, get("a"))).toEqual([MISS]);
  });
});

test("scans and clears go through the origin, and a clear drops copies", async () => {
  const node = new SmallNode();
  for (const name of ["a1", "a2", "b1"]) node.engine.record.put(name, Buffer.from("x"));
  const client = node.connect();
  await ask(client, get("a1"), get("b1"));
  const [page] = await ask(client, request({ op: SCAN, key: "a", value: Buffer.alloc(0) }));
  expect(page).toMatchObject({ cursor: 0n, keys: [Buffer.from("a1"), Buffer.from("a2")] });
  expect(await ask(client, request({ op: CLEAR, key: "a" }), get("a1"), get("b1"))).toEqual([
    { status: "NUMBER", number: 2n },
    MISS,
    value("x"),
  ]);
});

describe("who watches", () => {
  const watchingGet = (key: string) => request({ op: GET, key, flags: GET_WATCH });

  test("is told of a change in the origin, without a version", async () => {
    const node = new SmallNode();
    const client = node.connect();
    node.engine.record.put("a", Buffer.from("1"));
    expect(await ask(client, watchingGet("a"))).toEqual([value("1")]);
    node.tell(["a"]);
    await settled();
    const [message] = client.taken() as Buffer[];
    expect(pushes(message!)).toEqual([{ push: "CHANGED", keys: [{ key: "a", version: 0n }] }]);
  });

  test("is told at once when the key has changed while it was asked for", async () => {
    const node = new SmallNode();
    const { engine } = node;
    const client = node.connect();
    engine.record.put("a", Buffer.from("1"));
    engine.isPrompt = false;
    client.session.receive(watchingGet("a"));
    node.tell(["a"]);
    await engine.answer();
    const messages = client.taken() as Buffer[];
    expect(messages.filter(isPush).flatMap(pushes)).toEqual([
      { push: "CHANGED", keys: [{ key: "a", version: 0n }] },
    ]);
  });

  test("is told at once when nobody would hear of a change", async () => {
    const node = new SmallNode();
    const client = node.connect();
    node.engine.record.put("a", Buffer.from("1"));
    node.lose();
    client.session.receive(watchingGet("a"));
    await settled();
    const messages = client.taken() as Buffer[];
    expect(messages.filter(isPush).flatMap(pushes)).toEqual([
      { push: "CHANGED", keys: [{ key: "a", version: 0n }] },
    ]);
  });
});

describe("a lease", () => {
  const lease = (key: string, flags = 0) => request({ op: LEASE, key, flags });

  test("is given on what the origin does not have, and only then", async () => {
    const node = new SmallNode();
    const client = node.connect();
    node.engine.record.put("there", Buffer.from("1"));
    const [hit, first, second] = await ask(client, lease("there"), lease("k"), lease("k"));
    expect([hit, first!.status, second!.status]).toEqual([value("1"), "LEASED", "PENDING"]);
  });

  test("is filled in the origin, and who waits gets the value from there", async () => {
    const node = new SmallNode();
    const [one, other] = [node.connect(), node.connect()];
    const leased = (await ask(one, lease("k")))[0] as { token: bigint };
    other.session.receive(lease("k", LEASE_WAIT));
    await settled();
    expect(other.got()[0]!.status).toBe("PENDING");
    const fill = { op: PUT, key: "k", flags: FILL, value: Buffer.from("made"), version: leased.token };
    expect(await ask(one, request(fill), request(fill))).toEqual([OK, { status: "REFUSED" }]);
    await settled();
    const filled = (other.taken() as Buffer[]).filter(isPush).flatMap(pushes);
    expect(filled).toMatchObject([{ push: "FILLED", reply: value("made") }]);
    expect(node.engine.asked.filter((what) => what === "put k").length).toBe(1);
  });

  test("is not given for what was stored while it was asked for", async () => {
    const node = new SmallNode();
    const { engine } = node;
    const [one, other] = [node.connect(), node.connect()];
    const leased = (await ask(one, lease("k")))[0] as { token: bigint };
    engine.isPrompt = false;
    other.session.receive(lease("k", LEASE_WAIT));
    const fill = { op: PUT, key: "k", flags: FILL, value: Buffer.from("made"), version: leased.token };
    one.session.receive(request(fill));
    await engine.answerLast("put k");
    expect(one.got()).toEqual([OK]);
    await engine.answer();
    await engine.answer();
    expect(other.got()).toEqual([value("made")]);
  });

  test("has ended when another node has stored the key, and who waits gets that value", async () => {
    const node = new SmallNode();
    const [one, other] = [node.connect(), node.connect()];
    const leased = (await ask(one, lease("k")))[0] as { token: bigint };
    other.session.receive(lease("k", LEASE_WAIT));
    await settled();
    other.got();
    node.engine.record.put("k", Buffer.from("theirs"));
    node.tell(["k"]);
    await settled();
    const filled = (other.taken() as Buffer[]).filter(isPush).flatMap(pushes);
    expect(filled).toMatchObject([{ push: "FILLED", reply: value("theirs") }]);
    const fill = { op: PUT, key: "k", flags: FILL, value: Buffer.from("mine"), version: leased.token };
    expect(await ask(one, request(fill))).toEqual([{ status: "REFUSED" }]);
  });
});

test("while the origin does not answer, an old copy is served where that is wanted, and marked", async () => {
  const node = new SmallNode(undefined, { staleMaxMs: 60_000 });
  const { engine, copies } = node;
  const client = node.connect();
  engine.record.put("a", Buffer.from("1"));
  const fresh = (await ask(client, request({ op: GET, key: "a", flags: META })))[0] as { version: bigint };
  copies.now += 5000;
  node.lose();
  engine.failure = new RequestError("BUSY", "origin: no answer");
  const [stale] = await ask(client, request({ op: GET, key: "a", flags: META }));
  expect(stale).toMatchObject({ status: "META_VALUE", version: fresh.version | (1n << 63n) });
  expect(await ask(client, get("a"))).toEqual([value("1")]);
  client.session.receive('{"op":"get","key":"a"}');
  await settled();
  expect(JSON.parse(client.taken()[0] as string)).toMatchObject({ value: "1", stale: true });
  copies.now += 60_000;
  expect(await ask(client, get("a"))).toMatchObject([{ status: "ERROR" }]);
});

test("requests in text are answered in order, and begun together", async () => {
  const node = new SmallNode();
  const { engine } = node;
  engine.isPrompt = false;
  const client = node.connect();
  const requests = [
    { op: "put", key: "a", value: "1" },
    { op: "get", key: "b" },
    { op: "get", key: "a" },
  ];
  client.session.receive(JSON.stringify(requests));
  expect(engine.asked).toEqual(["put a", "get b"]);
  await engine.answer();
  await engine.answer();
  const answers = JSON.parse(client.taken()[0] as string);
  expect(answers).toMatchObject([{ status: "OK" }, { status: "MISS" }, { status: "OK", value: "1" }]);
});

test("what is refused in a text message takes no answer from those behind it", async () => {
  const node = new SmallNode();
  const { engine } = node;
  engine.record.put("b", Buffer.from("of b"));
  engine.record.put("c", Buffer.from("of c"));
  engine.isPrompt = false;
  const client = node.connect();
  const requests = [
    { op: "get", key: "a" },
    { op: "put", key: "refused", value: "1", id: "x".repeat(ID_BYTES_MAX) },
    { op: "get", key: "b" },
    { op: "get", key: "c" },
  ];
  client.session.receive(JSON.stringify(requests));
  await engine.answer();
  await engine.answer();
  const answers = JSON.parse(client.taken()[0] as string);
  expect(answers).toMatchObject([
    { status: "MISS" },
    { code: "MALFORMED" },
    { value: "of b" },
    { value: "of c" },
  ]);
  expect(engine.asked).not.toContain("put refused");
});

test("what is left out of a batch for want of room takes no answer from those behind it", async () => {
  const node = new SmallNode();
  const { engine, commands } = node;
  engine.record.put("long", Buffer.alloc(500, "l"));
  engine.record.put("other", Buffer.alloc(500, "o"));
  engine.isPrompt = false;
  const batch = new JsonBatch(
    new JsonCommands(commands, ANYBODY, () => {}),
    { limits: LIMITS, quota: new Quota(1 << 20), messageBytes: 100, answerBytesMax: 600 },
    [
      { op: "get", key: "long" },
      { op: "get", key: "other" },
      { op: "get", key: "other" },
      { op: "put", key: "a", value: "1" },
      { op: "add", key: "n", delta: 1 },
    ],
  );
  while (!batch.step()) await engine.answer();
  expect(JSON.parse(batch.takeText())).toMatchObject([
    { status: "OK" },
    { code: "BUSY" },
    { code: "BUSY" },
    { status: "OK" },
    { status: "OK", number: 1 },
  ]);
  expect(engine.asked.filter((what) => what === "put a").length).toBe(1);
  batch.close();
});

describe("what was begun ahead", () => {
  test("is let go of when it is answered", async () => {
    const node = new SmallNode();
    const client = node.connect();
    const keys = Array.from({ length: 20 }, (_, i) => `key ${i}`);
    for (const key of keys) node.engine.record.put(key, Buffer.from(key));
    expect(await ask(client, ...keys.map(get))).toEqual(keys.map(value));
    expect(node.commands.calls!.open).toBe(0);
  });

  test("is answered before what is read in its turn: a connection does not go back in time", async () => {
    const node = new SmallNode();
    const { engine } = node;
    engine.isPrompt = false;
    engine.record.put("key b", Buffer.from("old"));
    const client = node.connect();
    client.session.receive(
      Buffer.concat([get("a"), get("key b"), request({ op: GET, key: "key b", flags: META })]),
    );
    expect(engine.asked).toEqual(["get a", "get key b"]);
    engine.record.put("key b", Buffer.from("new"));
    node.tell(["key b"]);
    const reader = node.connect();
    reader.session.receive(get("key b"));
    // The reader's answer is first: there is a copy now.
    await engine.answerLast("get key b");
    expect(reader.got()).toEqual([value("new")]);
    await engine.answer();
    const texts = client.got().map((reply) => ("value" in reply ? String(reply.value) : reply.status));
    expect(texts).toEqual(["MISS", "old", "old"]);
  });
});

test("nothing is begun behind a request that concerns many keys", async () => {
  const node = new SmallNode();
  const { engine } = node;
  engine.record.put("a key", Buffer.from("1"));
  engine.isPrompt = false;
  const client = node.connect();
  client.session.receive(Buffer.concat([request({ op: CLEAR, key: "a" }), get("a key")]));
  expect(engine.asked).toEqual(["clear a"]);
  for (let steps = 0; steps < 3; steps++) await engine.answer();
  expect(client.got()).toEqual([{ status: "NUMBER", number: 1n }, MISS]);
  client.session.receive('[{"op":"scan","prefix":"b"},{"op":"put","key":"b","value":"1"}]');
  await engine.answer();
  await engine.answer();
  expect(JSON.parse(client.taken()[0] as string)).toMatchObject([{ keys: [] }, { status: "OK" }]);
});

describe("a late answer", () => {
  test("does not take the place of a later copy", async () => {
    const node = new SmallNode();
    const { engine, firstLevel, copies } = node;
    const key = copies.keyOf("a");
    const guard = firstLevel.guardOf(key);
    engine.record.put("a", Buffer.from("old"));
    const early = await engine.get(Buffer.from("a"));
    engine.record.put("a", Buffer.from("new"));
    const client = node.connect();
    expect(await ask(client, get("a"))).toEqual([value("new")]);
    firstLevel.answered(key, early, guard);
    expect(await ask(client, get("a"))).toEqual([value("new")]);
  });

  test("does not take the place of a later one that came too late to be kept", async () => {
    const node = new SmallNode();
    const { engine, firstLevel, copies } = node;
    const key = copies.keyOf("a");
    engine.isPrompt = false;
    engine.record.put("a", Buffer.from("new"));
    const client = node.connect();
    client.session.receive(get("a"));
    node.tell(["a"]);
    // Another worker has asked after that, on a quicker connection, and was answered with what was there before.
    const guard = firstLevel.guardOf(key);
    const old = { payload: Buffer.from("old"), version: 0, ttlMs: Infinity, type: NO_TYPE, isForeign: false };
    await engine.answer();
    expect(client.got()).toEqual([value("new")]);
    firstLevel.answered(key, old, guard);
    engine.isPrompt = true;
    expect(await ask(client, get("a"))).toEqual([value("new")]);
    expect(await ask(client, get("a"))).toEqual([value("new")]);
    expect(engine.asked).toEqual(["get a", "get a"]);
  });

  test("does not bring back what was answered to be gone", async () => {
    const node = new SmallNode();
    const { engine, firstLevel, copies } = node;
    const key = copies.keyOf("a");
    const guard = firstLevel.guardOf(key);
    engine.record.put("a", Buffer.from("old"));
    const early = await engine.get(Buffer.from("a"));
    engine.record.delete("a");
    const client = node.connect();
    expect(await ask(client, get("a"))).toEqual([MISS]);
    firstLevel.answered(key, early, guard);
    expect(await ask(client, get("a"))).toEqual([MISS]);
  });

  test("is not waited for by who asks when it may be too old", async () => {
    const node = new SmallNode(undefined, { maxAgeMs: 500 });
    const { engine, copies } = node;
    engine.record.put("a", Buffer.from("old"));
    engine.isPrompt = false;
    const [early, late] = [node.connect(), node.connect()];
    early.session.receive(get("a"));
    engine.record.put("a", Buffer.from("new"));
    copies.now += 501;
    late.session.receive(get("a"));
    await engine.answer();
    expect([...early.got(), ...late.got()]).toEqual([value("old"), value("new")]);
  });
});

test("an absence that is watched is not told to have changed because it was read", async () => {
  const node = new SmallNode();
  const client = node.connect();
  client.session.receive(request({ op: GET, key: "none", flags: GET_WATCH }));
  await settled();
  expect(client.got()).toEqual([MISS]);
  node.engine.record.put("none", Buffer.from("1"));
  node.tell(["none"]);
  await settled();
  expect((client.taken() as Buffer[]).filter(isPush).flatMap(pushes)).toMatchObject([{ push: "CHANGED" }]);
});

test("who watches a key is told without a version that it was cleared: those of the copies mean nothing to clients", async () => {
  const node = new SmallNode();
  const [watcher, other] = [node.connect(), node.connect()];
  node.engine.record.put("a key", Buffer.from("1"));
  const read = request({ op: GET, key: "a key", flags: META | GET_WATCH });
  expect(await ask(watcher, read)).toMatchObject([{ status: "META_VALUE" }]);
  expect(await ask(other, request({ op: CLEAR, key: "a" }))).toEqual([{ status: "NUMBER", number: 1n }]);
  await settled();
  const told = (watcher.taken() as Buffer[]).filter(isPush).flatMap(pushes);
  expect(told).toEqual([{ push: "CHANGED", keys: [{ key: "a key", version: 0n }] }]);
});
