/**
 * Owners that are stopped at each of their stores, one after the other, and shards that are taken over after that. Everything but
 * the entry that was being written has to be there, whole, and nothing that was there before.
 *
 *   REPAIR_SEEDS=40 bun test test/store/repair.test.ts      takes longer and stops at more places
 */
import { expect, test } from "bun:test";
import { HashedKey } from "../../src/store/hash";
import { Change } from "../../src/store/intent";
import { C, layoutOf } from "../../src/store/layout";
import { openBlock } from "../../src/store/memory";
import { partsOf } from "../../src/store/parts";
import { Shard } from "../../src/store/shard";
import { validateShard } from "../../src/store/validate";
import { WALK_START } from "../../src/store/walk";
import { NO_TYPE, typeNumbered, type ValueType } from "../../src/store/value-type";
import { ANY_VERSION, TouchIf, Write } from "../../src/store/write";
import { Random } from "../support/random";
import { Collected, SmallStore } from "../support/small-store";
import { StoppingBlock } from "../support/stopping-block";

const SHARD_BYTES = 48 << 10;
const PAGE_BYTES = 512;
const OWNER = 3;
const STOPS_MAX = 40;
const SEEDS = Number(process.env["REPAIR_SEEDS"] ?? 2);
const EVERYTHING = { prefix: Buffer.alloc(0), now: 0, pagesMax: Infinity };

interface Entry {
  value: string;
  version: number;
  expiresAt: number;
  type: ValueType;
}

type Contents = Map<string, Entry>;

/** What a test does to a shard. */
interface Step {
  what: string;
  /** The key that is written; whatever becomes of it, nobody was told. Null: every entry may be gone. */
  key: string | null;
  run: (shard: Shard, now: number) => void;
}

function textType(length: number): ValueType {
  return { number: 0, text: "t".repeat(length) };
}

/** One shard of a store that random steps have filled, which can be set back to what it was. */
class Scene {
  readonly now: number;
  private readonly store: SmallStore;
  private readonly memory: Buffer;
  private readonly before: Buffer;
  private readonly random: Random;

  constructor(seed: number, entries: number, valueBytesMax: number) {
    this.random = new Random(seed);
    this.store = new SmallStore({ shardBytes: SHARD_BYTES, pageBytes: PAGE_BYTES });
    const { store, random } = this;
    for (let i = 0; i < entries; i++) {
      const value = Buffer.alloc(random.below(valueBytesMax), random.below(256));
      const expires = random.below(4) === 0 ? { expiresAt: store.now + random.below(2000) } : {};
      const type = random.below(4) === 0 ? textType(random.below(30)) : NO_TYPE;
      store.put(`key ${random.below(entries)}`, value, { ...expires, type });
      const dice = random.below(12);
      if (dice === 0) store.delete(`key ${random.below(entries)}`);
      else if (dice === 1) store.append(`key ${random.below(entries)}`, Buffer.from("more"));
      else if (dice < 6) store.get(`key ${random.below(entries)}`);
    }
    this.now = store.now + 100;
    store.validate();
    this.memory = this.open().bytes;
    this.before = Buffer.from(this.memory);
  }

  open() {
    return openBlock(this.store.memory.blocks[0]!, layoutOf(SHARD_BYTES, PAGE_BYTES));
  }

  shard(block = this.open()): Shard {
    return new Shard(block, this.store.memory.seed, OWNER);
  }

  reset(): void {
    this.before.copy(this.memory);
  }

