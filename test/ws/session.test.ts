/** Sessions of one worker share the buffer that small messages are read from, and the window of requests under way. */
import { expect, test } from "bun:test";
import { ANYBODY } from "../../src/commands/access";
import { reportTraffic, serviceTimes } from "../../src/commands/traffic";
import { type Reply, replies, request } from "../support/frames";
import { LIMITS, NotedSocket, smallWorker } from "../support/small-session";
import { Random } from "../support/random";
import { lease, leaseOrWait, remove } from "../support/stream-requests";
import { SmallStore } from "../support/small-store";

const [GET, PUT, DELETE, TOUCH, INFO, CLEAR, WATCH] = [1, 2, 3, 4, 7, 9, 0x10];
/** What one message of replies may hold beside its last. */
const REPLIES_BYTES_MAX = 256 * 1024;

/** Connects to one worker; `got` are the replies that were sent so far, and takes them. */
function worker() {
  const parts = smallWorker(
    { ...LIMITS, valueBytesMax: 1 << 20 },
    new SmallStore({ shards: 8, shardBytes: 2 << 20 }),
  );
  return () => {
    const socket = new NotedSocket();
    const session = parts.open(socket);
    const got = () => socket.sent.splice(0).flatMap((data) => replies(data as Buffer));
    return { session, socket, got };
  };
}

const put = (key: string, value: string) => request({ op: PUT, key, value: Buffer.from(value) });
const get = (key: string) => request({ op: GET, key });
const value = (text: string): Reply => ({ status: "VALUE", value: Buffer.from(text) });
const OK: Reply = { status: "OK" };
const bytesOf = (socket: NotedSocket) => socket.sent.reduce((sum, data) => sum + Buffer.byteLength(data), 0);
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

test("a message that takes several turns is not mixed up with those that others send meanwhile", async () => {
  const connect = worker();
  const [one, other] = [connect(), connect()];
  one.session.receive(Buffer.concat([put("a1", "first"), put("b1", "second")]));
  other.session.receive(Buffer.concat([put("a2", "third"), put("b2", "fourth")]));
  expect([...one.got(), ...other.got()]).toEqual([OK, OK, OK, OK]);

  // Clearing takes a step for each shard, and each step a turn.
  const clear = request({ op: CLEAR, key: "nothing-has-this-prefix" });
  one.session.receive(Buffer.concat([get("a1"), clear, get("b1"), get("a1")]));
  const answers = one.got();
  expect(answers).toEqual([value("first")]);
  for (; answers.length < 4; answers.push(...one.got())) {
    other.session.receive(
      Buffer.concat([get("a2"), put("nothing-has-this-prefiX", "x"), get("b2"), get("a2")]),
    );
    expect(other.got()).toEqual([value("third"), OK, value("fourth"), value("third")]);
    await nextTurn();
  }
  expect(answers).toEqual([
    value("first"),
    { status: "NUMBER", number: 0n },
    value("second"),
    value("first"),
  ]);
});

test("two that both stop in the middle of a message go on with their own", async () => {
  const connect = worker();
  const both = [connect(), connect()].map((client, i) => ({
    ...client,
    keys: [`a${i}yz`, `b${i}yz`],
    answers: [] as Reply[],
  }));
  for (const { session, got, keys } of both) {
    session.receive(Buffer.concat(keys.map((key) => put(key, `of ${key}`))));
    expect(got()).toEqual([OK, OK]);
  }
  const clear = request({ op: CLEAR, key: "nothing-has-this-prefix" });
  for (const { session, keys } of both) session.receive(Buffer.concat([clear, ...keys.map(get)]));
  for (const { answers, got, keys } of both) {
    for (; answers.length < 3; answers.push(...got())) await nextTurn();
    expect(answers.slice(1)).toEqual(keys.map((key) => value(`of ${key}`)));
  }
});

