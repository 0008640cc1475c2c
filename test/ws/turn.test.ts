/** What one connection may do in a row: bounded by requests, by bytes, by messages; and every reply still comes, in order. */
import { expect, test } from "bun:test";
import { type Reply, replies, request } from "../support/frames";
import { NotedSocket, smallWorker } from "../support/small-session";

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

/** Replies that have come by the end of each turn, until `count` have. */
async function byTurn(socket: NotedSocket, count: number): Promise<number[]> {
  const seen: number[] = [];
  let total = 0;
  for (let at = 0; total < count; await nextTurn()) {
    for (; at < socket.sent.length; at++) total += replies(socket.sent[at] as Buffer).length;
    seen.push(total);
  }
  return seen;
}

function largestStep(totals: number[]): number {
  return Math.max(...totals.map((total, i) => total - (totals[i - 1] ?? 0)));
}

test("a batch of very many requests: a few thousand in a turn", async () => {
  const socket = new NotedSocket();
  const session = smallWorker().open(socket);
  session.receive(Buffer.concat(Array.from({ length: 20_000 }, () => request({ op: 10 }))));
  const totals = await byTurn(socket, 20_000);
  expect(largestStep(totals)).toBeLessThanOrEqual(4096);
});

// Replies are counted when they are sent, a quarter of that at a time.
test("a batch of large values: about a mebibyte in a turn", async () => {
  const socket = new NotedSocket();
  const { open, store } = smallWorker();
  const value = Buffer.alloc(50_000, 7);
  store.put("big", value);
  for (const [op, extra] of [
    [1, {}],
    [2, { value }],
  ] as const) {
    socket.sent.length = 0;
    open(socket).receive(
      Buffer.concat(Array.from({ length: 100 }, () => request({ op, key: "big", ...extra }))),
    );
    expect(largestStep(await byTurn(socket, 100))).toBeLessThanOrEqual((1.25 * 2 ** 20) / 50_000 + 1);
  }
});

test("requests that look through pages of the store: two in a turn", async () => {
  const socket = new NotedSocket();
  const session = smallWorker().open(socket);
  session.receive(
    Buffer.concat(Array.from({ length: 20 }, () => request({ op: 8, key: "none", value: Buffer.alloc(0) }))),
  );
  expect(largestStep(await byTurn(socket, 20))).toBeLessThanOrEqual(2);
});

test("many small messages that came together: a few hundred in a turn", async () => {
  const socket = new NotedSocket();
  const session = smallWorker().open(socket);
  for (let i = 0; i < 5000; i++) session.receive(request({ op: 10 }));
  const totals = await byTurn(socket, 5000);
  expect(largestStep(totals)).toBeLessThanOrEqual(256);
  // Those that had to wait are answered together.
  expect(socket.sent.length).toBeLessThan(400);
});

test("who sends on while it waits for its turn is read from only so far, and again when all is answered", async () => {
  const socket = new NotedSocket();
  const session = smallWorker().open(socket);
  const batch = Buffer.concat(Array.from({ length: 20_000 }, () => request({ op: 10 })));
  session.receive(batch);
  session.receive(Buffer.alloc(0));
  expect(socket.paused).toBe(false);
  for (let i = 0; i < 4; i++) session.receive(batch);
  expect(socket.paused).toBe(true);
  await byTurn(socket, 100_000);
  while (socket.paused) await nextTurn();
});

test("who sends on and does not read is read from only so far", async () => {
  const socket = new NotedSocket(false);
  const session = smallWorker().open(socket);
  const ping = request({ op: 10, value: Buffer.alloc(1000) });
  for (let i = 0; i < 200; i++) session.receive(ping);
  expect(socket.paused).toBe(false);
  for (let i = 0; i < 100; i++) session.receive(ping);
  expect(socket.paused).toBe(true);
  // All that waited is answered once it reads, and it is read from again.
  while (socket.paused) {
    socket.buffered = 0;
    session.drained();
    await nextTurn();
  }
  expect(socket.sent.reduce((sum, message) => sum + message.length, 0)).toBe(300 * 1005);
});

