/** The binary path of a server in this thread, from a message's bytes to its replies, without sockets. */
import { ANYBODY } from "../../src/commands/access";
import { BinaryCommands, Run } from "../../src/commands/binary";
import { Commands, type CommandsParts } from "../../src/commands/commands";
import { JsonCommands } from "../../src/commands/json";
import { createTallyMemory, Tally } from "../../src/commands/tally";
import { Intake, Message } from "../../src/protocol/request";
import { ReplyWriter } from "../../src/protocol/reply";
import { createStore, Store, type StoreMemory } from "../../src/store/store";
import type { StreamMemory } from "../../src/streaming/memory";
import { request } from "./frames";
import { smallStreamMemory, smallStreams } from "./small-streams";

export const LIMITS = {
  keyBytesMax: 1024,
  valueBytesMax: 1 << 20,
  messageBytesMax: 1 << 24,
  batchRequestsMax: 1000,
};
const FACTS = { version: "0", workers: 1, connectionsMax: 1, startedAt: 0 };
const OWNER = 1;
const REPLY_BYTES = 1 << 20;

function rethrow(error: unknown): never {
  throw error;
}

export class BinaryPath {
  private readonly message = new Message(new Intake());
  readonly reply = new ReplyWriter(REPLY_BYTES);
  readonly json: JsonCommands;
  readonly storeMemory: StoreMemory;
  readonly streamMemory: StreamMemory;
  private readonly binary: BinaryCommands;

  constructor(shards = 4, shardBytes = 16 << 20, commandsOf = (parts: CommandsParts) => new Commands(parts)) {
    this.storeMemory = createStore({ shards, shardBytes, seed: [1, 2] }, 0);
    this.streamMemory = smallStreamMemory(shards, { workers: 2, watchBytes: 1 << 24 });
    const store = new Store(this.storeMemory, OWNER);
    const tally = new Tally(createTallyMemory(1), 0);
    const streams = smallStreams(store, { memory: this.streamMemory, clock: () => 1 });
    const commands = commandsOf({ store, streams, limits: LIMITS, tally, clock: () => 1, facts: FACTS });
    this.binary = new BinaryCommands(commands, this.reply, ANYBODY, rethrow);
    this.json = new JsonCommands(commands, ANYBODY, rethrow);
  }

  /** Executes every request of the message; returns how many bytes of replies that made. */
  execute(message: Buffer): number {
    let length = 0;
    this.message.open(message);
    for (let end: Run = Run.REPLIES_FULL; end === Run.REPLIES_FULL;) {
      end = this.binary.run(this.message, Infinity);
      length += this.reply.length;
      this.reply.reset();
    }
    return length;
  }
}

/** `count` GETs of the keys numbered from `from` on. */
export function getBatch(from: number, count: number): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, i) => request({ op: 1, key: keyOf(from + i) })));
}

/** `count` PUTs, with values of 64 bytes. */
export function putBatch(from: number, count: number): Buffer {
  const value = Buffer.alloc(64, 0x76);
  return Buffer.concat(
    Array.from({ length: count }, (_, i) => request({ op: 2, key: keyOf(from + i), value })),
  );
}

function keyOf(index: number): string {
  return `key:${String(index).padStart(9, "0")}`;
}
