/**
 * The store against a plain Map: random steps at capacities so small that pages, growth, cleaning and eviction happen
 * all the time, the whole structure validated after each. What the store has must be what the Map has;
 * what it lost it may only have lost by evicting, and only while live entries filled the promised share.
 */
import { describe, expect, test } from "bun:test";
import { Outcome } from "../../src/store/shard";
import { NO_TYPE, typeNumbered, type ValueType } from "../../src/store/value-type";
import { Condition, TouchIf } from "../../src/store/write";
import { Random } from "../support/random";
import { Collected, type MemoryKind, SmallStore } from "../support/small-store";

interface ModelEntry {
  value: Buffer;
  expiresAt: number;
  version: number;
  type: ValueType;
}

interface World {
  name: string;
  shardBytes: number;
  pageBytes: number;
  keys: number;
  keyBytesMax: number;
  valueBytesMax: number;
  steps: number;
  /** Whether it is so full that entries are evicted and moved. */
  fills: boolean;
}

const WORLDS: World[] = [
  {
    name: "few small entries",
    shardBytes: 64 << 10,
    pageBytes: 512,
    keys: 200,
    keyBytesMax: 20,
    valueBytesMax: 60,
    steps: 4000,
    fills: false,
  },
  {
    name: "a full shard of small entries",
    shardBytes: 64 << 10,
    pageBytes: 512,
    keys: 4000,
    keyBytesMax: 20,
    valueBytesMax: 60,
    steps: 5000,
    fills: true,
  },
  {
    name: "tiny entries: the table grows most",
    shardBytes: 128 << 10,
    pageBytes: 512,
    keys: 20_000,
    keyBytesMax: 6,
    valueBytesMax: 1,
    steps: 2000,
    fills: true,
  },
  {
    name: "values over many pages",
    shardBytes: 256 << 10,
    pageBytes: 512,
    keys: 300,
    keyBytesMax: 40,
    valueBytesMax: 12_000,
    steps: 4000,
    fills: true,
  },
  {
    name: "keys longer than a page",
    shardBytes: 256 << 10,
    pageBytes: 512,
    keys: 400,
    keyBytesMax: 1500,
    valueBytesMax: 3000,
    steps: 4000,
    fills: true,
  },
  {
    name: "one page is nearly a value",
    shardBytes: 1 << 20,
    pageBytes: 4096,
    keys: 2000,
    keyBytesMax: 30,
    valueBytesMax: 4200,
    steps: 4000,
    fills: true,
  },
];

class Model {
  readonly entries = new Map<string, ModelEntry>();
  readonly store: SmallStore;
  private readonly keys: string[];

  constructor(
    private readonly random: Random,
    private readonly world: World,
    kind: MemoryKind,
  ) {
    this.store = new SmallStore({ shardBytes: world.shardBytes, pageBytes: world.pageBytes, kind });
    this.keys = Array.from({ length: world.keys }, (_, i) => {
      const length = 1 + random.below(world.keyBytesMax);
      return `${i}:`.padEnd(length, String.fromCharCode(97 + (i % 26)));
    });
  }

  /** Puts until the shard evicts. */
  fill(): void {
    while (this.store.stats().evictions === 0) {
      const key = this.random.pick(this.keys);
      this.put(key, this.live(key));
    }
    this.forgetEvicted(0);
  }

