/**
 * Kills workers at random moments while clients work, and checks what a client can see: values are right and whole, the
 * connections of other workers go on, and what is lost was in a shard that a dead worker was writing.
 *
 * Each client has keys of its own, so it knows what each must hold; nothing is evicted, expires or is deleted.
 */
import { HashedKey, type HashSeed, shardOf } from "../../src/store/hash";
import { request } from "../support/frames";
import { Random } from "../support/random";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";
import { DEATHS, type FaultOrder } from "./fault-order";
import { Ledger } from "./ledger";

const PROGRAM = new URL("./faulty-server.ts", import.meta.url).pathname;
const WORKERS = 3;
const SHARDS = 4;
const CLIENTS = 12;
const KEYS_EACH = 60;
const VALUE_BYTES_MAX = 20_000;
/** Then a client connects anew, so that replaced workers have connections too. */
const OPERATIONS_EACH = 50;
/** Chance decides the moment: between two deaths up to this long. */
const PAUSE_MS_MAX = 40;

export interface KillReport {
  kills: Record<string, number>;
  operations: number;
  /** Connections that ended with their worker. */
  disconnected: number;
  recoveries: number;
  entriesLost: number;
  /** Longest time from a request to its reply on a connection that lived, ms. */
  slowestMs: number;
}

/** Throws at the first wrong value, or what else may not be. */
export async function killWorkers(seed: number, count: number): Promise<KillReport> {
  const server = await startServer({
    program: PROGRAM,
    before: ["--at-once"],
    flags: ["--workers", String(WORKERS), "--shards", String(SHARDS), "--log-level", "debug"],
  });
  const random = new Random(seed);
  const clients = Array.from(
    { length: CLIENTS },
    (_, number) => new Client(server, number, new Random(seed + number)),
  );
  const working = clients.map((client) => client.work());
  const kills: Record<string, number> = {};
  for (let n = 0; n < count; n++) {
    await Promise.race([Bun.sleep(random.below(PAUSE_MS_MAX)), Promise.all(working)]);
    const order = anyOrder(random);
    kills[order.fault] = (kills[order.fault] ?? 0) + 1;
    await kill(server, order, clients, working);
  }
  for (const client of clients) client.stop();
  await Promise.all(working);
  const stats = (await (await fetch(`${server.http}/stats`, { keepalive: false })).json()) as {
    recoveries: number;
    entriesLost: number;
    evictions: number;
  };
  checkLosses(server, clients, stats);
  const disconnected = sum(clients, (client) => client.disconnected);
  // A death ends a third of them, if they are spread evenly; they are spread by chance.
  if (disconnected > 0.75 * count * CLIENTS)
    throw new Error(`${count} deaths ended ${disconnected} connections`);
  const code = await server.stop();
  if (code !== 0) throw new Error(`the server ended with ${code}`);
  return {
    kills,
    operations: sum(clients, ({ operations }) => operations),
    disconnected,
    recoveries: stats.recoveries,
    entriesLost: stats.entriesLost,
    slowestMs: Math.max(...clients.map(({ slowestMs }) => slowestMs)),
  };
}

function anyOrder(random: Random): FaultOrder {
  const fault = random.pick(["terminate", "terminate", "terminate", ...DEATHS] as const);
  return { worker: random.below(WORKERS), fault, shard: random.below(SHARDS) };
}

/** Resolves when another worker serves in the dead one's place and every client has got an answer since. */
async function kill(server: TestServer, order: FaultOrder, clients: Client[], working: Promise<void>[]) {
  const before = clients.map(({ operations }) => operations);
  const serves = `worker ${order.worker} serves`;
  const times = server.log().split(serves).length;
  server.process.stdin.write(`${JSON.stringify(order)}\n`);
  server.process.stdin.flush();
  await Promise.race([server.loggedTimes(serves, times), Promise.all(working)]);
  await Promise.race([
    Promise.all(clients.map((client, i) => client.operationsReach(before[i]! + 1))),
    Promise.all(working),
  ]);
}

