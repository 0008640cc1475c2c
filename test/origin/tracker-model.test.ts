/**
 * The promise against a model of a cluster, by random steps: no copy is served that was outdated for longer than the maximum age. In the model
 * slots move between masters, with their keys or without any of them and without a word; connections break; answers and invalidations arrive
 * late, in their order; a master's turn takes time, and answers overtake the invalidations of their turn.
 */
import { expect, test } from "bun:test";
import { SLOTS, slotOf } from "../../src/origin/slots";
import { Tracker } from "../../src/origin/tracker";
import { createTrustMemory, isTrusted, Trust } from "../../src/origin/trust";
import { Random } from "../support/random";
import { bulk, type FakeConnection, FakeNetwork, FakeTime, helloAnswer, nodesText } from "./fake-master";

const ADDRESSES = ["10.0.0.1:7001", "10.0.0.2:7002", "10.0.0.3:7003"];
const MAX_AGE_MS = 1000;
/** Slots move in blocks; each has one key. */
const BLOCKS = 12;
const BLOCK_SLOTS = Math.ceil(SLOTS / BLOCKS);
const STEPS = 40_000;

interface Copy {
  readonly version: number;
  readonly epoch: number;
}

/** What a master says to a connection. */
interface Outbox {
  /** In the turn that is under way. */
  readonly said: string[];
  /** Sent, and not read by us. */
  readonly unread: string[];
  stalledUntil: number;
}

interface Fill extends Copy {
  readonly generation: number;
}

/** One key, what the cluster has, and what we have of it. */
class Entry {
  readonly slot: number;
  /** When each version was written. */
  readonly writtenAt: number[] = [0];
  generation = 0;
  copy: Copy | null = null;
  fill: Fill | null = null;

  constructor(
    readonly key: string,
    public owner: number,
  ) {
    this.slot = slotOf(Buffer.from(key), 0, key.length);
  }

  get version(): number {
    return this.writtenAt.length - 1;
  }
}

class Model {
  readonly time = new FakeTime();
  readonly network = new FakeNetwork();
  readonly trust = new Trust(createTrustMemory(this.time.time), MAX_AGE_MS);
  readonly entries = Array.from({ length: BLOCKS }, (_, block) => new Entry(keyIn(block), block % 3));
  readonly tracker = new Tracker(
    { seeds: ADDRESSES, namespace: "bb:", maxAgeMs: MAX_AGE_MS },
    {
      trust: this.trust,
      sink: {
        changed: (key) => this.drop(Buffer.from(key).toString()),
        changedAll: () => {},
        missed: () => {},
      },
      connect: this.network.connect,
      timing: this.time,
      random: () => this.random.next(),
      tell: () => {},
    },
  );
  served = 0;
  /** Served while the cluster had a newer value already. */
  outdated = 0;
  private readonly epochs = [1, 2, 3];
  private readonly tracked = new Set<FakeConnection>();
  private readonly outboxes = new Map<FakeConnection, Outbox>();
  private changedInTurn: { address: string; key: string }[] = [];

  constructor(private readonly random: Random) {}

  step(): void {
    const { random, time } = this;
    time.pass(random.below(10));
    const act = random.below(100);
    const connection: FakeConnection | undefined = random.pick(this.connections);
    if (act < 20) this.beginFill(random.pick(this.entries));
    else if (act < 38) this.endFill(random.pick(this.entries));
    else if (act < 40 && random.below(2) === 0) this.move(random.pick(this.entries));
    else if (act < 56) this.endTurn(random.pick(ADDRESSES));
    else if (connection === undefined) return;
    else if (act < 76) this.work(connection);
    else if (act < 99) this.deliver(connection);
    else if (random.below(6) === 0) this.cut(connection);
    for (const entry of this.entries) this.serve(entry);
  }

  private get connections(): FakeConnection[] {
    return this.network.connections.filter(({ isClosed }) => !isClosed);
  }

  /** In a turn of the master's event loop it answers what this connection asked, and some of its keys are written. */
  private work(connection: FakeConnection): void {
    if (!connection.isOpen) return connection.open();
    const master = ADDRESSES.indexOf(connection.address);
    for (const command of connection.take()) this.say(connection, this.answerTo(command, connection));
    if (this.random.below(3) > 0) return;
    for (const entry of this.entries.filter(({ owner }) => owner === master && this.random.below(3) === 0)) {
      entry.writtenAt.push(this.time.time);
      this.changedInTurn.push({ address: connection.address, key: entry.key });
    }
  }

  /** Only now leaves what was said in the turn, and behind it what has changed. */
  private endTurn(address: string): void {
    const changed = this.changedInTurn.filter((each) => each.address === address);
    this.changedInTurn = this.changedInTurn.filter((each) => each.address !== address);
    for (const connection of this.connections.filter((each) => each.address === address)) {
      const { said, unread } = this.outboxOf(connection);
      if (this.tracked.has(connection))
        for (const { key } of changed) said.push(`>2\r\n$10\r\ninvalidate\r\n*1\r\n${bulk(key)}`);
      unread.push(...said.splice(0));
    }
  }

