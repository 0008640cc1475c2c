/**
 * A real cluster on loopback: masters with a replica each, ready in about two seconds. The nodes know each other from the file that a cluster
 * keeps of itself (nodes.conf), written before they start, so nobody has to meet.
 *
 * Every helper resolves when what it causes has happened, as all living nodes see it.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Engine, type EngineOptions, until, withFreePorts } from "./engine";
import { type Argument, ConnectionLost, EngineError, type EngineReply } from "./engine-client";

export const SLOTS = 16_384;
/** After so long without an answer the others take a node for failed. */
export const NODE_TIMEOUT_MS = 2000;

const REDIRECTS_MAX = 1000;
const RETRY_MS = 20;

export interface ClusterOptions extends Pick<EngineOptions, "flags" | "password"> {
  /** Default 3. */
  readonly masters?: number;
  /** Of each master; 0 or 1, the default. */
  readonly replicas?: 0 | 1;
}

/** What CLUSTER NODES says of one node. */
interface Seen {
  readonly id: string;
  readonly port: number;
  readonly flags: readonly string[];
  readonly masterId: string;
  /** First and last, both included. */
  readonly ranges: readonly (readonly [number, number])[];
}

/** Starts a cluster; resolves when all nodes serve and all replicas are in step. */
export function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { masters = 3, replicas = 1 } = options;
  const nodes = masters * (1 + replicas);
  return withFreePorts(2 * nodes, async (ports) => {
    const cluster = new Cluster(ports.slice(0, nodes), ports.slice(nodes), options);
    try {
      await cluster.start();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  });
}

export class Cluster {
  /** The masters of the start, in the order of their slots, then their replicas. */
  readonly nodes: readonly Engine[];
  private readonly masterCount: number;
  private readonly ids: readonly string[];

  constructor(
    ports: readonly number[],
    private readonly busPorts: readonly number[],
    options: ClusterOptions,
  ) {
    const { masters = 3, flags = [], password } = options;
    this.masterCount = masters;
    this.ids = ports.map((port) => port.toString(16).padStart(40, "0"));
    this.nodes = ports.map(
      (port, index) =>
        new Engine(port, {
          flags: [...clusterFlags(busPorts[index]!), ...flags],
          ...(password !== undefined && { password }),
        }),
    );
  }

  /** The addresses of all nodes, as an origin's URL has them. */
  get url(): string {
    const [first, ...others] = this.nodes;
    return [first!.url, ...others.map(({ address }) => address)].join(",");
  }

  async start(): Promise<void> {
    this.nodes.forEach((node, index) => this.writeConfig(node, index));
    await Promise.all(this.nodes.map((node) => node.start()));
    await this.ready();
  }

  /** Resolves when all nodes that run say that the cluster is ok, agree on who is who, and all replicas are in step. */
  async ready(): Promise<void> {
    await Promise.all(this.living().map((node) => until(`${node.address} is ready`, () => isReady(node))));
    await this.agreed();
  }

  /** kill −9 of all nodes. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
  }

  /** The first and last slot that a master of the start has, both included. */
  rangeOf(master: number): [number, number] {
    const at = (index: number) => Math.floor((index * SLOTS) / this.masterCount);
    return [at(master), at(master + 1) - 1];
  }

  /**
   * A command to whoever owns the slot of its first key (the argument behind the name), following MOVED and ASK, and trying again while nobody
   * answers for the slot.
   */
  call(...args: Argument[]): Promise<EngineReply> {
    return this.route("command", args);
  }

  /** The same with bulk strings as Buffers. */
  bytes(...args: Argument[]): Promise<EngineReply> {
    return this.route("bytes", args);
  }

  private async route(how: "command" | "bytes", args: Argument[]): Promise<EngineReply> {
    let node = this.living()[0]!;
    let isAsked = false;
    for (let tries = 0; tries < REDIRECTS_MAX; tries++) {
      try {
        if (!isAsked) return await node[how](...args);
        const [, reply] = await Promise.all([node.command("ASKING"), node[how](...args)]);
        return reply;
      } catch (error) {
        const { message } = error as Error;
        const isRedirect = error instanceof EngineError && /^(MOVED|ASK) /.test(message);
        isAsked = isRedirect && message.startsWith("ASK ");
        if (isRedirect) node = this.nodeAt(Number(/:(\d+)$/.exec(message)![1]));
        else if (error instanceof ConnectionLost) node = this.another(node);
        else if (!/^(CLUSTERDOWN|TRYAGAIN|LOADING|READONLY)/.test(message)) throw error;
        if (!isRedirect) await Bun.sleep(RETRY_MS);
      }
    }
    throw new Error(`no node takes ${args[0]}`);
  }

  /** Who owns the slot, as the first node that answers sees it. */
  async ownerOf(slot: number): Promise<Engine> {
    const owner = (await this.seen()).find(({ ranges }) => covers(ranges, slot));
    if (owner === undefined) throw new Error(`nobody owns slot ${slot}`);
    return this.nodeAt(owner.port);
  }

  /** The node's replica, as the first node that answers sees it. */
  async replicaOf(master: Engine): Promise<Engine> {
    const id = this.idOf(master);
    const replica = (await this.seen()).find(({ masterId }) => masterId === id);
    if (replica === undefined) throw new Error(`${master.address} has no replica`);
    return this.nodeAt(replica.port);
  }

  /** CLUSTER FAILOVER: the replica takes its master's place, by agreement. */
  async failover(replica: Engine): Promise<void> {
    await until(`${replica.address} is in step`, () => isReady(replica));
    await replica.command("CLUSTER", "FAILOVER");
    await this.promoted(replica);
  }

