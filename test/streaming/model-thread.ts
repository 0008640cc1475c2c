/**
 * One worker of the model run: sessions whose clients keep copies, random work on them, and after each step proof that no copy is
 * old. The truth is found out beside the watches: a number from the version counter, then the key as it is under the lock. A copy
 * with a lower number that is not that entry was not there any more.
 */
import { Store, type StoreMemory } from "../../src/store/store";
import type { StreamMemory } from "../../src/streaming/memory";
import type { Session } from "../../src/ws/session";
import { type BinaryCommands, Run } from "../../src/commands/binary";
import { Message } from "../../src/protocol/request";
import type { ReplyWriter } from "../../src/protocol/reply";
import { type Reply, replies } from "../support/frames";
import { NearClient } from "../support/near";
import { Random } from "../support/random";
import { NotedSocket, workerOver } from "../support/small-session";
import { clear, get, put, putNumbered, remove, touch } from "../support/stream-requests";

declare const self: Worker;

export interface ModelOrder {
  store: StoreMemory;
  streams: StreamMemory;
  worker: number;
  seed: number;
  steps: number;
}

export interface ModelReport {
  /** Copies that were looked at and found to be right. */
  proven: number;
  resets: number;
  changes: number;
  problem: string | null;
}

const CLIENTS = 6;
const KEYS = 24;
const PREFIXES = ["a:", "b:"];

interface Peer {
  session: Session;
  client: NearClient;
}

self.onmessage = ({ data }: MessageEvent<ModelOrder>) => {
  void run(data).then((report) => self.postMessage(report));
};

async function run(order: ModelOrder): Promise<ModelReport> {
  const report: ModelReport = { proven: 0, resets: 0, changes: 0, problem: null };
  try {
    await new Model(order, report).run();
  } catch (error) {
    report.problem = (error as Error).stack ?? String(error);
  }
  return report;
}

class Model {
  private readonly random: Random;
  private readonly worker: ReturnType<typeof workerOver>;
  private peers: Peer[] = [];
  private readonly truth: { binary: BinaryCommands; message: Message; reply: ReplyWriter };

  constructor(
    private readonly order: ModelOrder,
    private readonly report: ModelReport,
  ) {
    this.random = new Random(order.seed);
    const store = new Store(order.store, order.worker + 1);
    const shared = { memory: order.streams, worker: order.worker };
    this.worker = workerOver({ store, now: 1000 }, undefined, undefined, shared);
    this.peers = Array.from({ length: CLIENTS }, (_, i) => this.open(i));
    const { commands, reply, intake, binary } = this.worker;
    commands.refreshClock();
    this.truth = { binary: binary(), message: new Message(intake), reply };
  }

  async run(): Promise<void> {
    for (let step = 0; step < this.order.steps; step++) {
      this.work(this.random.pick(this.peers));
      this.prove(this.random.pick(this.peers));
      if (step % 50 === 0) {
        this.worker.streams.invariants();
        // What wakes an idle worker needs a turn of the event loop.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    for (const { client } of this.peers) this.note(client);
    for (const { session } of this.peers) session.gone();
    this.worker.streams.invariants();
    this.worker.streams.stop();
  }

  private open(number: number): Peer {
    const socket = new NotedSocket();
    const session = this.worker.open(socket);
    return { session, client: new NearClient(session, socket, PREFIXES[number] ?? null) };
  }

  private key(): string {
    return `${this.random.pick(["a:", "b:", "c:"])}${this.random.below(KEYS)}`;
  }

  private work(peer: Peer): void {
    const { random } = this;
    const { client } = peer;
    const { socket } = client;
    const key = this.key();
    switch (random.below(14)) {
      case 0:
      case 1:
      case 2:
        return client.write(key, put(key, `${this.order.worker}:${random.below(1e9)}`));
      case 3:
        return client.write(key, remove(key));
      case 4:
        return client.write(key, touch(key, 1_000_000n));
      case 5:
        if (random.below(4) > 0) return client.read([key]);
        return client.write(key, clear(random.pick(["", "a:", "b:1", "c:"])));
      case 6:
        socket.kernelTakes = false;
        return client.read([key]);
      case 7:
      case 8:
        return this.unblock(peer);
      case 9:
        return this.replace(peer);
      default:
        return client.read(Array.from({ length: 1 + random.below(5) }, () => this.key()));
    }
  }

  private unblock({ session, client }: Peer): void {
    client.socket.kernelTakes = true;
    client.socket.buffered = 0;
    session.drained();
    client.hear();
  }

  /** The connection ends, and another comes. */
  private replace(peer: Peer): void {
    this.note(peer.client);
    peer.session.gone();
    const number = this.peers.indexOf(peer);
    this.peers[number] = this.open(number);
  }

  private note({ resets, changes }: NearClient): void {
    this.report.resets += resets;
    this.report.changes += changes;
  }

  /** Looks at a key as it is now, then at the copy that the client would serve after its next answer. */
  private prove(peer: Peer): void {
    const { client } = peer;
    if (!client.socket.kernelTakes) return;
    const key = this.key();
    const [number, read] = this.ask(putNumbered("truth", ""), get(key));
    if (number?.status !== "NUMBER" || read === undefined) throw new Error("no truth to be had");
    client.prove();
    // A session whose turn is over answers later.
    if (!client.isQuiet) return;
    const held = client.near.get(key);
    if (held === undefined) return;
    const version = read.status === "META_VALUE" ? read.version : 0n;
    const wasThere = held.version === version;
    if (!wasThere && held.version < number.number)
      throw new Error(
        `${key}: ${held.value} of ${held.version} is held, at ${number.number} it was ${version}`,
      );
    this.report.proven++;
  }

  /** Without a session, which would have its turn among the others. */
  private ask(...requests: Buffer[]): Reply[] {
    const { binary, message, reply } = this.truth;
    message.open(Buffer.concat(requests));
    if (binary.run(message, Infinity) !== Run.DONE) throw new Error("the truth takes two turns");
    const found = replies(Buffer.from(reply.take()));
    reply.reset();
    return found;
  }
}