  private answerTo(command: readonly string[], connection: FakeConnection): string {
    if (command[0] === "HELLO") return helloAnswer("cluster");
    if (command[0] === "EXISTS") return ":0\r\n";
    if (command[0] === "CLUSTER") return bulk(this.nodes(connection.address));
    this.tracked.add(connection);
    return "+OK\r\n";
  }

  private nodes(self: string): string {
    const slots = (master: number) =>
      this.entries.flatMap(({ owner }, block) =>
        owner === master ? [`${block * BLOCK_SLOTS}-${Math.min(SLOTS, (block + 1) * BLOCK_SLOTS) - 1}`] : [],
      );
    return nodesText(
      self,
      ADDRESSES.map((address, master) => ({
        address,
        epoch: this.epochs[master]!,
        slots: slots(master).join(" "),
      })),
    );
  }

  private say(connection: FakeConnection, text: string): void {
    this.outboxOf(connection).said.push(text);
  }

  private outboxOf(connection: FakeConnection): Outbox {
    const outbox = this.outboxes.get(connection) ?? { said: [], unread: [], stalledUntil: 0 };
    this.outboxes.set(connection, outbox);
    return outbox;
  }

  /**
   * Some of what lies there arrives, in its order. Now and then the network stands still for about as long as a copy may be old, and most
   * often where that is worst: between an answer and an invalidation.
   */
  private deliver(connection: FakeConnection): void {
    const outbox = this.outboxOf(connection);
    for (let count = 1 + this.random.below(3); count > 0 && this.time.time >= outbox.stalledUntil; count--) {
      const text = outbox.unread.shift();
      if (text === undefined || connection.isClosed) return;
      connection.send(text);
      const isWorst = !text.startsWith(">") && outbox.unread[0]?.startsWith(">");
      if (this.random.below(isWorst ? 4 : 500) === 0)
        outbox.stalledUntil = this.time.time + MAX_AGE_MS / 2 + this.random.below(MAX_AGE_MS);
    }
  }

  private cut(connection: FakeConnection): void {
    connection.isClosed = true;
    connection.end("reset");
  }

  /** Now and then there and back at once; half of them leave the key behind, which is a change that nobody is told of. */
  private move(entry: Entry): void {
    const home = entry.owner;
    this.moveTo(entry, this.random.below(3));
    if (this.random.below(2) === 0) this.moveTo(entry, home);
  }

  private moveTo(entry: Entry, to: number): void {
    if (to === entry.owner) return;
    entry.owner = to;
    this.epochs[to] = Math.max(...this.epochs) + 1;
    if (this.random.below(2) === 0) entry.writtenAt.push(this.time.time);
  }

  private beginFill(entry: Entry): void {
    const epoch = this.trust.epochOf(entry.slot);
    if (isTrusted(epoch)) entry.fill = { epoch, version: entry.version, generation: entry.generation };
  }

  private endFill(entry: Entry): void {
    const { fill } = entry;
    entry.fill = null;
    if (fill === null || fill.generation !== entry.generation) return;
    if (this.trust.epochOf(entry.slot) === fill.epoch) entry.copy = fill;
  }

  private drop(key: string): void {
    const entry = this.entries.find((each) => each.key === key)!;
    entry.generation++;
    entry.copy = null;
  }

  private serve({ copy, slot, writtenAt }: Entry): void {
    const now = this.time.time;
    if (copy === null || !this.trust.holds(slot, copy.epoch, now)) return;
    this.served++;
    const outdatedAt = writtenAt[copy.version + 1];
    if (outdatedAt === undefined) return;
    this.outdated++;
    if (outdatedAt < now - MAX_AGE_MS)
      throw new Error(`a copy is served that is outdated for ${now - outdatedAt} ms`);
  }
}

/** A key in the middle of a block of slots. */
function keyIn(block: number): string {
  for (let number = 0; ; number++) {
    const key = `bb:${number}`;
    const slot = slotOf(Buffer.from(key), 0, key.length);
    if (Math.floor(slot / BLOCK_SLOTS) === block) return key;
  }
}

for (const seed of [1, 2, 3])
  test(`${STEPS} random steps, seed ${seed}: no copy is served that was outdated for longer than the maximum age`, () => {
    const model = new Model(new Random(seed));
    for (let step = 0; step < STEPS; step++) {
      model.step();
      if (step % 200 === 0) model.tracker.invariants();
    }
    expect(model.served).toBeGreaterThan(STEPS / 10);
    expect(model.outdated).toBeGreaterThan(100);
    expect(model.trust.counts.epochsRaised).toBeGreaterThan(1000);
  });
