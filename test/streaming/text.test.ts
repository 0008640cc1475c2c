/** Watches and leases as JSON text, and both forms on one connection. */
import { describe, expect, test } from "bun:test";
import { isPush, pushes } from "../support/frames";
import { SharedServer } from "../support/shared-server";
import { getWatched, ping } from "../support/stream-requests";
import { WireClient } from "../support/wire-client";

const shared = new SharedServer(["--shards", "1"]);
const connections = (count: number) => shared.connections(count);
const fresh = (name?: string) => shared.fresh(name);

/** The next text message, which is a push. */
async function pushed(client: WireClient): Promise<unknown> {
  const message = await client.message();
  if (typeof message !== "string") throw new Error("a frame came instead of text");
  return JSON.parse(message);
}

describe("as text", () => {
  test("a watched read, what is current, and what has changed", async () => {
    const [watcher, writer] = await connections(2);
    const key = fresh();
    const { version } = await writer!.askJson({ op: "put", key, value: "one" });
    expect(await watcher!.askJson({ op: "get", key, watch: true })).toEqual({
      status: "OK",
      key,
      value: "one",
      version,
    });
    expect(await watcher!.askJson({ op: "get", key, version })).toEqual({ status: "CURRENT" });
    const next = await writer!.askJson({ op: "put", key, value: "two", watch: true });
    expect(await pushed(watcher!)).toEqual({ push: "changed", keys: [{ key, version: next.version }] });
    await watcher!.askJson({ op: "delete", key });
    expect(await pushed(writer!)).toMatchObject({ push: "changed", keys: [{ key }] });
  });

  test("a watch of a prefix, of others' writes alone, and its end", async () => {
    const [watcher, writer] = await connections(2);
    const prefix = fresh();
    expect(await watcher!.askJson({ op: "watch", prefix, noloop: true })).toEqual({ status: "OK" });
    await watcher!.askJson({ op: "put", key: `${prefix}mine`, value: "x" });
    const { version } = await writer!.askJson({ op: "put", key: `${prefix}theirs`, value: "x" });
    expect(await pushed(watcher!)).toEqual({ push: "changed", keys: [{ key: `${prefix}theirs`, version }] });
    await writer!.askJson({ op: "clear", prefix });
    expect(await pushed(watcher!)).toEqual({ push: "reset", prefix });
    expect(await watcher!.askJson({ op: "unwatch", prefix })).toEqual({ status: "OK" });
    await writer!.askJson({ op: "put", key: `${prefix}theirs`, value: "x" });
    expect(await watcher!.askJson({ op: "ping" })).toEqual({ status: "OK" });
  });

  test("a key that is no UTF-8 comes as base64", async () => {
    const [watcher, writer] = await connections(2);
    const key = Buffer.from([0xff, 0x00, 0xfe]);
    await watcher!.askJson({ op: "watch", prefix: "" });
    await writer!.ask(Buffer.concat([Buffer.from([2, 1, 3, 0, 1, 0, 0, 0]), key, Buffer.from("x")]));
    expect(await pushed(watcher!)).toMatchObject({
      push: "changed",
      keys: [{ key: key.toString("base64"), encoding: "base64" }],
    });
  });

  test("leases: the holder, who waits, the fill, and the end without one", async () => {
    const [holder, waiter] = await connections(2);
    const key = fresh();
    const leased = await holder!.askJson({ op: "lease", key, ttl: 5000 });
    expect(leased).toEqual({ status: "LEASED", token: leased.token, left: 5000 });
    const pending = await waiter!.askJson({ op: "lease", key, wait: true });
    expect(pending).toMatchObject({ status: "PENDING", ticket: 1 });
    expect(pending.left).toBeLessThanOrEqual(5000);
    const { version } = await holder!.askJson({ op: "put", key, value: "computed", lease: leased.token });
    expect(await pushed(waiter!)).toEqual({
      push: "filled",
      ticket: 1,
      reply: { status: "OK", key, value: "computed", version },
    });
    expect(await holder!.askJson({ op: "put", key, value: "late", lease: leased.token })).toEqual({
      status: "REFUSED",
      key,
    });
    await holder!.askJson({ op: "delete", key });
    const again = await holder!.askJson({ op: "lease", key });
    await waiter!.askJson({ op: "lease", key, wait: true });
    expect(await holder!.askJson({ op: "release", key, token: again.token })).toEqual({ status: "OK" });
    expect(await holder!.askJson({ op: "release", key, token: again.token })).toEqual({
      status: "MISS",
      key,
    });
    expect(await pushed(waiter!)).toMatchObject({ push: "filled", ticket: 2, reply: { status: "LEASED" } });
  });

  test("a refresh that comes early", async () => {
    const [client] = await connections(1);
    const key = fresh();
    await client!.askJson({ op: "put", key, value: "x", ttl: 1000 });
    expect(await client!.askJson({ op: "lease", key, early: 5000 })).toMatchObject({
      status: "HIT_LEASED",
      key,
      value: "x",
      left: 10_000,
    });
    expect(await client!.askJson({ op: "lease", key, early: 5000 })).toMatchObject({ status: "OK" });
  });

  test("what is wrong is named", async () => {
    const [client] = await connections(1);
    for (const [request, field] of [
      [{ op: "get", key: "k", watch: 1 }, "watch"],
      [{ op: "watch" }, ""],
      [{ op: "watch", prefix: "a", key: "a" }, "prefix"],
      [{ op: "unwatch", keys: "yes" }, "keys"],
      [{ op: "lease", key: "" }, "key"],
      [{ op: "lease", key: "k", ttl: 0 }, "ttl"],
      [{ op: "release", key: "k" }, "token"],
      [{ op: "put", key: "k", value: "v", lease: 5, ifVersion: 5 }, "lease"],
    ] as const) {
      const answer = await client!.askJson(request);
      if (field === "") expect(answer).toEqual({ status: "OK" });
      else expect(answer).toMatchObject({ status: "ERROR", message: expect.stringContaining(field) });
    }
  });
});