  step(): void {
    const { random, store } = this;
    const key = random.pick(this.keys);
    const before = this.live(key);
    const evictionsBefore = store.stats().evictions;
    switch (random.below(20)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
      case 5:
      case 6:
        this.put(key, before);
        break;
      case 7:
        this.delete(key, before);
        break;
      case 8:
        if (random.below(2) === 0) {
          expectBytes(store.getAndDelete(key), before?.value ?? null);
          this.entries.delete(key);
        } else {
          const expiresAt = this.randomExpiry();
          expectBytes(store.getAndTouch(key, expiresAt), before?.value ?? null);
          if (before) before.expiresAt = expiresAt;
        }
        break;
      case 9: {
        const expiresAt = this.randomExpiry();
        const touchIf = random.pick([0, 0, 0, 1, 2, 4, 8, 2 | 4, 2 | 8]);
        const allowed = before && mayTouch(before.expiresAt, expiresAt, touchIf);
        const wanted = !before ? Outcome.MISS : allowed ? Outcome.DONE : Outcome.REFUSED;
        expect(store.touch(key, expiresAt, touchIf)).toBe(wanted);
        if (allowed) before.expiresAt = expiresAt;
        break;
      }
      case 10:
        this.add(key, before);
        break;
      case 11:
        // More than once, so that the room that the first one left is used.
        for (let times = 1 + random.below(4); times > 0; times--) this.append(key, this.live(key));
        break;
      case 12: {
        const info = store.info(key);
        expect(info).toEqual(
          before
            ? {
                version: before.version,
                expiresAt: before.expiresAt,
                valueLength: before.value.length,
                type: before.type,
              }
            : null,
        );
        break;
      }
      case 13:
        store.now += random.below(300);
        break;
      case 14:
        if (random.below(4) === 0) store.sweep();
        break;
      case 15:
        if (random.below(40) === 0) this.scan();
        break;
      case 16:
        if (random.below(200) === 0) this.clear();
        break;
      default: {
        const got = store.getWithMeta(key);
        expectBytes(got?.bytes ?? null, before?.value ?? null);
        expect(got?.type).toEqual(before?.type as ValueType);
      }
    }
    this.forgetEvicted(evictionsBefore);
  }

  private put(key: string, before: ModelEntry | undefined): void {
    const { random } = this;
    const value = random.bytes(random.below(this.world.valueBytesMax + 1));
    const expiresAt = this.randomExpiry();
    const condition = random.pick([
      Condition.NONE,
      Condition.NONE,
      Condition.IF_ABSENT,
      Condition.IF_PRESENT,
    ]);
    const ifVersion = random.below(8) === 0 ? (before?.version ?? 5) + random.below(2) : 0;
    const allowed =
      !(condition === Condition.IF_ABSENT && before) &&
      !(condition === Condition.IF_PRESENT && !before) &&
      (ifVersion === 0 || before?.version === ifVersion);
    const type = this.randomType();
    const keepsExpiry = random.below(6) === 0;
    const previous = random.below(3) === 0 ? new Collected() : null;
    const options = { expiresAt, condition, ifVersion, type, keepsExpiry, ...(previous && { previous }) };
    expect(this.store.put(key, value, options)).toBe(allowed ? Outcome.DONE : Outcome.REFUSED);
    if (previous !== null) expectBytes(previous.bytes, before?.value ?? Buffer.alloc(0));
    if (allowed) this.set(key, value, keepsExpiry && before ? before.expiresAt : expiresAt, type);
  }

  private append(key: string, before: ModelEntry | undefined): void {
    const more = this.random.bytes(this.random.below(this.world.valueBytesMax) >> 2);
    const fits = !before || before.value.length + more.length <= this.world.shardBytes / 4;
    expect(this.store.append(key, more, this.world.shardBytes / 4)).toBe(
      !before ? Outcome.MISS : fits ? Outcome.DONE : Outcome.REFUSED,
    );
    if (before && fits) this.set(key, Buffer.concat([before.value, more]), before.expiresAt, before.type);
  }

  private delete(key: string, before: ModelEntry | undefined): void {
    const ifVersion = this.random.below(4) === 0 ? (before?.version ?? 5) + this.random.below(2) : 0;
    const outcome = this.store.delete(key, ifVersion);
    if (!before) expect(outcome).toBe(Outcome.MISS);
    else if (ifVersion !== 0 && ifVersion !== before.version) expect(outcome).toBe(Outcome.REFUSED);
    else {
      expect(outcome).toBe(Outcome.DONE);
      this.entries.delete(key);
    }
  }

  private add(key: string, before: ModelEntry | undefined): void {
    const delta = BigInt(this.random.below(2000) - 1000) * 10n ** BigInt(this.random.below(16));
    const number = before ? numberOf(before.value) : 0n;
    const expiresAt = this.randomExpiry();
    const sum = this.store.add(key, delta, expiresAt);
    if (number === null || BigInt.asIntN(64, number + delta) !== number + delta) expect(sum).toBeNull();
    else {
      expect(sum).toBe(number + delta);
      const type = before?.type ?? NO_TYPE;
      this.set(key, Buffer.from(String(number + delta)), before ? before.expiresAt : expiresAt, type);
    }
  }