test("service time has the turns of others in it, and not the time for which the client does not read", async () => {
  const { traffic, open } = smallWorker({ ...LIMITS, valueBytesMax: 1 << 20 });
  const [writer, socket] = [open(new NotedSocket()), new NotedSocket(false)];
  const long = Buffer.alloc(REPLIES_BYTES_MAX, 0x76);
  writer.receive(request({ op: PUT, key: "long", value: long }));
  const before = serviceTimes(traffic.frames);
  expect(before).toMatchObject({ count: 1, sumSeconds: 0 });

  const session = open(socket);
  // Pings until the next one is timed: its answer waits for its client, then for its turn.
  for (let sent = 0; serviceTimes(traffic.frames).count === 1 && sent < 100; sent++) {
    traffic.ms += 1;
    session.receive(Buffer.concat([get("long"), request({ op: CLEAR, key: "nothing" }), get("none")]));
    expect(session.phase).toBe("blocked");
    traffic.ms += 5000;
    socket.buffered = 0;
    socket.kernelTakes = true;
    session.drained();
    while (session.phase === "waiting") {
      traffic.ms += 2;
      await nextTurn();
    }
    expect(session.phase).toBe("idle");
    socket.kernelTakes = false;
  }
  const { count, sumSeconds } = serviceTimes(traffic.frames);
  expect(count).toBe(2);
  expect(sumSeconds).toBeGreaterThan(0);
  expect(sumSeconds).toBeLessThan(1);
  expect(reportTraffic(traffic.frames).bytesOut).toBeGreaterThan(REPLIES_BYTES_MAX);
});

test("a push that the kernel does not take and the reply behind it are one wait, of a client that is not timed", async () => {
  const { traffic, open } = smallWorker({ ...LIMITS, valueBytesMax: 1 << 20 });
  traffic.ms = 1_000_000;
  const socket = new NotedSocket();
  const session = open(socket);
  const long = "v".repeat(REPLIES_BYTES_MAX);
  session.receive(Buffer.concat([put("long", long), request({ op: WATCH })]));
  const frame = Buffer.concat([put("a", "1"), get("long"), get("none")]);
  const text = JSON.stringify({ op: "put", key: "a", value: "1" });
  for (const [message, cells] of [
    [frame, traffic.frames],
    [text, traffic.texts],
  ] as const) {
    const before = serviceTimes(cells);
    // Until one is timed.
    for (let sent = 0; serviceTimes(cells).count === before.count && sent < 100; sent++) {
      socket.kernelTakes = false;
      session.receive(message);
      expect(session.phase).toBe("blocked");
      expect(socket.sent.splice(0).length).toBeGreaterThanOrEqual(2);
      traffic.ms += 5000;
      socket.buffered = 0;
      socket.kernelTakes = true;
      session.drained();
      while (session.phase === "waiting") await nextTurn();
      expect(session.phase).toBe("idle");
      socket.sent.length = 0;
    }
    const { count, sumSeconds } = serviceTimes(cells);
    expect(count).toBe(before.count + 1);
    expect(sumSeconds).toBe(0);
  }
});

test("bytes of pushes and of answers to tickets are bytes that are sent", () => {
  const { traffic, open } = smallWorker();
  for (const [watching, waiting, cells] of [
    [request({ op: WATCH }), leaseOrWait("k"), traffic.frames],
    ['{"op":"watch"}', '{"op":"lease","key":"k","wait":true}', traffic.texts],
  ] as const) {
    const [socket, other] = [new NotedSocket(), new NotedSocket()];
    const [session, holder] = [open(socket), open(other)];
    holder.receive(lease("k"));
    session.receive(watching);
    session.receive(waiting);
    const before = reportTraffic(cells).bytesOut;
    socket.sent.length = other.sent.length = 0;
    holder.receive('{"op":"put","key":"k","value":"computed"}');
    const answered = cells === traffic.texts ? bytesOf(other) : 0;
    expect(socket.sent).toHaveLength(2);
    expect(reportTraffic(cells).bytesOut - before).toBe(bytesOf(socket) + answered);
    holder.receive(remove("k"));
  }
});

