/**
 * Several clients with near caches and one server, in random order through everything that the contract allows: for every
 * read the guarantee is checked, and that no client ever reads something older than it had read or written.
 *
 *   NEAR_RUNS=5000 NEAR_SEED=1 bun test --timeout 3600000 test/client/near-model.test.ts     more, from another seed on
 */
import { expect, test } from "bun:test";
import type { Cache } from "../../src/client/client";
import { Random } from "../support/random";
import { connected } from "./fake-connection";
import { FakeClock } from "./fake-runtime";
import { type Link, ModelServer } from "./model-server";

const RUNS = Number(process.env.NEAR_RUNS ?? 25);
const SEED = Number(process.env.NEAR_SEED ?? 1);
const STEPS = 800;
const CLIENTS = 3;
const MAX_AGE_MS = 100;
const KEYS = ["a:", "b:"].flatMap((prefix) => [0, 1, 2, 3, 4, 5].map((i) => prefix + i));
const PREFIXES = ["", "a:", "b:", "b:1"];
/** Eight copies. */
const MAX_BYTES = 2000;

class Totals {
  reads = 0;
  hits = 0;
  revalidations = 0;
  invalidations = 0;
  evictions = 0;
  computed = 0;
}

/** One client, and what it has seen. */
class Member {
  /** What is wrong. */
  readonly failures: string[] = [];
  readonly outcomes: Promise<void>[] = [];
  link: Link;
  /** By key: the order of the latest value that was read or written. */
  private readonly seen = new Map<string, number>();

  constructor(
    readonly client: Awaited<ReturnType<typeof connected>>,
    private readonly server: ModelServer,
    private readonly clock: FakeClock,
  ) {
    this.link = server.connect(client.sockets.last);
  }

  get cache(): Cache {
    return this.client.cache;
  }

  /** Reads everything that the near cache has at this moment. */
  peekAll(totals: Totals): void {
    const now = this.clock.now();
    for (const key of KEYS) {
      const value = this.cache.near.peek(key);
      totals.reads++;
      if (value === undefined) continue;
      totals.hits++;
      this.judge(key, value, now, this.seenOf(key));
    }
  }

  get(key: string, options: object): void {
    const calledAt = this.clock.now();
    const seen = this.seenOf(key);
    this.follow(this.cache.get(key, options).then((value) => this.judge(key, value, calledAt, seen)));
  }

  put(key: string, value: string, options: object): void {
    this.follow(this.cache.put(key, value, options).then(() => this.note(key, value)));
  }

  /** Its errors are those that clients may have. */
  follow(outcome: Promise<unknown>): void {
    this.outcomes.push(
      outcome.then(
        () => {},
        () => {},
      ),
    );
  }

  /** What was read by a call of that time must have been so at some moment not earlier than maxAgeMs before. */
  private judge(key: string, value: string | null, calledAt: number, seen: number): void {
    const now = this.clock.now();
    if (!this.server.wasCurrent(key, value, calledAt - MAX_AGE_MS, now))
      this.failures.push(`${key} was read as ${value}, from ${calledAt} to ${now}`);
    if (value === null) return;
    if (this.server.orderOf(value) < seen)
      this.failures.push(`${key} was read as ${value} after something newer`);
    this.note(key, value);
  }

  private note(key: string, value: string): void {
    this.seen.set(key, Math.max(this.seenOf(key), this.server.orderOf(value)));
  }

  private seenOf(key: string): number {
    return this.seen.get(key) ?? -1;
  }
}