  private scan(): void {
    const prefix = String(this.random.below(30));
    const found = new Set(this.store.scan(prefix, 1 + this.random.below(20)));
    const wanted = [...this.entries.keys()].filter((key) => key.startsWith(prefix) && this.live(key));
    expect([...found].sort()).toEqual(wanted.sort());
  }

  private clear(): void {
    const prefix = this.random.below(4) === 0 ? "" : String(this.random.below(30));
    const wanted = [...this.entries.keys()].filter((key) => key.startsWith(prefix) && this.live(key));
    expect(this.store.clear(prefix)).toBe(wanted.length);
    for (const key of wanted) this.entries.delete(key);
  }

  /** Validates, and accepts losses that evictions explain. */
  private forgetEvicted(evictionsBefore: number): void {
    const [shard] = this.store.validate();
    const evictions = this.store.stats().evictions - evictionsBefore;
    let lost = 0;
    for (const [key, entry] of this.entries) {
      if (shard!.keys.has(key)) continue;
      this.entries.delete(key);
      if (entry.expiresAt > this.store.now) lost++;
    }
    expect(lost).toBe(evictions);
    for (const key of shard!.keys) {
      if (!this.entries.has(key)) throw new Error(`key ${key} is there and should not be`);
    }
  }

  private live(key: string): ModelEntry | undefined {
    const entry = this.entries.get(key);
    return entry && entry.expiresAt > this.store.now ? entry : undefined;
  }

  private set(key: string, value: Buffer, expiresAt: number, type: ValueType): void {
    const stored = this.store.getWithMeta(key);
    const previous = this.entries.get(key)?.version ?? 0;
    if (expiresAt > this.store.now) {
      expectBytes(stored?.bytes ?? null, value);
      expect(stored!.version).toBeGreaterThan(previous);
      expect(stored!.expiresAt).toBe(expiresAt);
      expect(stored!.type).toEqual(type);
    }
    this.entries.set(key, { value, expiresAt, version: stored?.version ?? 0, type });
  }

  private randomType(): ValueType {
    const { random } = this;
    const dice = random.below(8);
    if (dice > 3) return NO_TYPE;
    if (dice > 1) return typeNumbered(random.below(256));
    return { number: 0, text: "t".repeat(1 + random.below(dice === 0 ? 20 : 255)) };
  }

  private randomExpiry(): number {
    return this.random.below(3) === 0 ? this.store.now + this.random.below(2000) : Infinity;
  }
}

function mayTouch(before: number, after: number, touchIf: number): boolean {
  const { NO_EXPIRY, EXPIRES, LATER, EARLIER } = TouchIf;
  return (
    (!(touchIf & NO_EXPIRY) || before === Infinity) &&
    (!(touchIf & EXPIRES) || before < Infinity) &&
    (!(touchIf & LATER) || after > before) &&
    (!(touchIf & EARLIER) || after < before)
  );
}

/** Compares without printing kilobytes when they differ. */
function expectBytes(got: Buffer | null, wanted: Buffer | null): void {
  const same = got === null || wanted === null ? got === wanted : got.equals(wanted);
  if (same) return;
  const at = got && wanted ? got.findIndex((byte, i) => byte !== wanted[i]) : -1;
  throw new Error(
    `got ${got?.length ?? "a miss"} bytes, wanted ${wanted?.length ?? "a miss"}, first difference at ${at}`,
  );
}

function numberOf(value: Buffer): bigint | null {
  const text = value.toString("latin1");
  if (!/^(0|-?[1-9][0-9]*)$/.test(text) || text.length > 20) return null;
  const number = BigInt(text);
  return BigInt.asIntN(64, number) === number ? number : null;
}

describe("the store is a Map that may forget when it is full", () => {
  for (const world of WORLDS) {
    for (const [seed, kind] of [
      [1, "shared"],
      [2, "mapped"],
    ] as const) {
      test(`${world.name}, seed ${seed}, in ${kind} memory`, () => {
        const model = new Model(new Random(seed), world, kind);
        if (world.fills) model.fill();
        for (let step = 0; step < world.steps; step++) model.step();
        const { promiseBreaks, evictions, bytesCopied } = model.store.stats();
        expect(promiseBreaks).toBe(0);
        expect(evictions > 0).toBe(world.fills);
        if (world.fills) expect(bytesCopied).toBeGreaterThan(0);
      });
    }
  }
});
