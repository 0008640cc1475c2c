/** Appending costs what is appended, and what a request copies within the store counts as work: nobody starves the others with it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ANYBODY } from "../../src/commands/access";
import { ANY_VERSION } from "../../src/commands/commands";
import { replies, request } from "../support/frames";
import { Random } from "../support/random";
import { startServer, type TestServer } from "../support/server";
import { LIMITS, NotedSocket, smallWorker } from "../support/small-session";
import { SmallStore } from "../support/small-store";
import { WireClient } from "../support/wire-client";

const [GET, PUT, TOUCH, APPEND] = [1, 2, 4, 6];
const VALUE_BYTES = 1 << 20;
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

describe("on a server", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer({ flags: ["--workers", "1"] });
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
  });

  test("ten thousand appends of one byte to a large value copy it once, not ten thousand times", async () => {
    const written = async () => ((await (await fetch(`${server.http}/stats`)).json()) as any).bytesAdmitted;
    const client = await WireClient.connect(server.ws);
    const value = Buffer.alloc(4 * VALUE_BYTES, "a");
    await client.ask(request({ op: PUT, key: "log", value }));
    const before = await written();
    const appends = Array.from({ length: 10_000 }, (_, i) =>
      request({ op: APPEND, key: "log", value: Buffer.from([i & 255]) }),
    );
    for (const { status } of await client.ask(...appends)) expect(status).toBe("OK");
    expect((await written()) - before).toBeLessThan(2 * value.length);
    const [got] = await client.ask(request({ op: GET, key: "log" }));
    const appended = Buffer.from(Array.from({ length: 10_000 }, (_, i) => i & 255));
    expect(got).toEqual({ status: "VALUE", value: Buffer.concat([value, appended]) });
    client.close();
  });
});

/** How many of these requests are answered in a turn at most. They are too few to end one by their number or their length. */
async function mostInATurn(store: SmallStore, requests: Buffer[]): Promise<number> {
  const socket = new NotedSocket();
  const session = smallWorker({ ...LIMITS, valueBytesMax: 2 * VALUE_BYTES }, store).open(socket);
  session.receive(Buffer.concat(requests));
  let most = 0;
  for (let answered = 0; answered < requests.length; await nextTurn()) {
    const now = socket.sent.splice(0).flatMap((data) => replies(data as Buffer)).length;
    most = Math.max(most, now);
    answered += now;
  }
  return most;
}

describe("what is copied ends a turn", () => {
  const large = () => new SmallStore({ shardBytes: 64 << 20 });

  test("an append that has to move a large value", async () => {
    const store = large();
    for (let i = 0; i < 20; i++) store.put(`log ${i}`, Buffer.alloc(VALUE_BYTES));
    const requests = Array.from({ length: 20 }, (_, i) =>
      request({ op: APPEND, key: `log ${i}`, value: Buffer.from("x") }),
    );
    expect(await mostInATurn(store, requests)).toBe(1);
    expect(await mostInATurn(store, requests)).toBe(20);
  });

  test("a touch that has to move a large value, since it had no expiry", async () => {
    const store = large();
    for (let i = 0; i < 20; i++) store.put(`large ${i}`, Buffer.alloc(VALUE_BYTES));
    const requests = Array.from({ length: 20 }, (_, i) =>
      request({ op: TOUCH, key: `large ${i}`, ttlMs: 60_000n }),
    );
    expect(await mostInATurn(store, requests)).toBe(1);
    expect(await mostInATurn(store, requests)).toBe(20);
  });

  test("adds, puts and deletes that make a shard move others' entries", () => {
    const { commands, store } = smallWorker(LIMITS, new SmallStore({ shardBytes: 1 << 20 }));
    const random = new Random(3);
    const copiedBy: Record<string, number> = { put: 0, add: 0, delete: 0 };
    for (let i = 0; i < 30_000; i++) {
      // Half of the entries are read, so that making room moves them instead of dropping them.
      if (i % 2 === 0) store.get(`k${random.below(1200)}`);
      const name = `k${random.below(1200)}`;
      const key = commands.keyOf(name);
      const verb = i % 2000 > 1700 ? "delete" : random.pick(["put", "put", "add"]);
      const before = store.stats().bytesCopied;
      commands.copiedBytes = 0;
      if (verb === "put") commands.put(ANYBODY, key, commands.writeOf(Buffer.alloc(600 + random.below(600))));
      else if (verb === "delete") commands.delete(ANYBODY, key, ANY_VERSION);
      else if (store.info(name) === null) commands.add(ANYBODY, key, 1n);
      expect(commands.copiedBytes).toBe(store.stats().bytesCopied - before);
      copiedBy[verb]! += commands.copiedBytes;
    }
    for (const [verb, copied] of Object.entries(copiedBy))
      expect({ verb, some: copied > 0 }).toEqual({ verb, some: true });
  });
});
