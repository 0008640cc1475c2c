/** A store in this process for benchmarks, with keys laid out beforehand, so that what is measured is the store. */
import type { Shard } from "../../src/store/shard";
import type { ValueSink } from "../../src/store/write";
import { createStore, Store, type StoreMemory } from "../../src/store/store";
import { Write } from "../../src/store/write";

const KEY_STRIDE = 16;
export const KEY_BYTES = 13;

/** Keys `key:000000000` and on, 13 bytes each. */
export class Keys {
  readonly bytes: Buffer;
  readonly view: DataView;
  constructor(readonly count: number) {
    this.bytes = Buffer.alloc(count * KEY_STRIDE);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
    for (let i = 0; i < count; i++)
      this.bytes.write(`key:${String(i).padStart(9, "0")}`, i * KEY_STRIDE, "latin1");
  }
}

class Sink implements ValueSink {
  bytes = Buffer.alloc(1 << 20);
  begin(): number {
    return 0;
  }
}

export class PreparedStore {
  readonly store: Store;
  private readonly key;
  private readonly value = Buffer.alloc(1 << 20, 0x76);
  private readonly write = new Write();
  private readonly sink = new Sink();

  constructor(
    readonly memory: StoreMemory,
    readonly keys: Keys,
    owner = 1,
  ) {
    this.store = new Store(memory, owner);
    this.key = this.store.newKey();
  }

  static create(keys: Keys, shards: number, shardBytes: number): PreparedStore {
    return new PreparedStore(createStore({ shards, shardBytes, seed: [1, 2] }, 0), keys);
  }

  get(index: number, now = 1): boolean {
    return this.aim(index).get(this.key, this.sink, now);
  }

  put(index: number, valueBytes: number, expiresAt = Infinity, now = 1): void {
    const write = this.write.set(this.value, 0, valueBytes);
    write.expiresAt = expiresAt;
    this.aim(index).put(this.key, write, now);
  }

  private aim(index: number): Shard {
    const at = index * KEY_STRIDE;
    this.key.aim(this.keys.bytes, this.keys.view, at, at + KEY_BYTES);
    return this.store.shardFor(this.key);
  }
}
