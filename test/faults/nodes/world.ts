/**
 * Two servers before a real cluster, and clients of both under load. A round is a load with something that happens meanwhile; afterwards all that
 * the clients have read is judged. Each round has keys of its own, and where the engine may lose writes, more than once:
 *
 *   the keys of a generation are written and read ──▶ `retire`: they are read alone, and the next generation is written
 */
import { decode } from "../../../src/origin/value";
import { type Cluster, startCluster } from "../../support/cluster";
import { until } from "../../support/engine";
import { Random } from "../../support/random";
import { startServer, type TestServer } from "../../support/server";
import { WireClient } from "../../support/wire-client";
import { request } from "../../support/frames";
import {
  type Client,
  ConnectionGone,
  FrameClient,
  HttpClient,
  NearClient,
  Notes,
  type Task,
  TextClient,
} from "./actors";
import { type Actor, History, type Verdict } from "./history";
import { nameOf } from "./values";

export const L1_MAX_AGE_MS = 400;
export const NEAR_MAX_AGE_MS = 300;
export const ORIGIN_TIMEOUT_MS = 1000;
const NAMESPACE = "bb:";
/** Hash tags, the namespace, and what means something to SCAN, URLs and JSON. */
const GROUPS = ["plain", "{tag}", "bb:", "*?[a]\\", '%2f "ü"'];
const KEYS_EACH = 6;
const BATCH_MAX = 6;
/** Keys, some of which belong to each master. */
const PROBES = 16;
/** A connection that cannot be made is tried again. */
const RETRY_MS = 20;
const PROGRAM = new URL("../faulty-server.ts", import.meta.url).pathname;

/** One server, as clients reach it. */
export interface Node {
  readonly number: number;
  readonly server: TestServer;
}

export type Kind = "frames" | "text" | "http" | "near";

export interface Report {
  readonly name: string;
  readonly verdict: Verdict;
  /** Tasks that were answered, and requests that the origin could not be asked for. */
  readonly tasks: number;
}

interface Generation {
  readonly number: number;
  readonly keys: readonly string[];
  inFlight: number;
}

export class World {
  readonly history = new History();
  readonly nodes: Node[] = [];
  /** Slots move. */
  isMoving = false;
  private readonly random: Random;
  private generation!: Generation;
  private retired: Generation[] = [];
  private nextId = 1;
  private generations = 0;
  private isLoaded = false;
  private tasks = 0;
  private readonly running = new Set<Promise<void>>();
  private readonly clients = new Set<Client>();
  private failure: unknown = null;

  private constructor(
    readonly cluster: Cluster,
    seed: number,
    /** Requests between two things that happen. */
    private readonly stride: number,
  ) {
    this.random = new Random(seed);
  }

