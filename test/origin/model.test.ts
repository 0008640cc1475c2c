/**
 * The same random steps on an origin and on the store in memory: the same outcomes, values, types and expiries, and versions that only grow. One wave
 * of steps is sent at once, as a batch is: of those for one key the order has to be kept.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Engine, Found } from "../../src/origin/engine";
import { Outcome } from "../../src/store/shard";
import { NO_TYPE, typeNumbered, type ValueType } from "../../src/store/value-type";
import { Condition } from "../../src/store/write";
import { type Cluster, startCluster } from "../support/cluster";
import { connectOrigin } from "../support/origin";
import { Random } from "../support/random";
import { Collected, SmallStore } from "../support/small-store";

const KEYS = 60;
const VALUE_BYTES_MAX = 64;
const WAVES = 120;
const WAVE_STEPS_MAX = 60;
/** Times to live differ by more than the test takes, so that which one is later does not depend on when they were given. */
const TTL_UNIT_MS = 1_000_000;

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster({ replicas: 0 });
});
afterAll(() => cluster.stop());

/** What can be compared: without the version, and with the expiry in units. */
interface Seen {
  value: string;
  type: ValueType;
  ttl: number;
}

class Model {
  readonly store = new SmallStore({ shardBytes: 4 << 20 });
  /** Highest version that each key has had. */
  private readonly versions = new Map<string, number>();
  private readonly checks: Promise<void>[] = [];

  constructor(
    private readonly origin: Engine,
    private readonly random: Random,
  ) {}

  /** Sends a step to both; what comes back is compared when it comes. */
  step(scriptsOnly: boolean): void {
    const name = `key ${this.random.below(KEYS)}\xff`;
    const key = Buffer.from(name, "latin1");
    switch (this.random.below(scriptsOnly ? 6 : 10)) {
      case 0:
      case 1:
      case 2:
        return this.put(name, key);
      case 3:
        return this.touch(name, key);
      case 4:
        return this.add(name, key);
      case 5:
        return this.append(name, key);
      case 6:
        return this.take(name, key);
      case 7:
        return this.same(this.origin.delete(key), this.store.delete(name));
      default:
        return this.same(this.origin.get(key).then(seen), this.seenInStore(name));
    }
  }

  /** Resolves when everything was compared. */
  async settle(): Promise<void> {
    await Promise.all(this.checks);
    this.checks.length = 0;
  }

  /** Compares all keys, once nothing is in flight, and what needs a version. */
  async compareAll(): Promise<void> {
    for (let i = 0; i < KEYS; i++) {
      const name = `key ${i}\xff`;
      const key = Buffer.from(name, "latin1");
      const found = await this.origin.get(key);
      expect(seen(found)).toEqual(this.seenInStore(name));
      if (found === null) continue;
      if (this.random.below(4) === 0) await this.withVersion(name, key, found.version);
    }
  }

  private async withVersion(name: string, key: Buffer, version: number): Promise<void> {
    const stored = this.store.info(name)!.version;
    expect(await this.origin.delete(key, version + 1)).toBe(this.store.delete(name, stored + 1));
    const payload = Buffer.from("by version");
    for (const off of [1, 0]) {
      const { outcome } = await this.origin.put(key, { payload, ifVersion: version + off });
      expect(outcome).toBe(this.store.put(name, payload, { ifVersion: stored + off }) as typeof outcome);
    }
    if (this.random.below(2) === 0) return;
    const now = (await this.origin.get(key))!.version;
    expect(now).toBeGreaterThan(version);
    expect(await this.origin.delete(key, now)).toBe(this.store.delete(name, this.store.info(name)!.version));
  }

  private put(name: string, key: Buffer): void {
    const { random, store } = this;
    const payload = random.bytes(random.below(VALUE_BYTES_MAX));
    const ttlMs = this.randomTtl();
    const condition = random.pick([
      Condition.NONE,
      Condition.NONE,
      Condition.IF_ABSENT,
      Condition.IF_PRESENT,
    ]);
    const rest = { condition, type: this.randomType(), keepsExpiry: random.below(4) === 0 };
    const returnsPrevious = random.below(3) === 0;
    const before = returnsPrevious ? this.seenInStore(name) : null;
    const outcome = store.put(name, payload, { ...rest, expiresAt: store.now + ttlMs });
    const put = this.origin.put(key, { payload, ttlMs, ...rest, returnsPrevious });
    this.check(put, (result) => {
      expect([result.outcome, seen(result.previous)]).toEqual([outcome as typeof result.outcome, before]);
      this.note(name, outcome, result.version);
    });
  }

  private touch(name: string, key: Buffer): void {
    const ttlMs = this.randomTtl();
    const touchIf = this.random.pick([0, 0, 1, 2, 4, 8, 2 | 4, 2 | 8]);
    const outcome = this.store.touch(name, this.store.now + ttlMs, touchIf);
    this.same(this.origin.touch(key, ttlMs, touchIf), outcome);
  }