/** What clients miss lies in shards that were lost, and the server's count agrees with its log. */
function checkLosses(
  server: TestServer,
  clients: Client[],
  stats: { entriesLost: number; evictions: number; recoveries: number },
) {
  const freed = [
    ...server
      .log()
      .matchAll(/shard (\d+) was locked by worker \d+: freed(?: and repaired)?, (\d+) entries lost/g),
  ];
  for (const [line, , lost] of freed) if (Number(lost) > 1) throw new Error(line);
  if (/could not be repaired/.test(server.log())) throw new Error("a shard could not be repaired");
  const lossy = new Set(freed.filter(([, , lost]) => lost !== "0").map(([, shard]) => Number(shard)));
  const shardOfKey = shardFinder(server.log());
  for (const client of clients)
    for (const key of client.ledger.missed)
      if (!lossy.has(shardOfKey(key))) throw new Error(`${key} is gone, and its shard was never lost`);
  const logged = freed.reduce((total, [, , lost]) => total + Number(lost), 0);
  if (logged !== stats.entriesLost || freed.length !== stats.recoveries)
    throw new Error(`the log has ${logged} lost entries, stats ${stats.entriesLost}`);
  if (stats.evictions !== 0) throw new Error("something was evicted");
}

/** Finds the shard of a key by the seed that the faulty workers tell. */
function shardFinder(log: string): (text: string) => number {
  const seed = /keys are hashed under ([-\d ]+)\./.exec(log)![1]!.split(" ").map(Number);
  const key = new HashedKey(seed as unknown as HashSeed);
  return (text) => {
    const bytes = Buffer.from(text);
    key.aim(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
    return shardOf(key.hash, Math.log2(SHARDS));
  };
}

function sum(clients: Client[], of: (client: Client) => number): number {
  return clients.reduce((total, client) => total + of(client), 0);
}

class Client {
  operations = 0;
  disconnected = 0;
  slowestMs = 0;
  readonly ledger: Ledger;
  private stopping = false;
  private waiting: { operations: number; resolve: () => void } | null = null;

  constructor(
    private readonly server: TestServer,
    private readonly number: number,
    private readonly random: Random,
  ) {
    this.ledger = new Ledger(random);
  }

  stop(): void {
    this.stopping = true;
  }

  operationsReach(operations: number): Promise<void> {
    if (this.operations >= operations) return Promise.resolve();
    return new Promise((resolve) => (this.waiting = { operations, resolve }));
  }

  /** Puts and gets until it is stopped; connects again when the connection ends. */
  async work(): Promise<void> {
    while (!this.stopping) {
      const client = await this.connected();
      for (let n = 0; n < OPERATIONS_EACH && !this.stopping; n++) {
        const key = `client ${this.number} key ${this.random.below(KEYS_EACH)}`;
        const started = performance.now();
        const done = this.random.below(2) === 0 ? await this.put(client, key) : await this.get(client, key);
        if (!done) {
          this.disconnected++;
          break;
        }
        this.slowestMs = Math.max(this.slowestMs, performance.now() - started);
        this.operations++;
        if (this.waiting !== null && this.operations >= this.waiting.operations) this.waiting.resolve();
      }
      client.close();
    }
  }

  /** A worker that has just died may still have had connections waiting: those are refused, and tried again. */
  private async connected(): Promise<WireClient> {
    for (;;) {
      try {
        return await WireClient.connect(this.server.ws);
      } catch {
        if (this.server.process.exitCode !== null) throw new Error("the server is gone");
      }
    }
  }

  /** False when the connection ended first. */
  private async put(client: WireClient, key: string): Promise<boolean> {
    const value = this.ledger.begin(key, VALUE_BYTES_MAX);
    const reply = await replyOf(client, request({ op: 2, key, value }));
    if (reply === null) return false;
    if (reply.status !== "OK") throw new Error(`a put was answered with ${JSON.stringify(reply)}`);
    this.ledger.done(key);
    return true;
  }

  private async get(client: WireClient, key: string): Promise<boolean> {
    const reply = await replyOf(client, request({ op: 1, key }));
    if (reply === null) return false;
    if (reply.status !== "MISS" && reply.status !== "VALUE")
      throw new Error(`a get was answered with ${JSON.stringify(reply)}`);
    this.ledger.check(key, reply.status === "VALUE" ? reply.value : null);
    return true;
  }
}

async function replyOf(client: WireClient, bytes: Buffer) {
  try {
    return (await client.ask(bytes))[0]!;
  } catch {
    return null;
  }
}
