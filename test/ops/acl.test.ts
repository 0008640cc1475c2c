/** The rights that ops/README.md gives to a node's user on the cluster: enough for everything, and each of them is needed. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Engine as Origin } from "../../src/origin/engine";
import { slotOf } from "../../src/origin/slots";
import { Outcome } from "../../src/store/shard";
import { type Cluster, startCluster } from "../support/cluster";
import { type Engine, until } from "../support/engine";
import { connectOrigin, reaches } from "../support/origin";
import { startServer, type TestServer } from "../support/server";

const README = readFileSync(new URL("../../ops/README.md", import.meta.url), "utf8");
const [, RULES] = /ACL SETUSER breadbox ([^`]*?)```/.exec(README)!;
const PASSWORD = "secret";
/** As the shell hands them over. */
const ARGUMENTS = RULES!
  .replaceAll("\\\n", " ")
  .trim()
  .split(/\s+/)
  .map((word) => word.replace(/^(["'])(.*)\1$/, "$2").replace("$PASSWORD", PASSWORD));
const RIGHTS = ARGUMENTS.filter((word) => word.startsWith("+"));

const name = (text: string) => Buffer.from(text);
/** Of a slot that is on its way, so the owner answers ASK. */
const MOVING = name("moving");

/** Keys of both masters. */
const SPREAD = ["a", "b", "c", "d", "e", "f", "g", "h"].map(name);

let cluster: Cluster;
let origin: Origin;
/** For its tracking. */
let server: TestServer;

beforeAll(async () => {
  cluster = await startCluster({ masters: 2, replicas: 0 });
  for (const node of cluster.nodes) await node.command("ACL", "SETUSER", "breadbox", ...ARGUMENTS);
  const raw = name(`bb:${MOVING}`);
  const slot = slotOf(raw, 0, raw.length);
  const owner = await cluster.ownerOf(slot);
  await cluster.beginMove(
    slot,
    cluster.nodes.find((node) => node !== owner)!,
  );
  const url = cluster.url.replace("//", `//breadbox:${PASSWORD}@`);
  ({ origin } = await connectOrigin(url));
  server = await startServer({ flags: ["--l1-max-age", "200ms"], env: { BREADBOX_ORIGIN: url } });
  await server.logged("tracks the master");
}, 60_000);

afterAll(async () => {
  await origin.close();
  await server.stop();
  await cluster.stop();
});

beforeEach(() => onAll((node) => node.command("ACL", "LOG", "RESET")));

async function onAll<T>(work: (node: Engine) => Promise<T>): Promise<T[]> {
  return await Promise.all(cluster.nodes.map(work));
}

/** What was refused, by name. */
async function denied(): Promise<string[]> {
  const logs = (await onAll((node) => node.command("ACL", "LOG"))) as string[][][];
  return logs.flat().map((entry) => entry[entry.indexOf("object") + 1]!);
}

/** Every verb, in every case that takes another command. */
const VERBS: Record<string, () => Promise<unknown>> = {
  put: () => origin.put(name("a"), { payload: name("1") }),
  "put for a time": () => origin.put(name("b"), { payload: name("2"), ttlMs: 60_000 }),
  get: () => origin.get(name("a")),
  "get of what others wrote": async () => {
    await cluster.call("SET", "bb:foreign", "3");
    return await origin.get(name("foreign"));
  },
  "get of a slot that moves": () => origin.get(MOVING),
  add: () => origin.add(name("a"), 1n, Infinity),
  append: () => origin.append(name("b"), name("4"), 100),
  touch: () => origin.touch(name("a"), 60_000),
  "touch for ever": () => origin.touch(name("a"), Infinity),
  "touch of nothing": () => origin.touch(name("none"), 60_000),
  getAndTouch: () => origin.getAndTouch(name("b"), 60_000),
  "delete of a version": () => origin.delete(name("a"), 1),
  getAndDelete: () => origin.getAndDelete(name("b")),
  delete: () => origin.delete(name("a")),
  scan: () => origin.scan(name(""), 0n, 10),
  clear: () => origin.clear(name("")).step(),
};

/** All connections of the user are made anew. */
async function reconnect(): Promise<void> {
  await onAll((node) => node.command("CLIENT", "KILL", "USER", "breadbox"));
}

/** One node does not answer until it is asked whether it is there. */
async function hang(): Promise<void> {
  const [node] = cluster.nodes;
  await reaches(origin, "connected");
  const isProbed = () =>
    origin.state().nodes.some((one) => one.name === node!.address && one.circuit === "half-open");
  await node!.freeze();
  try {
    await until("the node is probed", async () => {
      await Promise.allSettled(SPREAD.map((key) => origin.get(key)));
      return isProbed();
    });
  } finally {
    node!.thaw();
  }
}

test("with them, everything works and nothing is refused", async () => {
  const before = server.log().length;
  await reconnect();
  await until("it is tracked again", () => /tracks the master/.test(server.log().slice(before)));
  await reaches(origin, "connected");
  for (const [verb, run] of Object.entries(VERBS))
    expect({ verb, is: await run().then(() => "done", String) }).toEqual({ verb, is: "done" });
  expect(await origin.put(name("a"), { payload: name("1") })).toMatchObject({ outcome: Outcome.DONE });
  expect(await denied()).toEqual([]);
});

test("other keys and other commands are refused", async () => {
  const [node] = cluster.nodes;
  const client = node!.connect();
  await client.command("AUTH", "breadbox", PASSWORD);
  for (const command of [["GET", "other:key"], ["FLUSHALL"], ["CONFIG", "GET", "*"], ["KEYS", "*"]])
    await expect(client.command(...command)).rejects.toThrow("NOPERM");
  client.close();
});

for (const right of RIGHTS)
  test(`${right} is needed`, async () => {
    const object = right.slice(1);
    await onAll((node) => node.command("ACL", "SETUSER", "breadbox", `-${object}`));
    try {
      await until(`${object} is refused`, async () => {
        await reconnect();
        await Promise.allSettled(Object.values(VERBS).map((verb) => verb()));
        if (object === "ping") await hang();
        return (await denied()).includes(object);
      });
    } finally {
      await onAll((node) => node.command("ACL", "SETUSER", "breadbox", right));
      await reaches(origin, "connected");
    }
  });
