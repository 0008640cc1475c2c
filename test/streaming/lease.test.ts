/** Leases over real connections, to a server with two workers: who computes, who waits, and how each wait ends. */
import { describe, expect, test } from "bun:test";
import type { PushFrame, Reply } from "../support/frames";
import { SharedServer } from "../support/shared-server";
import {
  clear,
  fill,
  get,
  getWatched,
  lease,
  leaseOrWait,
  ping,
  put,
  release,
  remove,
} from "../support/stream-requests";
import { WireClient } from "../support/wire-client";

const WAIT = 0x20;
const META = 0x08;

const shared = new SharedServer(["--shards", "4"]);
const connections = (count: number) => shared.connections(count);
const fresh = (name?: string) => shared.fresh(name);

async function ask<Status extends Reply["status"]>(
  client: WireClient,
  bytes: Buffer,
  status: Status,
): Promise<Extract<Reply, { status: Status }>> {
  const [reply] = await client.ask(bytes);
  expect(reply!.status).toBe(status);
  return reply as Extract<Reply, { status: Status }>;
}

async function filled(client: WireClient, ticket: number): Promise<Reply> {
  const push: PushFrame = await client.push();
  if (push.push !== "FILLED") throw new Error(`${push.push} came instead of FILLED`);
  expect(push.ticket).toBe(ticket);
  return push.reply;
}

interface Waiting {
  client: WireClient;
  /** What its ticket is answered with. */
  answer: Promise<Reply>;
}

/** The holder's token, and waiters with their tickets. */
async function heldBy(holder: WireClient, waiters: WireClient[], key: string, ttlMs?: bigint) {
  const { token, leftMs } = await ask(holder, lease(key, ttlMs === undefined ? {} : { ttlMs }), "LEASED");
  const waiting: Waiting[] = [];
  for (const client of waiters) {
    const { ticket } = await ask(client, leaseOrWait(key), "PENDING");
    const answer = filled(client, ticket);
    // A waiter may be closed on purpose.
    answer.catch(() => {});
    waiting.push({ client, answer });
  }
  return { token, leftMs, waiting };
}

/** Takes the one that is given the lease from those who wait. */
async function nextLeased(waiting: Waiting[]) {
  const first = await Promise.race(
    waiting.map(async ({ client, answer }, index) => ({ client, index, reply: await answer })),
  );
  waiting.splice(first.index, 1);
  if (first.reply.status !== "LEASED") throw new Error(`${first.reply.status} instead of LEASED`);
  return { client: first.client, token: first.reply.token };
}

describe("a lease", () => {
  test("is given to one; the others wait, and get the value as soon as it is there", async () => {
    const [holder, ...waiters] = await connections(9);
    const key = fresh();
    const { token, leftMs, waiting } = await heldBy(holder!, waiters, key);
    expect(leftMs).toBe(10_000);
    await ask(holder!, fill(key, "computed", token), "NUMBER");
    for (const { answer } of waiting)
      expect(await answer).toMatchObject({
        status: "META_VALUE",
        value: Buffer.from("computed"),
      });
    await ask(holder!, fill(key, "again", token), "REFUSED");
  });

  test("its token is no version: neither of its key nor of what is stored", async () => {
    const [client] = await connections(1);
    const key = fresh();
    const { token } = await ask(client!, lease(key), "LEASED");
    const { number } = await ask(client!, fill(key, "x", token), "NUMBER");
    expect(number).toBeGreaterThan(token);
    await ask(client!, put(key, "y", { version: token }), "REFUSED");
  });

  test("without WAIT nothing follows", async () => {
    const [holder, other] = await connections(2);
    const key = fresh();
    const { token } = await ask(holder!, lease(key), "LEASED");
    expect(await ask(other!, lease(key), "PENDING")).toMatchObject({ ticket: 0 });
    await ask(holder!, fill(key, "x", token), "NUMBER");
    await other!.ask(ping());
    expect(other!.pushed).toEqual([]);
  });

  test("the value is the answer where there is one, as GET has it", async () => {
    const [client] = await connections(1);
    const key = fresh();
    await client!.ask(put(key, "x"));
    expect(await ask(client!, lease(key), "META_VALUE")).toMatchObject({ value: Buffer.from("x") });
    expect(await ask(client!, lease(key, { flags: 0 }), "VALUE")).toMatchObject({ value: Buffer.from("x") });
  });

  test("that refreshes early goes to one caller, the others go on hitting", async () => {
    const [first, second] = await connections(2);
    const key = fresh();
    await first!.ask(put(key, "old", { ttlMs: 50_000n }));
    await ask(first!, lease(key, { earlyMs: 40_000n, flags: 0 }), "VALUE");
    await ask(first!, lease(key, { earlyMs: 40_000n }), "META_VALUE");
    const early = lease(key, { earlyMs: 60_000n });
    const { token, value, ttlMs } = await ask(first!, early, "HIT_LEASED");
    expect(value.toString()).toBe("old");
    expect(ttlMs).toBeLessThanOrEqual(50_000n);
    await ask(second!, early, "META_VALUE");
    await ask(second!, lease(key, { earlyMs: 60_000n, flags: META | WAIT }), "META_VALUE");
    await ask(first!, fill(key, "new", token), "NUMBER");
    expect(await ask(second!, get(key), "META_VALUE")).toMatchObject({ value: Buffer.from("new") });
  });

  test("lasts as long as was asked for, a minute at most; a time of 0 is none", async () => {
    const [client] = await connections(1);
    expect((await ask(client!, lease(fresh(), { ttlMs: 5n }), "LEASED")).leftMs).toBe(5);
    expect((await ask(client!, lease(fresh(), { ttlMs: 90_000n }), "LEASED")).leftMs).toBe(60_000);
    expect(await ask(client!, lease(fresh(), { ttlMs: 0n }), "ERROR")).toMatchObject({ code: 0x84 });
  });
});