  /** Resolves when this node is a master, and all that live know it. */
  async promoted(replica: Engine): Promise<void> {
    await until(`${replica.address} is promoted`, async () => {
      const role = (await replica.command("ROLE")) as EngineReply[];
      return role[0] === "master";
    });
    await this.agreed();
  }

  /** Moves a slot with all its keys, as resharding does, while clients go on. */
  async moveSlot(slot: number, to: Engine): Promise<void> {
    const from = await this.ownerOf(slot);
    await this.beginMove(slot, to);
    for (;;) {
      const keys = (await from.bytes("CLUSTER", "GETKEYSINSLOT", slot, 100)) as Buffer[];
      if (keys.length === 0) break;
      await from.command(...["MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS"], ...keys);
    }
    await this.endMove(slot, to, [to, from]);
  }

  /** The first half of a move: the owner answers ASK for what it does not have, the other takes ASKING. */
  async beginMove(slot: number, to: Engine): Promise<void> {
    const from = await this.ownerOf(slot);
    await to.command("CLUSTER", "SETSLOT", slot, "IMPORTING", this.idOf(from));
    await from.command("CLUSTER", "SETSLOT", slot, "MIGRATING", this.idOf(to));
  }

  /** Gives the slot to another master, and leaves its keys behind; the old owner deletes them when it hears of it. */
  async assignSlot(slot: number, to: Engine): Promise<void> {
    const from = await this.ownerOf(slot);
    await to.command("CLUSTER", "SETSLOT", slot, "IMPORTING", this.idOf(from));
    await this.endMove(slot, to, [to]);
  }

  /** On all masters. */
  async flushAll(): Promise<void> {
    await this.onMasters("FLUSHALL");
  }

  /** On all masters. */
  async flushScripts(): Promise<void> {
    await this.onMasters("SCRIPT", "FLUSH");
  }

  /** Resolves when all nodes that live see the same owners. */
  async agreed(): Promise<void> {
    await until("all nodes agree", async () => {
      const views = await Promise.all(
        this.living().map(async (node) =>
          ((await node.command("CLUSTER", "NODES")) as string).includes("fail?")
            ? null
            : ownersOf(await this.seen(node)),
        ),
      );
      return views.every((view) => view !== null && view === views[0]);
    });
  }

  private async endMove(slot: number, to: Engine, told: readonly Engine[]): Promise<void> {
    for (const node of told) await node.command("CLUSTER", "SETSLOT", slot, "NODE", this.idOf(to));
    await this.agreed();
  }

  private async onMasters(...args: Argument[]): Promise<void> {
    const masters = (await this.seen()).filter(({ ranges }) => ranges.length > 0);
    await Promise.all(masters.map(({ port }) => this.nodeAt(port).command(...args)));
  }

  private living(): Engine[] {
    return this.nodes.filter((node) => node.isRunning);
  }

  private another(node: Engine): Engine {
    const living = this.living();
    return living[(living.indexOf(node) + 1) % living.length]!;
  }

  private nodeAt(port: number): Engine {
    return this.nodes.find((node) => node.port === port)!;
  }

  private idOf(node: Engine): string {
    return this.ids[this.nodes.indexOf(node)]!;
  }

  private async seen(by: Engine = this.living()[0]!): Promise<Seen[]> {
    const text = (await by.command("CLUSTER", "NODES")) as string;
    return text.trim().split("\n").map(parseSeen);
  }

  private writeConfig(self: Engine, index: number): void {
    const lines = this.nodes.map((node, other) => {
      const isMaster = other < this.masterCount;
      const flags = `${node === self ? "myself," : ""}${isMaster ? "master" : "slave"}`;
      const master = isMaster ? "-" : this.ids[other % this.masterCount]!;
      const epoch = (other % this.masterCount) + 1;
      const slots = isMaster ? ` ${this.rangeOf(other).join("-")}` : "";
      const address = `${node.address}@${this.busPorts[other]}`;
      return `${this.ids[other]} ${address} ${flags} ${master} 0 0 ${epoch} connected${slots}\n`;
    });
    lines.push(`vars currentEpoch ${this.masterCount} lastVoteEpoch 0\n`);
    writeFileSync(join(this.nodes[index]!.directory, "nodes.conf"), lines.join(""));
  }
}

function clusterFlags(busPort: number): string[] {
  return [
    ...["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", String(busPort)],
    ...["--cluster-node-timeout", String(NODE_TIMEOUT_MS), "--cluster-allow-replica-migration", "no"],
    ...["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"],
  ];
}

async function isReady(node: Engine): Promise<boolean> {
  const info = (await node.command("CLUSTER", "INFO")) as string;
  if (!info.includes("cluster_state:ok")) return false;
  const link = await node.info("master_link_status");
  return link === null || link === "up";
}

/** `id address flags master ping pong epoch link slot slot …`; a slot under way is in brackets. */
function parseSeen(line: string): Seen {
  const [id, address, flags, masterId, , , , , ...slots] = line.split(" ");
  const ranges = slots
    .filter((text) => !text.startsWith("["))
    .map((text) => text.split("-").map(Number))
    .map(([first, last = first]) => [first!, last!] as const);
  return {
    id: id!,
    port: Number(/:(\d+)@/.exec(address!)![1]),
    flags: flags!.split(","),
    masterId: masterId!,
    ranges,
  };
}

function covers(ranges: Seen["ranges"], slot: number): boolean {
  return ranges.some(([first, last]) => first <= slot && slot <= last);
}

/** Who has which slots, and who follows whom, as text. */
function ownersOf(seen: readonly Seen[]): string {
  return seen
    .map(
      ({ id, masterId, ranges }) => `${id} ${masterId} ${ranges.map(([first, last]) => `${first}-${last}`)}`,
    )
    .sort()
    .join("\n");
}
