/**
 * The tracker before a real cluster to which everything happens that can: no copy is served that was outdated for longer than the maximum age,
 * and afterwards all slots are trusted again.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SLOTS, slotOf } from "../../src/origin/slots";
import { connector } from "../../src/origin/socket";
import { Tracker, type TrackerSettings } from "../../src/origin/tracker";
import { createTrustMemory, isTrusted, Trust } from "../../src/origin/trust";
import { clockOf, newEpoch } from "../../src/worker/clock";
import { makeCertificate } from "../support/certificate";
import { type Cluster, startCluster } from "../support/cluster";
import { type Engine, startEngine, until } from "../support/engine";
import { Copies } from "./copies";

const MAX_AGE_MS = 400;
const now = clockOf(newEpoch());
const KEYS = Array.from({ length: 32 }, (_, index) => `bb:key${index}`);
const slotOfKey = (key: string) => slotOf(Buffer.from(key), 0, key.length);

interface Tracked {
  readonly trust: Trust;
  readonly tracker: Tracker;
  readonly lines: string[];
  readonly changed: string[];
  readonly told: { key(key: string): void; all(): void };
  readonly epochs: () => number[];
  /** How many slots are served from memory. */
  readonly held: () => number;
}

function track(
  settings: Partial<TrackerSettings> & Pick<TrackerSettings, "seeds">,
  tls: Bun.TLSOptions | null = null,
): Tracked {
  const trust = new Trust(createTrustMemory(now()), MAX_AGE_MS);
  const lines: string[] = [];
  const changed: string[] = [];
  const told = { key: (_key: string) => {}, all: () => {} };
  const tracker = new Tracker(
    { namespace: "bb:", maxAgeMs: MAX_AGE_MS, ...settings },
    {
      trust,
      sink: {
        changed: (key) => {
          changed.push(Buffer.from(key).toString());
          told.key(changed.at(-1)!);
        },
        changedAll: () => {
          changed.push("all");
          told.all();
        },
        missed: () => {},
      },
      connect: connector(tls),
      timing: {
        now,
        after: (ms, then) => {
          const timer = setTimeout(then, ms);
          return () => clearTimeout(timer);
        },
      },
      random: Math.random,
      tell: (level, text) => lines.push(`${level} ${text}`),
    },
  );
  const epochs = () => Array.from({ length: SLOTS }, (_, slot) => trust.epochOf(slot));
  const held = () => epochs().filter((epoch, slot) => trust.holds(slot, epoch, now())).length;
  return { trust, tracker, lines, changed, told, epochs, held };
}

const allHeld = ({ held }: Tracked) => until("all slots are served from memory", () => held() === SLOTS);