test("a text message of very many requests lets others in between, and is answered whole", async () => {
  const worker = smallWorker();
  const [long, short] = [new NotedSocket(), new NotedSocket()];
  const many = Array.from({ length: 40_000 }, (_, id) => ({ op: "ping", id }));
  worker.open(long).receive(JSON.stringify(many));
  const other = worker.open(short);
  let between = 0;
  for (; long.sent.length === 0; between++) {
    other.receive(request({ op: 10, value: Buffer.from([between & 255]) }));
    await nextTurn();
  }
  expect(between).toBeGreaterThan(2);
  expect(short.sent.length).toBe(between);
  expect(JSON.parse(long.sent[0] as string)).toEqual(many.map(({ id }) => ({ status: "OK", id })));
});

test("a clear in a text message goes on in later turns, in its place", async () => {
  const { open, store } = smallWorker();
  for (let i = 0; i < 20_000; i++) store.put(`key ${i}`, Buffer.alloc(100));
  const socket = new NotedSocket();
  open(socket).receive(
    '[{"op":"get","key":"key 1"},{"op":"clear","prefix":"key"},{"op":"get","key":"key 1"}]',
  );
  while (socket.sent.length === 0) await nextTurn();
  const [before, cleared, after] = JSON.parse(socket.sent[0] as string);
  expect(before.status).toBe("OK");
  expect(cleared).toEqual({ status: "OK", number: 20_000 });
  expect(after.status).toBe("MISS");
});

test("text and binary messages keep their order over many turns", async () => {
  const socket = new NotedSocket();
  const session = smallWorker().open(socket);
  const kinds: string[] = [];
  for (let i = 0; i < 600; i++) {
    session.receive(
      i % 3 === 0 ? `{"op":"ping","id":${i}}` : request({ op: 10, value: Buffer.from(`${i}`) }),
    );
    kinds.push(`${i}`);
  }
  const got = () =>
    socket.sent.flatMap((message) =>
      typeof message === "string"
        ? [String(JSON.parse(message).id)]
        : (replies(message) as Extract<Reply, { status: "VALUE" }>[]).map(({ value }) => value.toString()),
    );
  while (got().length < 600) await nextTurn();
  expect(got()).toEqual(kinds);
});

test("too many requests in an array are refused with the flag's name", () => {
  const socket = new NotedSocket();
  const session = smallWorker().open(socket);
  session.receive(JSON.stringify(Array.from({ length: 60_001 }, () => 0)));
  expect(JSON.parse(socket.sent[0] as string)).toMatchObject({ status: "ERROR", code: "MALFORMED" });
  expect(socket.sent[0]).toContain("60001 requests in one array, at most 60000 are allowed (--max-batch)");
  session.receive(JSON.stringify(Array.from({ length: 60_000 }, () => 0)));
  session.receive('{"op":"ping"}');
});

test("answers of an array together are bounded: values beyond are refused, what fits is answered", async () => {
  const { open, store } = smallWorker();
  store.put("big", Buffer.alloc(100_000, 97));
  const socket = new NotedSocket();
  const requests = Array.from({ length: 30 }, () => ({ op: "get", key: "big" }));
  open(socket).receive(
    JSON.stringify([...requests, { op: "scan" }, { op: "stats" }, { op: "put", key: "k", value: "v" }]),
  );
  while (socket.sent.length === 0) await nextTurn();
  const answers = JSON.parse(socket.sent[0] as string) as { status: string; code?: string }[];
  const refused = answers.filter(({ code }) => code === "BUSY").length;
  expect(refused).toBe(30 - 10);
  expect(answers.at(-1)!.status).toBe("OK");
  expect(store.get("k")!.toString()).toBe("v");
});
