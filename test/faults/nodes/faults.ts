/** What can happen to a cluster and to the servers before it, one thing after the other. */
import type { FaultOrder } from "../fault-order";
import { until } from "../../support/engine";
import { freeze, thaw } from "../../support/process";
import { FrameClient } from "./actors";
import { partOf } from "./values";
import { L1_MAX_AGE_MS, type Report, type World } from "./world";

export interface Fault {
  readonly name: string;
  run(world: World): Promise<void>;
}

const CONNECTIONS_WAITING = 8;
const MOVES = 4;

/** By agreement, so far. */
let failovers = 0;

export const FAULTS: readonly Fault[] = [
  { name: "nothing", run: (world) => world.progress() },
  {
    name: "slots move",
    run: async (world) => {
      const { cluster } = world;
      world.isMoving = true;
      for (const key of world.keys.slice(0, MOVES)) {
        const slot = await world.slotOf(key);
        const from = await cluster.ownerOf(slot);
        const masters = await mastersOf(world);
        await cluster.moveSlot(
          slot,
          masters.find((master) => master !== from)!,
        );
        await world.progress();
        await cluster.moveSlot(slot, from);
      }
      world.isMoving = false;
    },
  },
  {
    name: "a slot is assigned elsewhere, and its keys are left behind",
    run: async (world) => {
      const { cluster } = world;
      const slot = await world.slotOf(world.keys[0]!);
      const slots = await Promise.all(world.keys.map((key) => world.slotOf(key)));
      const keys = world.keys.filter((_, at) => slots[at] === slot);
      const from = await cluster.ownerOf(slot);
      const to = (await mastersOf(world)).find((master) => master !== from)!;
      await world.changing(keys, null, () => cluster.assignSlot(slot, to));
      await world.progress();
      await world.changing(keys, null, () => cluster.assignSlot(slot, from));
    },
  },
  {
    name: "connections are cut: those over which changes are told, then all",
    run: async (world) => {
      for (const master of await mastersOf(world)) await master.killTracking();
      await world.progress();
      for (const master of await mastersOf(world)) await master.command("CLIENT", "KILL", "TYPE", "normal");
    },
  },
  {
    name: "FLUSHALL and SCRIPT FLUSH",
    run: async (world) => {
      await world.changing(world.keys, null, () => world.cluster.flushAll());
      await world.cluster.flushScripts();
    },
  },
  {
    name: "values that others write in their own form",
    run: async (world) => {
      for (const key of world.keys.slice(0, 10)) {
        const value = `w${world.writeId}`;
        const bytes = partOf(Number(value.slice(1)));
        await world.changing([key], value, () => world.cluster.call("SET", world.originKey(key), bytes));
      }
    },
  },
  {
    name: "a replica takes over by agreement, and its master again",
    run: async (world) => {
      const { cluster } = world;
      // Another one each time: Redis counts votes of the last one within twice the node timeout.
      const masters = await mastersOf(world);
      const master = masters[failovers++ % masters.length]!;
      await cluster.failover(await cluster.replicaOf(master));
      await world.progress();
      await until("the old master follows", async () =>
        String(await master.command("ROLE")).startsWith("slave"),
      );
      await cluster.ready();
      await cluster.failover(master);
    },
  },
  {
    name: "a master is killed",
    run: async (world) => {
      const { cluster } = world;
      const master = await cluster.ownerOf(0);
      const replica = await cluster.replicaOf(master);
      await master.kill();
      const readBack = await world.retire();
      await cluster.promoted(replica);
      await readBack();
      await world.progress();
      await master.start();
      await cluster.ready();
    },
  },
  {
    name: "a master hangs, and comes back when its replica has taken over",
    run: async (world) => {
      const { cluster } = world;
      const master = await cluster.ownerOf(0);
      const replica = await cluster.replicaOf(master);
      await master.freeze();
      const readBack = await world.retire();
      await until("the replica is promoted", async () =>
        String(await replica.command("ROLE")).startsWith("master"),
      );
      await readBack();
      master.thaw();
      await cluster.ready();
    },
  },
  {
    name: "a server hangs, and is asked while it does",
    run: async (world) => {
      const [node, other] = world.nodes as [World["nodes"][0], World["nodes"][0]];
      const waiting = await Promise.all(
        Array.from({ length: CONNECTIONS_WAITING }, (_, at) =>
          FrameClient.connect(node.server.ws, world.notes(`waiting ${at}`, node)),
        ),
      );
      const writer = await FrameClient.connect(other.server.ws, world.notes("writer", other));
      // Some of what is asked for is on its way when the server stops.
      const before = waiting
        .slice(0, 4)
        .map((client) => client.do(world.keys.map((key) => ({ verb: "get", key }))));
      await freeze(node.server.process.pid);
      try {
        await writer.do(world.keys.map((key) => ({ verb: "put", key, id: world.writeId })));
        await Bun.sleep(2 * L1_MAX_AGE_MS);
        const asked = waiting
          .slice(4)
          .map((client) => client.do(world.keys.map((key) => ({ verb: "get", key }))));
        thaw(node.server.process.pid);
        await Promise.all([...before, ...asked]);
      } finally {
        thaw(node.server.process.pid);
      }
      for (const client of [...waiting, writer]) client.close();
    },
  },
  {
    name: "the worker that is told of changes dies",
    run: async (world) => {
      const { server } = world.nodes[0]!;
      const times = server.log().split("worker 0 serves").length;
      order(world, { worker: 0, fault: "terminate" });
      await server.loggedTimes("worker 0 serves", times);
    },
  },
  {
    name: "the whole cluster is gone, and comes back empty",
    run: async (world) => {
      const { cluster } = world;
      await cluster.stop();
      const readBack = await world.retire();
      await cluster.start();
      await readBack();
    },
  },
  {
    name: "a third server joins and leaves, with calls in flight",
    run: async (world) => {
      const node = await world.addNode();
      world.loadNode(node);
      await world.progress();
      await world.remove(node);
    },
  },
];

export async function runFault(world: World, { name, run }: Fault): Promise<Report> {
  return world.round(name, () => run(world));
}

/** One line for people. */
export function lineOf({ name, tasks, verdict }: Report): string {
  const { reads, changes, oldestMs, lost, errors } = verdict;
  const loss = lost === 0 ? "" : `, ${lost} writes lost by the engine`;
  return `${errors.length === 0 ? "ok  " : "FAIL"} ${name}: ${tasks} requests, ${reads} reads of ${changes} changes, at most ${oldestMs.toFixed(1)} ms old${loss}`;
}

async function mastersOf({ cluster }: World) {
  const owners = await Promise.all([0, 1, 2].map((index) => cluster.ownerOf(cluster.rangeOf(index)[0])));
  return [...new Set(owners)];
}

function order({ nodes }: World, fault: FaultOrder): void {
  const { stdin } = nodes[0]!.server.process;
  stdin.write(`${JSON.stringify(fault)}\n`);
  stdin.flush();
}