describe("a cluster", () => {
  let cluster: Cluster;
  let tracked: Tracked;
  let copies: Copies;

  beforeAll(async () => {
    cluster = await startCluster();
    tracked = track({ seeds: ["127.0.0.1:1", cluster.nodes[4]!.address] });
    copies = new Copies(cluster, tracked.trust, now, KEYS);
    Object.assign(tracked.told, { key: (key: string) => copies.drop(key), all: () => copies.dropAll() });
    await allHeld(tracked);
  });

  afterAll(async () => {
    tracked.tracker.stop();
    await cluster.stop();
  });

  const [first, second] = [0, 1];
  const rangeOf = (master: number) => cluster.rangeOf(master);
  const heldOf = (master: number) =>
    tracked.trust.holds(rangeOf(master)[0], tracked.trust.epochOf(rangeOf(master)[0]), now());
  const toldOf = (key: string) => until(`${key} is told`, () => tracked.changed.includes(key));

  test("is found by a seed that is a replica, behind one that does not answer", () => {
    tracked.tracker.invariants();
    expect(tracked.tracker.addresses.sort()).toEqual(
      cluster.nodes
        .slice(0, 3)
        .map(({ address }) => address)
        .sort(),
    );
  });

  test("tells of what is set, deleted, expired and flushed, and of no key of others", async () => {
    for (const key of ["bb:set", "bb:deleted", "bb:expired", "cc:other"]) await cluster.call("SET", key, 1);
    for (const key of ["bb:set", "bb:deleted", "bb:expired"]) await toldOf(key);
    tracked.changed.length = 0;
    await cluster.call("DEL", "bb:deleted");
    await cluster.call("PEXPIRE", "bb:expired", 1);
    await toldOf("bb:deleted");
    await until("bb:expired has expired", async () => (await cluster.call("EXISTS", "bb:expired")) === 0);
    await toldOf("bb:expired");
    await cluster.nodes[first]!.command("FLUSHALL");
    await toldOf("all");
    expect(tracked.changed.filter((key) => key === "cc:other" || key === "bb:set")).toEqual([]);
  });

  test("CLIENT KILL voids the slots of that master alone, which are trusted again", async () => {
    const before = tracked.epochs();
    expect(await cluster.nodes[first]!.killTracking()).toBe(1);
    await until("the loss is seen", () => tracked.epochs()[0] !== before[0]);
    await allHeld(tracked);
    const after = tracked.epochs();
    const [, end] = rangeOf(first);
    expect(after.slice(0, end + 1).every((epoch, slot) => epoch === before[slot]! + 2)).toBe(true);
    expect(after.slice(end + 1)).toEqual(before.slice(end + 1));
  });

  test("a slot on its way is not served, and is again where it has come to", async () => {
    const [, slot] = rangeOf(first);
    await cluster.beginMove(slot, cluster.nodes[second]!);
    await until("it is not trusted", () => !isTrusted(tracked.trust.epochOf(slot)));
    await cluster.moveSlot(slot, cluster.nodes[second]!);
    await until(
      "its new owner is known",
      () => tracked.trust.ownerOf(slot) === tracked.trust.ownerOf(slot + 1),
    );
    await allHeld(tracked);
    await cluster.moveSlot(slot, cluster.nodes[first]!);
    await until(
      "its old owner is known",
      () => tracked.trust.ownerOf(slot) === tracked.trust.ownerOf(slot - 1),
    );
    await allHeld(tracked);
    tracked.tracker.invariants();
  });

  test("while this thread stands still nothing is proven", async () => {
    await allHeld(tracked);
    Bun.sleepSync(MAX_AGE_MS + 50);
    expect(tracked.held()).toBe(0);
    await allHeld(tracked);
  });

  /** Runs it under load; afterwards the cluster serves, everything is trusted, and copies are served again. */
  async function attack(act: () => Promise<void>): Promise<void> {
    copies = new Copies(cluster, tracked.trust, now, KEYS);
    copies.start();
    const isServing = () => {
      const before = copies.served;
      return until("copies of all masters are served", () => copies.served > before + 10 * KEYS.length);
    };
    await isServing();
    await act();
    const over = now();
    await until("a copy that was missed is too old", () => now() > over + 2 * MAX_AGE_MS);
    await cluster.ready();
    await allHeld(tracked);
    await isServing();
    await copies.stop();
    tracked.tracker.invariants();
    tracked.trust.invariants();
    expect(copies.faults).toEqual([]);
    expect(copies.writes).toBeGreaterThan(KEYS.length);
    expect(copies.fills).toBeGreaterThan(KEYS.length);
  }

  test("under load: CLIENT KILL, again and again", () =>
    attack(async () => {
      for (let round = 0; round < 5; round++) {
        await Promise.all(cluster.nodes.slice(0, 3).map((node) => node.killTracking()));
        await allHeld(tracked);
      }
    }));

  test("under load: FLUSHALL", () => attack(() => copies.change(null, () => cluster.flushAll())));

  test("under load: slots move there and back", () =>
    attack(async () => {
      for (const key of KEYS.slice(0, 6)) {
        const slot = slotOfKey(key);
        const from = await cluster.ownerOf(slot);
        const to = from === cluster.nodes[0] ? cluster.nodes[1]! : cluster.nodes[0]!;
        await cluster.moveSlot(slot, to);
        await cluster.moveSlot(slot, from);
      }
    }));

  test("under load: slots are given away with their keys left behind, and back", () =>
    attack(async () => {
      for (const key of KEYS.slice(0, 6)) {
        const slot = slotOfKey(key);
        const from = await cluster.ownerOf(slot);
        const to = from === cluster.nodes[0] ? cluster.nodes[1]! : cluster.nodes[0]!;
        await copies.change(slot, () => cluster.assignSlot(slot, to));
        await copies.change(slot, () => cluster.assignSlot(slot, from));
      }
    }));

  test("under load: a failover there and back", () =>
    attack(async () => {
      const master = cluster.nodes[first]!;
      await cluster.failover(await cluster.replicaOf(master));
      await allHeld(tracked);
      await cluster.failover(master);
    }));

  test("under load: a master is stopped until it is late, and goes on", () =>
    attack(async () => {
      const node = cluster.nodes[second]!;
      await node.freeze();
      await until("its slots are not served", () => !heldOf(second));
      expect(heldOf(first)).toBe(true);
      node.thaw();
    }));

  test("under load: a master is killed, its replica takes over, and it comes back", () =>
    attack(async () => {
      const master = cluster.nodes[second]!;
      const replica = await cluster.replicaOf(master);
      const lines = tracked.lines.length;
      await master.kill();
      await cluster.promoted(replica);
      await allHeld(tracked);
      await master.start();
      expect(tracked.lines.slice(lines).filter((line) => line.includes("lost"))).toEqual([
        `warn origin: lost the master ${master.address}: the connection was closed; its 5461 slots are not served from memory until it is back`,
      ]);
    }));

  test("the whole cluster is gone, and comes back", async () => {
    await cluster.stop();
    await until("nothing is trusted", () => !tracked.epochs().some(isTrusted));
    await Promise.all(cluster.nodes.map((node) => node.start()));
    await cluster.ready();
    await allHeld(tracked);
    expect(tracked.tracker.counts.connections).toBe(3);
  }, 60_000);
});