describe("ends", () => {
  test("by anybody's put: who waits gets that value, and a later fill is refused", async () => {
    const [holder, waiter, other] = await connections(3);
    const key = fresh();
    const { token, waiting } = await heldBy(holder!, [waiter!], key);
    await other!.ask(put(key, "theirs"));
    expect(await waiting[0]!.answer).toMatchObject({ value: Buffer.from("theirs") });
    await ask(holder!, fill(key, "late", token), "REFUSED");
    expect(await ask(other!, get(key), "META_VALUE")).toMatchObject({ value: Buffer.from("theirs") });
  });

  for (const [name, end] of [
    ["a delete", remove],
    ["a clear of its prefix", (key: string) => clear(key.slice(0, 3))],
  ] as const)
    test(`by ${name}: the fill is refused, and the first who waits gets the lease`, async () => {
      const [holder, other, ...waiters] = await connections(6);
      const key = fresh();
      const { token, waiting } = await heldBy(holder!, waiters, key);
      await other!.ask(put(`${key}beside`, "x"));
      await other!.ask(end(key));
      await ask(holder!, fill(key, "stale", token), "REFUSED");
      const next = await nextLeased(waiting);
      await ask(next.client, fill(key, "fresh", next.token), "NUMBER");
      for (const { answer } of waiting) expect(await answer).toMatchObject({ value: Buffer.from("fresh") });
    });

  test("by a clear of everything", async () => {
    const [holder, other, waiter] = await connections(3);
    const key = fresh();
    const { token, waiting } = await heldBy(holder!, [waiter!], key);
    await other!.ask(clear(""));
    await ask(holder!, fill(key, "stale", token), "REFUSED");
    expect(await waiting[0]!.answer).toMatchObject({ status: "LEASED" });
  });

  test("by RELEASE, and by the end of the holder's connection: one after the other gets it", async () => {
    const [holder, ...waiters] = await connections(5);
    const key = fresh();
    const { token, waiting } = await heldBy(holder!, waiters, key);
    await ask(waiters[0]!, release(key, token + 1n), "MISS");
    await ask(holder!, release(key, token), "OK");
    await ask(holder!, release(key, token), "MISS");
    await ask(holder!, fill(key, "stale", token), "REFUSED");
    while (waiting.length > 1) (await nextLeased(waiting)).client.close();
    const last = await nextLeased(waiting);
    await ask(last.client, fill(key, "x", last.token), "NUMBER");
  });

  test("by its time: a late fill is refused, and who waits gets the lease", async () => {
    const [holder, waiter] = await connections(2);
    const key = fresh();
    const { token, waiting } = await heldBy(holder!, [waiter!], key, 30n);
    const next = await nextLeased(waiting);
    await ask(holder!, fill(key, "late", token), "REFUSED");
    await ask(next.client, fill(key, "x", next.token), "NUMBER");
  });

  test("for a waiter that has gone, nobody is given anything in its place", async () => {
    const [holder, gone, waiter] = await connections(3);
    const key = fresh();
    const { token, waiting } = await heldBy(holder!, [gone!, waiter!], key);
    gone!.close();
    await gone!.closed;
    await ask(holder!, release(key, token), "OK");
    const next = await nextLeased(waiting.slice(1));
    expect(next.client).toBe(waiter!);
    await ask(waiter!, fill(key, "x", next.token), "NUMBER");
  });
});

