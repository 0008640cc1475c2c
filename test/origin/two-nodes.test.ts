/** Two servers before one cluster: what one changes the other's clients are told, whichever way they listen; and what each server computes itself. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { type Cache, connect } from "../../src/client/client";
import { type Cluster, startCluster } from "../support/cluster";
import { until } from "../support/engine";
import { request } from "../support/frames";
import { startServer, type TestServer } from "../support/server";
import { clear, get, getWatched, leaseOrWait, put, remove, touch, watch } from "../support/stream-requests";
import { WireClient } from "../support/wire-client";

let cluster: Cluster;
let nodes: [TestServer, TestServer];
let fresh = 0;
const open: (() => unknown)[] = [];

beforeAll(async () => {
  cluster = await startCluster({ replicas: 0 });
  const flags = ["--origin", cluster.url, "--origin-timeout", "5s"];
  nodes = await Promise.all([startServer({ flags }), startServer({ flags })]);
  for (const server of nodes) await server.loggedTimes("origin: tracks the master", 3);
});
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});
afterAll(async () => {
  expect(await Promise.all(nodes.map((server) => server.stop()))).toEqual([0, 0]);
  await cluster.stop();
});

async function wires(): Promise<[WireClient, WireClient]> {
  const pair = [await WireClient.connect(nodes[0].ws), await WireClient.connect(nodes[1].ws)] as const;
  open.push(...pair.map((wire) => () => wire.close()));
  return [...pair];
}

async function client(node: 0 | 1, options = {}): Promise<Cache> {
  const cache = await connect(nodes[node].ws, options);
  open.push(() => cache.close());
  return cache;
}

/** Every way to change a key, each of which changes it. */
const CHANGES = (key: string): Buffer[] => [
  put(key, "1"),
  request({ op: 5, key, value: Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]) }),
  request({ op: 6, key, value: Buffer.from("0") }),
  touch(key, 60_000n),
  put(key, "2", { flags: 0x10 }),
  remove(key),
  put(key, "3"),
  clear(key),
];

test("who watches a prefix is told of every change by the other server", async () => {
  const [writer, watcher] = await wires();
  const prefix = `watched ${fresh++} {`;
  const key = `${prefix}key`;
  await watcher.ask(watch(prefix));
  for (const change of CHANGES(key)) {
    const [reply] = await writer.ask(change);
    expect(reply!.status).not.toBe("ERROR");
    expect(await keysOfPush(watcher)).toEqual([`${key} 0`]);
    await untilQuiet(watcher, key);
  }
});

test("who has read a key with a watch is told of its next change, once, and reads what is new", async () => {
  const [writer, watcher] = await wires();
  const key = `read ${fresh++}`;
  await writer.ask(put(key, "0"));
  for (const change of CHANGES(key)) {
    await watcher.ask(getWatched(key));
    await writer.ask(change);
    expect(await keysOfPush(watcher)).toEqual([`${key} 0`]);
    const [[here], [there]] = [await writer.ask(get(key)), await watcher.ask(get(key))];
    if (here!.status === "META_VALUE" && there!.status === "META_VALUE")
      expect([there!.version, there!.value]).toEqual([here!.version, here!.value]);
    else expect(there).toEqual(here!);
  }
});

test("events and the client's own watches tell what the other server changes", async () => {
  const [writer] = await wires();
  const prefix = `events ${fresh++}:`;
  const abort = new AbortController();
  open.push(() => abort.abort());
  const response = await fetch(`${nodes[1].http}/events?prefix=${encodeURIComponent(prefix)}`, {
    signal: abort.signal,
  });
  const cache = await client(1);
  const changes = cache.watch(prefix)[Symbol.asyncIterator]();
  const next = changes.next();
  await cache.ping();
  await writer.ask(put(`${prefix}key`, "1"));
  expect((await next).value).toMatchObject({ key: `${prefix}key` });
  let text = "";
  for await (const bytes of response.body!) {
    text += Buffer.from(bytes).toString();
    if (text.includes(`${prefix}key`)) break;
  }
  expect(text).toContain("event: change");
});

test("a lease ends when the other server stores the key, and who waits has that value", async () => {
  const [writer, waiting] = await wires();
  const holder = await WireClient.connect(nodes[1].ws);
  open.push(() => holder.close());
  const key = `leased ${fresh++}`;
  expect(await holder.ask(leaseOrWait(key))).toMatchObject([{ status: "LEASED" }]);
  expect(await waiting.ask(leaseOrWait(key))).toMatchObject([{ status: "PENDING" }]);
  await writer.ask(put(key, "theirs"));
  const push = await waiting.push();
  expect(push).toMatchObject({ push: "FILLED", reply: { value: Buffer.from("theirs") } });
});

test("a value is computed at most once on each server, and all get one that was stored", async () => {
  const clients = [await client(0), await client(0), await client(1), await client(1)];
  const key = `computed ${fresh++}`;
  const computed = new Map<number, number>();
  const values = await Promise.all(
    Array.from({ length: 40 }, (_, at) => {
      const node = at % 4 < 2 ? 0 : 1;
      return clients[at % 4]!.getOrCompute(`${key} ${at >> 3}`, () => {
        const name = (at >> 3) * 2 + node;
        computed.set(name, (computed.get(name) ?? 0) + 1);
        return Promise.resolve(`by ${node}`);
      });
    }),
  );
  expect([...computed.values()].every((times) => times === 1)).toBe(true);
  expect(values.every((value) => value === "by 0" || value === "by 1")).toBe(true);
  // The other server may have stored its own a moment ago, which this one is told soon.
  for (let group = 0; group < 5; group++)
    await until("both servers have the same value", async () => {
      const [here, there] = await Promise.all([0, 2].map((at) => clients[at]!.get(`${key} ${group}`)));
      return here === there;
    });
});

test("a near cache drops what the other server changes", async () => {
  const near = await client(1, { near: { maxAgeMs: 60_000 } });
  const [writer] = await wires();
  const key = `near ${fresh++}`;
  await writer.ask(put(key, "old"));
  while ((await near.get(key)) !== "old");
  await writer.ask(put(key, "new"));
  // No copy would be asked for anew within the test: it is the push that ends it.
  while ((await near.get(key)) !== "new") await near.ping();
});

/** The keys of one message of changes, with their versions, each once. */
async function keysOfPush(watcher: WireClient): Promise<string[]> {
  const push = await watcher.push();
  if (push.push !== "CHANGED") throw new Error(`a push of another kind: ${push.push}`);
  const told = push.keys.map(({ key, version }) => `${key} ${version}`);
  return [...new Set(told)].filter((text) => !text.includes("marker"));
}

/** A change may be told in more than one message (a write of a script touches the key more than once). */
async function untilQuiet(watcher: WireClient, key: string): Promise<void> {
  const marker = `${key} marker`;
  const [other] = await wires();
  await other.ask(put(marker, "1"));
  for (;;) {
    const push = await watcher.push();
    if (push.push === "CHANGED" && push.keys.some((each) => each.key === marker)) return;
  }
}
