/** The cluster that other tests build upon does what its helpers say. */
import { existsSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Cluster, SLOTS, startCluster } from "../support/cluster";
import { startEngine, until } from "../support/engine";
import { ConnectionLost } from "../support/engine-client";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.stop());

/** A key and its slot, the slot being one that a master of the start has. */
async function keyOf(master: number): Promise<{ key: string; slot: number }> {
  const [first, last] = cluster.rangeOf(master);
  for (let i = 0; ; i++) {
    const slot = (await cluster.nodes[0]!.command("CLUSTER", "KEYSLOT", `key${i}`)) as number;
    if (slot >= first && slot <= last) return { key: `key${i}`, slot };
  }
}

test("three masters share all slots, and each has a replica", async () => {
  expect([cluster.rangeOf(0)[0], cluster.rangeOf(2)[1]]).toEqual([0, SLOTS - 1]);
  for (const [index, master] of cluster.nodes.slice(0, 3).entries()) {
    expect(await cluster.ownerOf(cluster.rangeOf(index)[0])).toBe(master);
    expect(await cluster.replicaOf(master)).toBe(cluster.nodes[index + 3]!);
  }
});

test("a call finds the owner of its key", async () => {
  for (let i = 0; i < 20; i++) expect(await cluster.call("SET", `call${i}`, i)).toBe("OK");
  expect(await cluster.call("GET", "call7")).toBe("7");
  expect(await cluster.call("GET", "no such key")).toBe(null);
});

test("a slot moves with its keys while they are written, and one that is assigned leaves them behind", async () => {
  const { key, slot } = await keyOf(0);
  await cluster.call("SET", key, "first");
  let isMoving = true;
  const writes = (async () => {
    let count = 0;
    while (isMoving) await cluster.call("SET", key, ++count);
    return count;
  })();
  await cluster.moveSlot(slot, cluster.nodes[1]!);
  isMoving = false;
  const count = await writes;
  expect(await cluster.ownerOf(slot)).toBe(cluster.nodes[1]!);
  expect(await cluster.nodes[1]!.command("GET", key)).toBe(String(count));
  await cluster.assignSlot(slot, cluster.nodes[0]!);
  expect(await cluster.ownerOf(slot)).toBe(cluster.nodes[0]!);
  expect(await cluster.call("GET", key)).toBe(null);
});

test("a failover there and back", async () => {
  const master = cluster.nodes[2]!;
  const replica = await cluster.replicaOf(master);
  await cluster.failover(replica);
  expect(await cluster.ownerOf(SLOTS - 1)).toBe(replica);
  await cluster.failover(master);
  expect(await cluster.ownerOf(SLOTS - 1)).toBe(master);
});

test("a killed master's replica is promoted; the master comes back as a replica", async () => {
  const master = cluster.nodes[1]!;
  const [slot] = cluster.rangeOf(1);
  const replica = await cluster.replicaOf(master);
  await master.kill();
  await cluster.promoted(replica);
  expect(await cluster.ownerOf(slot)).toBe(replica);
  await master.start();
  await cluster.ready();
  expect(await cluster.replicaOf(replica)).toBe(master);
});

test("a frozen node answers when it goes on", async () => {
  const node = cluster.nodes[0]!;
  await node.freeze();
  const answer = node.command("PING");
  node.thaw();
  expect(await answer).toBe("PONG");
});

test("connections that track are killed, others are not", async () => {
  const node = cluster.nodes[0]!;
  const client = node.connect();
  await client.command("HELLO", "2");
  const other = node.connect();
  await other.command("PING");
  const id = await other.command("CLIENT", "ID");
  await client.command("CLIENT", "TRACKING", "ON", "BCAST", "REDIRECT", id as number);
  expect(await node.killTracking()).toBe(1);
  await expect(client.command("PING")).rejects.toThrow(ConnectionLost);
  expect(await other.command("PING")).toBe("PONG");
  other.close();
});

test("a single server with a password", async () => {
  const engine = await startEngine({ password: "secret" });
  expect(engine.url).toBe(`redis://:secret@127.0.0.1:${engine.port}`);
  expect(await engine.command("SET", "a", Buffer.from([255]))).toBe("OK");
  expect(await engine.bytes("GET", "a")).toEqual(Buffer.from([255]));
  await expect(engine.command("CLUSTER", "SLOTS")).rejects.toThrow("cluster support disabled");
  await engine.kill();
});

test("a server does not outlive the process that started it, however that ends", async () => {
  const program = new URL("./left-behind.ts", import.meta.url).pathname;
  const child = Bun.spawn([process.execPath, program], { stdout: "pipe" });
  const { value } = await child.stdout.getReader().read();
  const pid = Number(new TextDecoder().decode(value));
  expect(existsSync(`/proc/${pid}`)).toBe(true);
  child.kill("SIGKILL");
  await until("the server is gone", () => !existsSync(`/proc/${pid}`));
});