/** Everything that may happen, each as often as it stands here. */
class Walk {
  readonly members: Member[] = [];
  readonly server: ModelServer;
  private readonly clock = new FakeClock();
  private readonly random: Random;
  /** How rare the unusual is. */
  private readonly calm: number;
  /** Computations that have not come to their end. */
  private works: (() => void)[] = [];
  private values = 0;
  private computed = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
    this.calm = 1 + this.random.below(20);
    this.server = new ModelServer(this.clock, this.random);
  }

  async begin(): Promise<void> {
    const options = {
      timeoutMs: 300,
      heartbeatMs: 400,
      reconnectMinMs: 20,
      reconnectMaxMs: 100,
      connectTimeoutMs: 200,
      near: { maxBytes: MAX_BYTES, maxAgeMs: MAX_AGE_MS },
    };
    while (this.members.length < CLIENTS)
      this.members.push(new Member(await connected(options, this.clock), this.server, this.clock));
  }

  /** One step, and everything that follows from it by itself. */
  async step(totals: Totals): Promise<void> {
    await this.random.pick(this.random.below(this.calm) > 0 ? this.usual : this.unusual)();
    for (const member of this.members) {
      await member.client.settleDown();
      member.peekAll(totals);
      expect(member.failures).toEqual([]);
    }
  }

  /** Everything that waits comes to its end, though nobody answers any more. */
  async end(totals: Totals): Promise<void> {
    for (const work of this.works) work();
    totals.computed += this.computed;
    for (const { client, cache } of this.members) {
      const { revalidations, invalidations, evictions } = cache.near.stats();
      totals.revalidations += revalidations;
      totals.invalidations += invalidations;
      totals.evictions += evictions;
      void cache.close();
      await client.settleDown();
    }
    await this.clock.advance(100_000);
    for (const { outcomes, client } of this.members) {
      await Promise.all(outcomes);
      await client.settleDown();
    }
  }

  /** What goes on when all is well. */
  private readonly usual: (() => unknown)[] = [
    ...this.times(6, () => this.member().get(this.key(), this.patience())),
    ...this.times(2, () => this.readAll(this.member())),
    () => this.compute(),
    ...this.times(2, () => this.execute(this.aLink(), 1 + this.random.below(6))),
    ...this.times(2, () => this.send(this.aLink(), 1 + this.random.below(6))),
    ...this.times(6, () => this.server.answerAll(this.member().link)),
    ...this.times(4, () => this.clock.advance(this.random.below(20))),
    ...this.times(2, () => this.accept(this.member())),
    () => this.works.splice(this.random.below(this.works.length), 1)[0]?.(),
  ];

  /** What changes the cache, or comes between. */
  private readonly unusual: (() => unknown)[] = [
    ...this.times(2, () =>
      this.member().put(this.key(), this.value(), { ...this.ttl(), ...this.patience() }),
    ),
    () => this.write((cache) => cache.delete(this.key())),
    () => this.write((cache) => cache.touch(this.key(), this.ttl())),
    () => this.random.below(4) === 0 && this.write((cache) => cache.clear(this.prefix())),
    ...this.times(6, () => this.server.write(this.key(), this.value(), this.ttl().ttlMs ?? null)),
    () => this.server.remove(this.key()),
    () => this.random.below(4) === 0 && this.server.clear(this.prefix()),
    () => this.server.evict(this.key()),
    () => this.random.below(3) === 0 && this.server.overflow(this.aLink()),
    () => this.server.giveUpWatch(this.aLink()),
    () => this.server.expireLease(),
    () => this.clock.advance(this.random.below(200)),
    () => this.random.below(3) === 0 && this.clock.leap(this.random.below(500)),
    () => this.random.below(3) === 0 && this.breakOff(this.member()),
    () => this.random.below(6) === 0 && (this.member().link.isMute = true),
    () => this.noticeDead(),
  ];

  private times(count: number, step: () => unknown): (() => unknown)[] {
    return Array.from({ length: count }, () => step);
  }

  private member(): Member {
    return this.random.pick(this.members);
  }

  private key(): string {
    return this.random.pick(KEYS);
  }

  private prefix(): string {
    return this.random.pick(PREFIXES);
  }

  private value(): string {
    return `value ${this.values++}`;
  }

  private ttl(): { ttlMs?: number } {
    return this.random.below(2) === 0 ? {} : { ttlMs: 1 + this.random.below(300) };
  }

  private patience(): { timeoutMs?: number } {
    return this.random.below(4) > 0 ? {} : { timeoutMs: 1 + this.random.below(150) };
  }

  private aLink(): Link {
    return this.random.pick([...this.server.links, this.member().link]);
  }

  private write(write: (cache: Cache) => Promise<unknown>): void {
    const member = this.member();
    member.follow(write(member.cache));
  }

  private compute(): void {
    const member = this.member();
    const compute = () =>
      new Promise<string>((resolve, reject) => {
        const fails = this.random.below(5) === 0;
        this.computed++;
        this.works.push(() => (fails ? reject(new Error("no value")) : resolve(this.value())));
      });
    const options = { leaseMs: 100 + this.random.below(200), earlyMs: this.random.below(100), ...this.ttl() };
    member.follow(member.cache.getOrCompute(this.key(), compute, options));
  }

  /** As a page that opens. */
  private readAll(member: Member): void {
    for (const key of KEYS) member.get(key, {});
    this.server.answerAll(member.link);
  }

  private execute(link: Link, count: number): void {
    while (count-- > 0 && this.server.execute(link));
  }

  private send(link: Link, count: number): void {
    while (count-- > 0 && this.server.send(link));
  }

  private breakOff({ client, link }: Member): void {
    if (client.sockets.last.state === "open") link.socket.end();
  }

  private accept(member: Member): void {
    const { last } = member.client.sockets;
    if (last.state !== "connecting") return;
    last.open();
    member.link = this.server.connect(last);
  }

  /** The server hears that a connection is gone; until then it executes what had been sent on it. */
  private noticeDead(): void {
    const dead = [...this.server.links].filter(({ socket }) => socket.state === "closed");
    if (dead.length > 0) this.server.disconnect(this.random.pick(dead));
  }
}

test("whatever happens, nothing is served that is older than maxAgeMs", async () => {
  const totals = new Totals();
  for (let seed = SEED; seed < SEED + RUNS; seed++) {
    const walk = new Walk(seed);
    try {
      await walk.begin();
      for (let step = 0; step < STEPS; step++) await walk.step(totals);
      await walk.end(totals);
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  // It went everywhere.
  expect(totals.reads).toBeGreaterThan(100_000);
  expect(totals.hits).toBeGreaterThan(10_000);
  for (const count of ["revalidations", "invalidations", "evictions", "computed"] as const)
    expect(totals[count]).toBeGreaterThan(RUNS);
}, 3_600_000);