  private add(name: string, key: Buffer): void {
    const { random, store } = this;
    if (random.below(2) === 0) {
      // Most values are random bytes: here is a number.
      const number = BigInt.asIntN(
        64,
        BigInt(`0x${random.bytes(8).toString("hex")}`) >> BigInt(random.below(64)),
      );
      const payload = Buffer.from(String(number));
      store.put(name, payload);
      this.check(this.origin.put(key, { payload }), ({ version }) => this.note(name, Outcome.DONE, version));
    }
    const delta = BigInt.asIntN(64, BigInt(random.below(2 ** 40) - 2 ** 39) << BigInt(random.below(25)));
    const ttlMs = this.randomTtl();
    const sum = store.add(name, delta, store.now + ttlMs);
    this.check(this.origin.add(key, delta, ttlMs), ({ outcome, number, version }) => {
      expect(outcome === Outcome.DONE ? number : null).toBe(sum);
      this.note(name, outcome, version);
    });
  }

  private append(name: string, key: Buffer): void {
    const more = this.random.bytes(this.random.below(VALUE_BYTES_MAX));
    const outcome = this.store.append(name, more, VALUE_BYTES_MAX);
    const length = outcome === Outcome.DONE ? this.store.info(name)!.valueLength : 0;
    this.check(this.origin.append(key, more, VALUE_BYTES_MAX), (result) => {
      expect([result.outcome, result.length]).toEqual([outcome as typeof result.outcome, length]);
      this.note(name, outcome, result.version);
    });
  }

  private take(name: string, key: Buffer): void {
    const before = this.seenInStore(name);
    if (this.random.below(2) === 0) {
      this.store.getAndDelete(name);
      return this.same(this.origin.getAndDelete(key).then(seen), before);
    }
    const ttlMs = this.randomTtl();
    this.store.getAndTouch(name, this.store.now + ttlMs);
    this.same(this.origin.getAndTouch(key, ttlMs).then(seen), before);
  }

  private same<T>(answering: Promise<T>, wanted: T): void {
    this.check(answering, (answer) => expect(answer).toEqual(wanted));
  }

  private check<T>(answering: Promise<T>, look: (answer: T) => void): void {
    this.checks.push(answering.then(look));
  }

  /** Answers to one key come in the order of its requests. */
  private note(name: string, outcome: Outcome, version: number): void {
    if (outcome !== Outcome.DONE) return expect(version).toBe(0);
    expect(version).toBeGreaterThan(this.versions.get(name) ?? 0);
    this.versions.set(name, version);
  }

  private seenInStore(name: string): Seen | null {
    const sink: Collected | null = this.store.getWithMeta(name);
    if (sink === null) return null;
    return {
      value: sink.bytes.toString("latin1"),
      type: sink.type,
      ttl: unitsOf(sink.expiresAt - this.store.now),
    };
  }

  private randomTtl(): number {
    const dice = this.random.below(8);
    if (dice < 3) return Infinity;
    return dice === 3 ? -this.random.below(3) : TTL_UNIT_MS * (1 + this.random.below(1e6));
  }

  private randomType(): ValueType {
    const dice = this.random.below(4);
    if (dice < 2) return NO_TYPE;
    return dice === 2
      ? typeNumbered(this.random.below(256))
      : { number: 0, text: "t".repeat(1 + this.random.below(255)) };
  }
}

function seen(found: Found | null): Seen | null {
  if (found === null) return null;
  expect(found.isForeign).toBe(false);
  return { value: found.payload.toString("latin1"), type: found.type, ttl: unitsOf(found.ttlMs) };
}

function unitsOf(ttlMs: number): number {
  return ttlMs === Infinity ? Infinity : Math.ceil((ttlMs - 1000) / TTL_UNIT_MS);
}

for (const seed of [1, 2, 3])
  test(`seed ${seed}`, async () => {
    await cluster.flushAll();
    const { origin } = await connectOrigin(cluster.url, { timeoutMs: 10_000 });
    const random = new Random(seed);
    const model = new Model(origin, random);
    for (let wave = 0; wave < WAVES; wave++) {
      // Scripts that are gone are loaded again, and nobody notices: they all have to be, so none goes before another.
      const flushes = wave % 10 === 5;
      if (flushes) await cluster.flushScripts();
      for (let step = random.below(WAVE_STEPS_MAX); step >= 0; step--) model.step(flushes);
      origin.invariants();
      await model.settle();
      if (wave % 10 === 0) await model.compareAll();
    }
    expect(Object.values(origin.state().errors).every((count) => count === 0)).toBe(true);
    await origin.close();
    origin.invariants();
  });