describe("a single server", () => {
  async function serves(
    engine: Engine,
    settings: Partial<TrackerSettings>,
    tls: Bun.TLSOptions | null = null,
  ) {
    const tracked = track({ seeds: [engine.address], ...settings }, tls);
    await allHeld(tracked);
    await engine.command("SET", "bb:a", 1);
    await until("the change is told", () => tracked.changed.includes("bb:a"));
    tracked.tracker.stop();
    expect(tracked.held()).toBe(0);
    await engine.kill();
  }

  test("owns all slots", async () => serves(await startEngine(), {}));

  test("with a password", async () =>
    serves(await startEngine({ password: "secret" }), { password: "secret" }));

  test("of a user who may use the namespace only", async () => {
    const engine = await startEngine();
    const rights = ["~bb:*", "+exists", "+hello", "+client"];
    await engine.command("ACL", "SETUSER", "breadbox", "on", ">secret", ...rights);
    await serves(engine, { user: "breadbox", password: "secret" });
  });

  test("with TLS, whose certificate is verified", async () => {
    const tls = await makeCertificate("origin");
    const engine = await startEngine({ tls });
    const wrong = track({ seeds: [engine.address] }, {});
    await until("it is refused", () => wrong.lines.length > 0);
    expect(wrong.lines[0]).toContain("self signed certificate");
    wrong.tracker.stop();
    await serves(engine, {}, { ca: tls.cert });
  });

  test("with a wrong password is told, once", async () => {
    const engine = await startEngine({ password: "secret" });
    const tracked = track({ seeds: [engine.address], password: "wrong" });
    await until("it is told", () => tracked.lines.length > 0);
    expect(tracked.lines).toEqual([
      expect.stringContaining(`origin: none of its addresses answers; ${engine.address}: HELLO: WRONGPASS`),
    ]);
    tracked.tracker.stop();
    await engine.kill();
  });

  test("over a relay that stands still: nothing is served until it goes on", async () => {
    const engine = await startEngine();
    const relay = await startRelay(engine);
    const tracked = track({ seeds: [`127.0.0.1:${relay.port}`] });
    await allHeld(tracked);
    relay.stall();
    await engine.command("SET", "bb:a", 1);
    await until("nothing is served", () => tracked.held() === 0);
    await until("the connection was ended", () => tracked.tracker.counts.beatsLate > 0);
    expect(tracked.epochs().some(isTrusted)).toBe(false);
    relay.goOn();
    await allHeld(tracked);
    tracked.tracker.stop();
    relay.stop();
    await engine.kill();
  });
});

/** Hands bytes on in both directions, except from the server while it is stalled: those are lost with their connections. */
async function startRelay(engine: Engine) {
  let isStalled = false;
  const listener = Bun.listen<{ server: Promise<Bun.Socket> }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(client) {
        const server = Bun.connect({
          hostname: "127.0.0.1",
          port: engine.port,
          socket: {
            data: (_server, bytes) => void (isStalled || client.write(bytes)),
            close: () => void client.end(),
          },
        });
        client.data = { server };
      },
      data: async ({ data }, bytes) => void (await data.server).write(bytes),
      close: async ({ data }) => void (await data.server).end(),
    },
  });
  return {
    port: listener.port,
    stall: () => void (isStalled = true),
    goOn: () => void (isStalled = false),
    stop: () => listener.stop(true),
  };
}