test("nor is one whose client does not read", () => {
  const connect = worker();
  const [one, other] = [connect(), connect()];
  const large = "x".repeat(300_000);
  one.session.receive(Buffer.concat([put("a1", large), put("b1", "second")]));
  other.session.receive(put("b2", "fourth"));
  expect([...one.got(), ...other.got()]).toEqual([OK, OK, OK]);

  one.socket.kernelTakes = false;
  one.session.receive(Buffer.concat([get("a1"), get("b1")]));
  expect(one.got()).toEqual([value(large)]);
  other.session.receive(Buffer.concat([get("b2"), get("b2")]));
  expect(other.got()).toEqual([value("fourth"), value("fourth")]);
  one.socket.kernelTakes = true;
  one.socket.buffered = 0;
  one.session.drained();
  expect(one.got()).toEqual([value("second")]);
});

test("a request whose key lies where a batch's unused one lay is for its own key", async () => {
  const { session, got } = worker()();
  session.receive(put("b1", "first"));
  // The prefix is looked at ahead like a key, at bytes 12 and 13, and is no key that is asked for.
  session.receive(Buffer.concat([get("four"), request({ op: CLEAR, key: "zz" })]));
  for (const answers = got(); answers.length < 3; answers.push(...got())) await nextTurn();
  session.receive(request({ op: TOUCH, key: "b1", ttlMs: 60_000n }));
  expect(got()).toEqual([OK]);
});

test("gets are no longer answered once a message of replies is full, short as their way may be", () => {
  const parts = smallWorker(LIMITS, new SmallStore({ shardBytes: 8 << 20, pageBytes: 64 << 10 }));
  const socket = new NotedSocket();
  const session = parts.open(socket);
  session.receive(put("long", "x".repeat(4000)));
  socket.sent.length = 0;
  socket.kernelTakes = false;
  session.receive(Buffer.concat(Array.from({ length: 200 }, () => get("long"))));
  expect(socket.sent).toHaveLength(1);
  expect(socket.sent[0]!.length).toBeGreaterThanOrEqual(REPLIES_BYTES_MAX);
  expect(socket.sent[0]!.length).toBeLessThan(REPLIES_BYTES_MAX + 4005);
});

test("the replies of random batches are the same on the short way and without it", async () => {
  const random = new Random(5);
  // A prefix, even an empty one, is compared with each key: such a session never takes the short way.
  const sides = [ANYBODY, { ...ANYBODY, prefix: Buffer.alloc(0) }].map((access) => {
    const store = new SmallStore({ shards: 2, shardBytes: 256 << 10, pageBytes: 1024 });
    const socket = new NotedSocket();
    const parts = smallWorker(LIMITS, store);
    return { store, socket, commands: parts.commands, session: parts.open(socket, access) };
  });
  const anyRequest = (): Buffer => {
    const key = `${"k".repeat(random.below(5))}${random.below(150)}`;
    const dice = random.below(100);
    if (dice < 60) return get(key);
    if (dice < 64) return request({ op: GET, key, flags: 0x08 });
    if (dice < 86)
      return request({
        ...{ op: PUT, key, value: random.bytes(random.below(300)) },
        ...(dice < 70 && { ttlMs: BigInt(random.below(50)) }),
      });
    if (dice < 92) return request({ op: DELETE, key });
    if (dice < 95) return request({ op: TOUCH, key, ttlMs: BigInt(random.below(100)) });
    if (dice < 98) return request({ op: INFO, key });
    return request({ op: CLEAR, key: random.below(20) === 0 ? key.slice(0, 1) : "no-such-prefix" });
  };
  let answered = 0;
  for (let round = 0; round < 300; round++) {
    const requests = Array.from({ length: 1 + random.below(200) }, anyRequest);
    const answers: Reply[][] = [];
    for (const { session, socket, store } of sides) {
      store.now = 1_000_000 + round;
      session.receive(Buffer.concat(requests));
      const got: Reply[] = [];
      while (got.length < requests.length) {
        got.push(...socket.sent.splice(0).flatMap((data) => replies(data as Buffer)));
        await nextTurn();
      }
      answers.push(got);
    }
    expect(answers[0]).toEqual(answers[1]!);
    answered += answers[0]!.filter(({ status }) => status === "VALUE").length;
  }
  expect(answered).toBeGreaterThan(3000);
  const [one, other] = sides.map(({ commands }) => ({ ...commands.report(), uptime: 0 }));
  expect(one).toEqual(other!);
  for (const { store } of sides) store.validate();
});