test("over POST /batch there is nobody to tell: watches and waits are refused, a lease without them is given", async () => {
  const key = fresh();
  const ask = async (requests: unknown[]) => {
    const body = JSON.stringify(requests);
    return (await (await fetch(`${shared.http}/batch`, { method: "POST", body })).json()) as any[];
  };
  const answers = await ask([
    { op: "get", key, watch: true },
    { op: "watch", prefix: key },
    { op: "unwatch", prefix: key },
    { op: "lease", key, wait: true },
    { op: "put", key, value: "x", watch: true },
    { op: "get", key },
  ]);
  for (const answer of answers.slice(0, -1))
    expect(answer).toMatchObject({
      status: "ERROR",
      code: "MALFORMED",
      message: expect.stringContaining("/events"),
    });
  expect(answers.at(-1)).toEqual({ status: "MISS", key });
  const [leased] = await ask([{ op: "lease", key }]);
  expect(leased.status).toBe("LEASED");
  const [stored] = await ask([{ op: "put", key, value: "x", lease: leased.token }]);
  expect(stored.status).toBe("OK");
});

test("a connection is told in the form in which it watched last", async () => {
  const [watcher, writer] = await connections(2);
  const key = fresh();
  await watcher!.askJson({ op: "get", key, watch: true });
  await watcher!.ask(getWatched(key));
  await writer!.askJson({ op: "put", key, value: "x" });
  const frame = (await watcher!.message()) as Buffer;
  expect([isPush(frame), pushes(frame)]).toMatchObject([true, [{ push: "CHANGED", keys: [{ key }] }]]);
  await watcher!.ask(getWatched(key));
  await watcher!.askJson({ op: "get", key, watch: true });
  await writer!.askJson({ op: "put", key, value: "y" });
  expect(await pushed(watcher!)).toMatchObject({ push: "changed", keys: [{ key }] });
  await watcher!.ask(ping());
});