  static async start(seed: number, stride: number): Promise<World> {
    const cluster = await startCluster();
    const world = new World(cluster, seed, stride);
    try {
      await Promise.all([world.addNode(), world.addNode()]);
      return world;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  async addNode(flags: string[] = []): Promise<Node> {
    const number = this.nodes.length;
    this.nodes.push(null as never);
    const server = await startServer({
      program: PROGRAM,
      before: ["--at-once"],
      flags: [
        ...["--origin", this.cluster.url, "--origin-timeout", `${ORIGIN_TIMEOUT_MS}ms`],
        ...["--l1-max-age", `${L1_MAX_AGE_MS}ms`, "--max-value", "8mb", "--log-level", "debug", ...flags],
      ],
    });
    await server.logged("origin: connected");
    return (this.nodes[number] = { number, server });
  }

  async stop(): Promise<void> {
    const codes = await Promise.all(this.nodes.map(({ server }) => server.stop()));
    await this.cluster.stop();
    if (codes.some((code) => code !== 0)) throw new Error(`the servers ended with ${codes}`);
  }

  /** Load, `happening` meanwhile, and afterwards the judgement. */
  async round(name: string, happening: () => Promise<void>, kinds?: readonly Kind[]): Promise<Report> {
    this.tasks = 0;
    this.failure = null;
    this.retired = [];
    this.newGeneration();
    const watchers = await Promise.all(this.nodes.map((node) => Watcher.connect(node)));
    this.isLoaded = true;
    for (const node of this.nodes) this.loadNode(node, kinds);
    try {
      await this.progress();
      await happening();
      await this.progress();
    } finally {
      this.isLoaded = false;
      await Promise.all(this.running);
    }
    if (this.failure !== null) throw this.failure;
    await Promise.all(watchers.map((watcher) => watcher.heardOfAll(this.history.lastChanges())));
    for (const watcher of watchers) watcher.close();
    return { name, tasks: this.tasks, verdict: this.history.judge() };
  }

  /** Clients of the node work until the round ends, or the node goes. */
  loadNode(node: Node, kinds = KINDS): void {
    for (const kind of kinds) this.keep(this.actor(node, kind));
  }

  /** Every key can be written and read through every node, and the load has gone on for a while. */
  async progress(): Promise<void> {
    const enough = this.tasks + this.stride;
    await until("the load goes on", () => this.failure !== null || this.tasks >= enough);
    if (this.failure !== null) throw this.failure;
    await Promise.all(this.nodes.map((node) => this.answers(node)));
  }

  /** The keys of now are written no more; resolves when all that was sent for them is answered. */
  async retire(): Promise<() => Promise<void>> {
    const from = performance.now();
    const old = this.generation;
    this.newGeneration();
    this.retired = [old];
    await until("the last writes are answered", () => old.inFlight === 0);
    return () => this.readBack(old, from);
  }

  /** A write that no client has made: key by key, or all keys. */
  async changing(keys: readonly string[], value: string | null, work: () => Promise<unknown>): Promise<void> {
    const plain = { by: null, turn: 0, sent: performance.now(), done: Infinity, version: 0, ttlMs: Infinity };
    const changes = keys.map((key) => this.history.changed({ ...plain, key, value }));
    await work();
    for (const change of changes) change.done = performance.now();
  }

  get keys(): readonly string[] {
    return this.generation.keys;
  }

  get writeId(): number {
    return this.nextId++;
  }

  originKey(key: string): string {
    return NAMESPACE + key;
  }

  async slotOf(key: string): Promise<number> {
    return (await this.cluster.call("CLUSTER", "KEYSLOT", this.originKey(key))) as number;
  }

  notes(
    name: string,
    node: Node,
    ages: Pick<Actor, "maxAgeMs" | "ownAgeMs"> = { maxAgeMs: L1_MAX_AGE_MS, ownAgeMs: 0 },
  ): Notes {
    return new Notes({ name, node: node.number, ...ages }, this.history, () => this.isMoving);
  }

  /** Ends the load of a node's clients: it goes away. */
  async remove(node: Node): Promise<void> {
    this.nodes.splice(this.nodes.indexOf(node), 1);
    const code = await node.server.stop();
    if (code !== 0) throw new Error(`node ${node.number} ended with ${code}:\n${node.server.log()}`);
  }

  private newGeneration(): void {
    const number = this.generations++;
    const keys = GROUPS.flatMap((group) =>
      Array.from({ length: KEYS_EACH }, (_, i) => `${number}:${group}:${i}`),
    );
    this.generation = { number, keys, inFlight: 0 };
  }

  private keep(work: Promise<void>): void {
    const running = work
      .catch((error) => void (this.failure ??= error))
      .finally(() => this.running.delete(running));
    this.running.add(running);
  }

  /** One client's life: connects, works, and connects again where its connection ends. */
  private async actor(node: Node, kind: Kind): Promise<void> {
    for (let lives = 0; this.isLoaded && this.nodes.includes(node); lives++) {
      let client: Client;
      try {
        client = await this.open(node, kind, lives);
      } catch {
        await Bun.sleep(RETRY_MS);
        continue;
      }
      this.clients.add(client);
      try {
        while (this.isLoaded && this.nodes.includes(node)) await this.work(client, kind);
      } catch (error) {
        if (!(error instanceof ConnectionGone)) throw error;
        await Bun.sleep(RETRY_MS);
      } finally {
        client.close();
        this.clients.delete(client);
      }
    }
  }

  private open(node: Node, kind: Kind, lives: number): Promise<Client> | Client {
    const name = `${kind} ${lives}`;
    const { http, ws } = node.server;
    if (kind === "frames") return FrameClient.connect(ws, this.notes(name, node));
    if (kind === "text") return TextClient.connect(ws, this.notes(name, node));
    if (kind === "http") return new HttpClient(http, this.notes(name, node));
    const ages = { maxAgeMs: L1_MAX_AGE_MS + NEAR_MAX_AGE_MS, ownAgeMs: L1_MAX_AGE_MS + NEAR_MAX_AGE_MS };
    return NearClient.connect(ws, NEAR_MAX_AGE_MS, this.notes(name, node, ages));
  }

  private async work(client: Client, kind: Kind): Promise<void> {
    const { random, generation } = this;
    const old = this.retired.at(-1);
    if (old !== undefined && random.below(4) === 0)
      return client.do(
        Array.from({ length: BATCH_MAX }, () => ({ verb: "get", key: random.pick(old.keys) })),
      );
    const count = kind === "frames" || kind === "text" ? 1 + random.below(BATCH_MAX) : 1;
    const tasks = Array.from({ length: count }, () => this.task(generation));
    generation.inFlight++;
    try {
      await client.do(tasks);
    } finally {
      generation.inFlight--;
    }
    this.tasks += count;
    // Of an answer that came at once: others have their turn.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }

  private task({ number, keys }: Generation): Task {
    const { random } = this;
    const key = random.pick(keys);
    const dice = random.below(200);
    if (dice < 100) return { verb: "get", key };
    const id = this.writeId;
    if (dice < 145) return { verb: "put", key, id };
    if (dice < 155) return { verb: "put", key, id, ttlMs: 50 + random.below(400) };
    if (dice < 163) return { verb: "put", key, id, condition: "version" };
    if (dice < 171) return { verb: "put", key, id, condition: "absent" };
    if (dice < 180) return { verb: "append", key, id };
    if (dice < 184) return { verb: "touch", key, ttlMs: 100 + random.below(400) };
    if (dice < 186) return { verb: "touch", key };
    if (dice < 199) return { verb: "delete", key };
    const prefix = `${number}:${random.pick(GROUPS)}:`;
    return { verb: "clear", prefix, keys: keys.filter((each) => each.startsWith(prefix)) };
  }

  /** Writes that reach every master; a connection may go to a worker that has just died. */
  private async answers(node: Node): Promise<void> {
    const write = async (key: string) => {
      const url = `${node.server.http}/kv/${key}`;
      const response = await fetch(url, { method: "PUT", body: "1", keepalive: false });
      await response.arrayBuffer();
      return response.status === 204;
    };
    await until(`node ${node.number} answers for all masters`, async () => {
      for (let i = 0; i < PROBES; i++) if (!(await write(`probe${i}`).catch(() => false))) return false;
      return true;
    });
  }

  /** What the cluster has of keys that nobody writes any more. */
  private async readBack({ keys }: Generation, from: number): Promise<void> {
    for (const key of keys) {
      const bytes = (await this.cluster.bytes("GET", this.originKey(key))) as Buffer | null;
      const value = bytes === null ? null : nameOf(decode(bytes).payload);
      this.history.lost(key, { value, from, known: performance.now() });
    }
  }
}

const KINDS: readonly Kind[] = ["frames", "frames", "text", "http", "near", "near"];

/** Hears of all changes through one node. */
class Watcher {
  private readonly heard = new Map<string, number>();
  private reset = 0;
  private isOver = false;

  private constructor(
    private readonly node: Node,
    private readonly wire: WireClient,
  ) {}

  static async connect(node: Node): Promise<Watcher> {
    const wire = await WireClient.connect(node.server.ws);
    const watcher = new Watcher(node, wire);
    await wire.ask(request({ op: 0x10, key: "" }));
    void watcher.listen();
    return watcher;
  }

  /** Resolves when it has heard of each key since its last change was sent. */
  async heardOfAll(last: ReadonlyMap<string, number>): Promise<void> {
    for (const [key, sent] of last)
      await until(`the watcher of node ${this.node.number} hears of ${key}`, () => {
        return this.isOver || this.reset > sent || (this.heard.get(key) ?? 0) > sent;
      });
  }

  close(): void {
    this.isOver = true;
    this.wire.close();
  }

  private async listen(): Promise<void> {
    try {
      for (;;) {
        const push = await this.wire.push();
        const now = performance.now();
        if (push.push === "RESET") this.reset = now;
        if (push.push === "CHANGED") for (const { key } of push.keys) this.heard.set(key, now);
      }
    } catch {
      this.isOver = true;
    }
  }
}
