/** A thread of the thread tests: works on the shards it is handed, reports what it saw, ends when told. */
import { NOT_READ } from "../../src/store/ahead";
import { Change } from "../../src/store/intent";
import { W } from "../../src/store/layout";
import { Outcome } from "../../src/store/shard";
import type { ValueSink } from "../../src/store/write";
import { Store, type StoreMemory } from "../../src/store/store";
import { ANY_VERSION, Write } from "../../src/store/write";
import { keyRows } from "../support/key-rows";
import { Random } from "../support/random";

declare const self: Worker;

export type Task =
  | { kind: "add"; keys: number; rounds: number }
  | { kind: "self-proving"; keys: number; rounds: number; valueBytesMax: number; seed: number }
  | { kind: "hold lock"; shard: number; whileWriting: boolean };

export interface Order {
  memory: StoreMemory;
  owner: number;
  task: Task;
  /** Word 0: threads that are ready; word 1: 1 when all may begin. */
  gate: SharedArrayBuffer;
}

export interface Report {
  hits: number;
  /** Values read on the short way of a batch. */
  shortReads: number;
  torn: string[];
}

class Value implements ValueSink {
  bytes: Buffer = Buffer.alloc(1 << 16);
  length = 0;
  begin(length: number): number {
    this.length = length;
    return 0;
  }
}

/** A value that proves itself: its key, its length, and one byte repeated, so that any mixture of two shows. */
export function proof(key: string, filler: number, length: number): Buffer {
  const head = Buffer.from(`${key}|${length}|`);
  return Buffer.concat([head, Buffer.alloc(length, filler)]);
}

export function isWhole(key: string, value: Buffer): boolean {
  const [named, length] = value.toString("latin1", 0, 64).split("|");
  const start = `${named}|${length}|`.length;
  if (named !== key || value.length !== start + Number(length)) return false;
  return value.subarray(start).every((byte) => byte === value[start]);
}

if (!Bun.isMainThread) self.onmessage = (event: MessageEvent<Order>) => run(event.data);

function run({ memory, owner, task, gate }: Order): void {
  const store = new Store(memory, owner);
  const key = store.newKey();
  const write = new Write();
  const aim = (text: string) => {
    const bytes = Buffer.from(text);
    key.aim(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
    return store.shardFor(key);
  };
  const words = new Int32Array(gate);
  Atomics.add(words, 0, 1);
  Atomics.notify(words, 0);
  Atomics.wait(words, 1, 0);
  const report: Report = { hits: 0, shortReads: 0, torn: [] };

  if (task.kind === "add") {
    for (let round = 0; round < task.rounds; round++)
      if (aim(`counter ${round % task.keys}`).add(key, 1n, Infinity, 1) === Outcome.DONE) report.hits++;
  } else if (task.kind === "self-proving") {
    const random = new Random(task.seed);
    const value = new Value();
    for (let round = 0; round < task.rounds; round++) {
      const name = `key ${random.below(task.keys)}`;
      const shard = aim(name);
      const dice = random.below(10);
      if (dice < 4) {
        const bytes = proof(name, random.below(256), random.below(task.valueBytesMax));
        shard.put(key, write.set(bytes, 0, bytes.length), 1);
      } else if (dice === 4) shard.delete(key, ANY_VERSION, 1);
      else if (dice === 5) readTogether(store, random, task.keys, value, report);
      else if (shard.get(key, value, 1)) {
        report.hits++;
        if (!isWhole(name, value.bytes.subarray(0, value.length))) report.torn.push(name);
      }
    }
  } else {
    // Takes the lock as the store does, and dies with it held.
    const { words } = store.shards[task.shard]!.block;
    if (Atomics.compareExchange(words, W.LOCK, 0, owner) !== 0) throw new Error("the lock is not free");
    if (task.whileWriting) words[W.MUTATING] = Change.CHANGING;
  }
  self.postMessage(report);
}

/** Some keys as a batch asks for them: looked at first, then read on the short way; what is not there, not at all. */
function readTogether(store: Store, random: Random, keys: number, value: Value, report: Report): void {
  const ahead = store.newKeysAhead(16);
  const names = Array.from({ length: 1 + random.below(16) }, () => `key ${random.below(keys)}`);
  ahead.look(keyRows(names), 1);
  for (const [row, name] of names.entries()) {
    const length = ahead.read(row, value.bytes, 0, value.bytes.length);
    if (length === NOT_READ) continue;
    report.shortReads++;
    if (!isWhole(name, value.bytes.subarray(0, length))) report.torn.push(name);
  }
}