  key(text: string): HashedKey {
    const bytes = Buffer.from(text);
    const key = new HashedKey(this.store.memory.seed);
    key.aim(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
    return key;
  }

  contents(): Contents {
    const shard = this.shard();
    const found: Contents = new Map();
    const keys: string[] = [];
    shard.scan(WALK_START, EVERYTHING, (key) => keys.push(key.toString()) > 0);
    for (const key of keys) {
      const sink = new Collected();
      if (!shard.get(this.key(key), sink, 0)) throw new Error(`${key} is scanned and cannot be read`);
      found.set(key, {
        value: sink.bytes.toString("latin1"),
        version: sink.version,
        expiresAt: sink.expiresAt,
        type: sink.type,
      });
    }
    return found;
  }

  /** Keys to write to: what is there, and one that is not. */
  someKey(): string {
    return this.random.below(3) === 0
      ? `new ${this.random.below(1000)}`
      : this.random.pick([...this.contents().keys()]);
  }

  steps(valueBytesMax: number): Step[] {
    const { random } = this;
    const put = (what: string, length: number, options: Partial<Write> = {}): Step => {
      const key = this.someKey();
      return {
        what,
        key,
        run: (shard, now) => {
          const write = new Write().set(Buffer.alloc(length, 0x70), 0, length);
          shard.put(this.key(key), Object.assign(write, options), now);
        },
      };
    };
    const named = (what: string, run: (key: HashedKey, shard: Shard, now: number) => void): Step => {
      const key = this.someKey();
      return { what, key, run: (shard, now) => run(this.key(key), shard, now) };
    };
    const more = Buffer.alloc(30, 0x2b);
    return [
      put("puts a small value", random.below(30)),
      put("puts a value", random.below(valueBytesMax)),
      put("puts a value of several pages", PAGE_BYTES + random.below(3 * PAGE_BYTES)),
      put("puts a value that expires", random.below(valueBytesMax), { expiresAt: this.now + 50 }),
      put("puts a small value with a type", random.below(20), { type: textType(random.below(20)) }),
      put("puts a value with a number for a type", random.below(valueBytesMax), { type: typeNumbered(7) }),
      put("puts a value with a long type", random.below(valueBytesMax), { type: textType(255) }),
      put("puts a value, takes the one before, and keeps its expiry", random.below(valueBytesMax), {
        keepsExpiry: true,
        expiresAt: this.now + 50,
        previous: new Collected(),
      }),
      named("deletes", (key, shard, now) => void shard.delete(key, ANY_VERSION, now)),
      named("touches", (key, shard, now) => void shard.touch(key, now + 500, now)),
      named(
        "touches what would end later",
        (key, shard, now) => void shard.touch(key, now + 500, now, TouchIf.EARLIER),
      ),
      named("touches into the past", (key, shard, now) => void shard.touch(key, now - 1, now)),
      named("gets and deletes", (key, shard, now) => void shard.getAndDelete(key, new Collected(), now)),
      named(
        "gets and touches",
        (key, shard, now) => void shard.getAndTouch(key, new Collected(), now + 500, now),
      ),
      named(
        "gets and touches into the past",
        (key, shard, now) => void shard.getAndTouch(key, new Collected(), now - 1, now),
      ),
      named("adds", (key, shard, now) => void shard.add(key, 7n, Infinity, now)),
      named("appends", (key, shard, now) => {
        for (let times = 0; times < 2; times++)
          shard.append(key, new Write().set(more, 0, more.length), SHARD_BYTES / 4, now);
      }),
      { what: "sweeps", key: "", run: (shard, now) => void shard.sweepStep(now) },
      { what: "clears all", key: null, run: (shard, now) => void shard.clear(now) },
      {
        what: "clears a prefix",
        key: null,
        run: (shard, now) =>
          void shard.clearPrefix(WALK_START, { prefix: Buffer.from("key 1"), now, pagesMax: 20 }, () => {}),
      },
    ];
  }
}

/** What may be in a shard after a step that stopped somewhere. */
function judge(step: Step, before: Contents, complete: Contents, after: Contents): void {
  for (const [key, entry] of after) {
    const allowed = [before.get(key), complete.get(key)].filter((known) => known !== undefined);
    // Values may grow in two steps; what is between them is whole, too.
    const isGrowing = step.what === "appends" && key === step.key;
    if (!isGrowing) expect(allowed, `${step.what}: ${key}`).toContainEqual(entry);
  }
  for (const key of complete.keys())
    if (before.has(key) && key !== step.key)
      expect(after.has(key), `${step.what}: ${key} is gone`).toBe(true);
}

/** Every store is a place to stop at, or some of them where there are very many. */
function stopsOf(stores: number, random: Random): number[] {
  if (stores <= STOPS_MAX) return Array.from({ length: stores }, (_, stop) => stop);
  return Array.from({ length: STOPS_MAX }, () => random.below(stores));
}

/** Takes the shard over, from an owner that may be stopped while it does so, too. */
function takeOver(scene: Scene, stopAt: number): void {
  const stopping = new StoppingBlock(scene.open());
  const shard = scene.shard(stopping.block);
  stopping.run(stopAt, () => void shard.attach(0));
  const recovered = scene.shard().attach(0);
  expect(recovered.problem).toBeNull();
}

const SCENES = [
  { name: "half full", entries: 150, valueBytesMax: 150 },
  { name: "full of small entries", entries: 1500, valueBytesMax: 60 },
  { name: "full of entries of several pages", entries: 120, valueBytesMax: 1600 },
  { name: "nearly empty", entries: 4, valueBytesMax: 100 },
];

for (const { name, entries, valueBytesMax } of SCENES)
  test(`stopped at any store, in a shard that is ${name}: at most what was being written is lost`, () => {
    const changes = new Set<Change>();
    for (let seed = 1; seed <= SEEDS; seed++) {
      const scene = new Scene(seed, entries, valueBytesMax);
      const random = new Random(seed);
      const before = scene.contents();
      for (const step of scene.steps(valueBytesMax)) {
        scene.reset();
        const whole = new StoppingBlock(scene.open());
        whole.run(Infinity, () => step.run(scene.shard(whole.block), scene.now));
        const { stores } = whole;
        const complete = scene.contents();
        for (const stop of stopsOf(stores, random)) {
          scene.reset();
          const stopping = new StoppingBlock(scene.open());
          expect(stopping.run(stop, () => step.run(scene.shard(stopping.block), scene.now))).toBe(true);
          const { intent, block } = partsOf(scene.open());
          changes.add(intent.change);
          const version = block.doubles[C.VERSION]!;
          // Some of those that take it over are stopped, some are not.
          takeOver(scene, random.below(2) === 0 ? Infinity : random.below(4 * entries));
          judge(step, before, complete, scene.contents());
          expect(block.doubles[C.VERSION]).toBeGreaterThanOrEqual(version);
          if (scene.contents().size > 0) scene.shard().sweepStep(0);
          validateShard(partsOf(scene.open()), scene.key(""));
        }
      }
    }
    const expected = name === "full of entries of several pages" ? Object.values(Change) : [Change.APPEND];
    for (const change of expected) expect(changes).toContain(change);
  });