test("who waits and watches is told of later changes, and a fill that watches too", async () => {
  const [holder, waiter, other] = await connections(3);
  const key = fresh();
  const { token } = await ask(holder!, lease(key), "LEASED");
  const { ticket } = await ask(waiter!, lease(key, { flags: META | WAIT | 0x10 }), "PENDING");
  await ask(holder!, put(key, "x", { flags: 0x80 | 0x40, version: token }), "OK");
  expect(await filled(waiter!, ticket)).toMatchObject({ value: Buffer.from("x") });
  await other!.ask(put(key, "y"));
  for (const client of [holder!, waiter!])
    expect(await client.push()).toMatchObject({ push: "CHANGED", keys: [{ key }] });
});

test("tickets are numbered apart, and many keys are waited for at a time", async () => {
  const [holder, waiter] = await connections(2);
  const keys = Array.from({ length: 200 }, () => fresh());
  const tokens: bigint[] = [];
  for (const key of keys) tokens.push((await ask(holder!, lease(key), "LEASED")).token);
  const replies = await waiter!.ask(...keys.map((key) => leaseOrWait(key)));
  const tickets = replies.map((reply) => (reply.status === "PENDING" ? reply.ticket : 0));
  expect(new Set([0, ...tickets]).size).toBe(keys.length + 1);
  await holder!.ask(...keys.map((key, i) => fill(key, key, tokens[i]!)));
  const values = new Map<number, string>();
  while (values.size < keys.length) {
    const push = await waiter!.push();
    if (push.push === "FILLED" && push.reply.status === "META_VALUE")
      values.set(push.ticket, push.reply.value.toString());
  }
  expect(tickets.map((ticket) => values.get(ticket))).toEqual(keys);
});

test("more leases than a shard, or a connection, may have: MISS, as without leases; room again when they end", async () => {
  const [client, other] = await connections(2);
  const key = fresh("many");
  const ttlMs = 60_000n;
  const first = await client!.ask(...Array.from({ length: 1024 }, (_, i) => lease(`${key}${i}`, { ttlMs })));
  // Four shards of 256, so that a shard or another is full before the connection has all that it may.
  const leased = first.filter(({ status }) => status === "LEASED").length;
  expect(leased).toBeGreaterThan(700);
  expect(first.filter(({ status }) => status === "MISS").length).toBe(1024 - leased);
  client!.close();
  await client!.closed;
  for (let status = ""; status !== "LEASED";)
    for (const reply of await other!.ask(
      ...Array.from({ length: 10 }, (_, i) => lease(`${key}${i}`, { ttlMs: 1n })),
    ))
      status = reply.status;
});

test("a thousand callers over twenty connections ask for one cold key: computed once", async () => {
  const clients = await connections(20);
  const key = fresh("cold");
  let computed = 0;
  const values = await Promise.all(
    clients.map(async (client) => {
      const replies = await client.ask(...Array.from({ length: 50 }, () => leaseOrWait(key)));
      const found: string[] = [];
      for (const reply of replies)
        if (reply.status === "LEASED") {
          computed++;
          client.send(fill(key, "computed", reply.token));
        } else if (reply.status === "META_VALUE") found.push(reply.value.toString());
      const pending = replies.filter(({ status }) => status === "PENDING").length;
      for (let i = 0; i < pending; i++) {
        const push = await client.push();
        if (push.push !== "FILLED" || push.reply.status !== "META_VALUE")
          throw new Error(JSON.stringify(push));
        found.push(push.reply.value.toString());
      }
      return found;
    }),
  );
  expect(computed).toBe(1);
  expect(values.flat()).toEqual(Array.from({ length: 999 }, () => "computed"));
});

test("LEASE alone watches too: what was absent, and what was found", async () => {
  const [watcher, writer] = await connections(2);
  const [absent, present] = [fresh(), fresh()];
  await writer!.ask(put(present, "x"));
  await watcher!.ask(lease(absent, { flags: 0x10 }), lease(present, { flags: 0x10 }));
  await watcher!.ask(getWatched(fresh()));
  await writer!.ask(put(absent, "y"), put(present, "y"));
  await watcher!.ask(ping());
  const told = watcher!.pushed.flatMap((push) =>
    push.push === "CHANGED" ? push.keys.map(({ key }) => key) : [],
  );
  expect(told.sort()).toEqual([absent, present].sort());
});
