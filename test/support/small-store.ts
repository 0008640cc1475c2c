/** A store of the given size in this thread, with plain calls for tests: strings and Buffers in, values out. */
import { type EntryInfo, Outcome, type PrefixStep } from "../../src/store/shard";
import type { ValueSink } from "../../src/store/write";
import { createStore, SCAN_START, type ScanPlace, Store, type StoreMemory } from "../../src/store/store";
import { HashedKey } from "../../src/store/hash";
import { layoutOf, W } from "../../src/store/layout";
import { openBlock } from "../../src/store/memory";
import { partsOf, type ShardParts } from "../../src/store/parts";
import { validateShard } from "../../src/store/validate";
import { NO_TYPE, type ValueType } from "../../src/store/value-type";
import { ANY_VERSION, Condition, Write } from "../../src/store/write";
import { mappedBytes } from "./mapped";

export const OWNER = 7;

export class Collected implements ValueSink {
  bytes: Buffer = Buffer.alloc(0);
  version = 0;
  expiresAt = 0;
  type: ValueType = NO_TYPE;
  begin(length: number, version: number, expiresAt: number): number {
    this.bytes = Buffer.alloc(length);
    this.version = version;
    this.expiresAt = expiresAt;
    return 0;
  }
  takeType(type: ValueType): void {
    this.type = type;
  }
}

export interface PutOptions {
  expiresAt?: number;
  condition?: Condition;
  ifVersion?: number;
  type?: ValueType;
  keepsExpiry?: boolean;
  previous?: ValueSink;
}

/** What a block is made of: tests of the store run on both. */
export const MEMORY_KINDS = ["shared", "mapped"] as const;
export type MemoryKind = (typeof MEMORY_KINDS)[number];

export interface SmallStoreOptions {
  shards?: number;
  shardBytes: number;
  pageBytes?: number;
  seed?: number;
  kind?: MemoryKind;
}

export interface ValidShard {
  entries: number;
  keys: Set<string>;
}

export class SmallStore {
  readonly memory: StoreMemory;
  readonly store: Store;
  now = 1_000_000;

  constructor({ shards = 1, shardBytes, pageBytes, seed = 1, kind = "shared" }: SmallStoreOptions) {
    const options = {
      shards,
      shardBytes,
      ...(pageBytes !== undefined && { pageBytes }),
      seed: [seed, 2] as [number, number],
      ...(kind === "mapped" && { mapped: Array.from({ length: shards }, () => mappedBytes(shardBytes)) }),
    };
    this.memory = createStore(options, 0);
    this.store = new Store(this.memory, OWNER);
  }

  keyOf(text: string | Buffer) {
    const bytes = Buffer.from(text as string, "latin1");
    const key = this.store.newKey();
    key.aim(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
    return key;
  }

  get(text: string): Buffer | null {
    return this.getWithMeta(text)?.bytes ?? null;
  }

  getWithMeta(text: string): Collected | null {
    const sink = new Collected();
    const key = this.keyOf(text);
    return this.store.shardFor(key).get(key, sink, this.now) ? sink : null;
  }

  info(text: string): EntryInfo | null {
    const into: EntryInfo = { version: 0, expiresAt: 0, valueLength: 0, type: NO_TYPE };
    const key = this.keyOf(text);
    return this.store.shardFor(key).info(key, into, this.now) ? into : null;
  }

  put(text: string, value: Buffer, options: PutOptions = {}): Outcome {
    const key = this.keyOf(text);
    const write = new Write().set(value, 0, value.length);
    write.expiresAt = options.expiresAt ?? Infinity;
    write.condition = options.condition ?? Condition.NONE;
    write.ifVersion = options.ifVersion ?? ANY_VERSION;
    write.type = options.type ?? NO_TYPE;
    write.keepsExpiry = options.keepsExpiry ?? false;
    write.previous = options.previous ?? null;
    return this.store.shardFor(key).put(key, write, this.now);
  }

  delete(text: string, ifVersion = ANY_VERSION): Outcome {
    const key = this.keyOf(text);
    return this.store.shardFor(key).delete(key, ifVersion, this.now);
  }

  touch(text: string, expiresAt: number, touchIf = 0): Outcome {
    const key = this.keyOf(text);
    return this.store.shardFor(key).touch(key, expiresAt, this.now, touchIf);
  }

  getAndDelete(text: string): Buffer | null {
    const sink = new Collected();
    const key = this.keyOf(text);
    return this.store.shardFor(key).getAndDelete(key, sink, this.now) ? sink.bytes : null;
  }

  getAndTouch(text: string, expiresAt: number): Buffer | null {
    const sink = new Collected();
    const key = this.keyOf(text);
    return this.store.shardFor(key).getAndTouch(key, sink, expiresAt, this.now) ? sink.bytes : null;
  }

  add(text: string, delta: bigint, expiresAt = Infinity): bigint | null {
    const key = this.keyOf(text);
    const shard = this.store.shardFor(key);
    return shard.add(key, delta, expiresAt, this.now) === Outcome.DONE ? shard.lastNumber : null;
  }

  append(text: string, value: Buffer, valueBytesMax = 1 << 20): Outcome {
    const key = this.keyOf(text);
    return this.store
      .shardFor(key)
      .append(key, new Write().set(value, 0, value.length), valueBytesMax, this.now);
  }

  scan(prefix: string, perStep = 1000): string[] {
    const step = this.stepFor(prefix);
    const found: string[] = [];
    for (let place: ScanPlace | null = SCAN_START; place !== null;) {
      let count = 0;
      place = this.store.scan(place, step, (key) => {
        found.push(key.toString("latin1"));
        return ++count < perStep;
      });
    }
    return found;
  }

  clear(prefix: string): number {
    if (prefix === "") return this.store.shards.reduce((sum, shard) => sum + shard.clear(this.now), 0);
    const step = this.stepFor(prefix);
    let removed = 0;
    for (let place: ScanPlace | null = SCAN_START; place !== null;)
      place = this.store.clearPrefix(place, step, (count) => (removed += count));
    return removed;
  }

  private stepFor(prefix: string): PrefixStep {
    return { prefix: Buffer.from(prefix, "latin1"), now: this.now, pagesMax: 3 };
  }

  /** Sweeps all that is due now. */
  sweep(): void {
    for (const shard of this.store.shards) while (shard.sweepStep(this.now));
  }

  stats() {
    return this.store.stats().total;
  }

  /** Throws what does not hold; what the shards hold otherwise, expired entries included. */
  validate(): ValidShard[] {
    return this.memory.blocks.map((_, number) => {
      const parts = this.partsOf(number);
      if (parts.block.words[W.LOCK] !== 0) throw new Error("the lock is held");
      const keys = new Set<string>();
      const entries = validateShard(parts, new HashedKey(this.memory.seed), ({ bytes, start, end }) =>
        keys.add(bytes.toString("latin1", start, end)),
      );
      if (keys.size !== entries) throw new Error(`${entries} entries have ${keys.size} keys`);
      return { entries, keys };
    });
  }

  /** Another thread's view of a shard, so to speak. */
  partsOf(shard: number): ShardParts {
    const layout = layoutOf(this.memory.shardBytes, this.memory.pageBytes);
    return partsOf(openBlock(this.memory.blocks[shard]!, layout));
  }
}
