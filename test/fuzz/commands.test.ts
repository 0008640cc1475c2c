/**
 * Cursor and commands in this thread: for every message the replies that the protocol's page promises, no throw, no byte
 * from beyond the message, and a store that is whole afterwards.
 */
import { expect, test } from "bun:test";
import { Run } from "../../src/commands/binary";
import { Intake, Message, RequestRows } from "../../src/protocol/request";
import { replies, request } from "../support/frames";
import { Random } from "../support/random";
import { smallWorker } from "../support/small-session";
import { SmallStore } from "../support/small-store";
import { anyBatch, mutated } from "./generate";
import { verdictOf } from "./oracle";

const MESSAGES = 40_000;
const CHECK_EVERY = 1000;
/** Lies around every message: a byte of it in the store was read from beyond. */
const BEYOND = 0xb5;
const AROUND = 64;

/** The message within a larger buffer, as one may be that came with others. */
function surrounded(message: Buffer): Buffer {
  const all = Buffer.alloc(message.length + 2 * AROUND, BEYOND);
  message.copy(all, AROUND);
  return all.subarray(AROUND, AROUND + message.length);
}

for (const [name, make] of [
  ["random bytes", (random) => random.bytes(random.below(60))],
  ["right requests", (random) => anyBatch(random, 6)],
  ["right requests, mutated", (random) => mutated(random, anyBatch(random, 6))],
] as const satisfies [string, (random: Random) => Buffer][]) {
  test(`${name}: the promised replies, and a store that is whole`, () => {
    const store = new SmallStore({ shards: 2, shardBytes: 1 << 18 });
    const worker = smallWorker({ ...LIMITS, valueBytesMax: 20_000 }, store);
    const binary = worker.binary();
    // Nobody reads what it is told: that is bounded too.
    worker.streams.serve(worker.streams.newFeed({ onNews() {}, makeRoom: () => false }));
    const reading = new Message(new Intake());
    const random = new Random(20_260);
    for (let n = 0; n < MESSAGES; n++) {
      const message = surrounded(make(random));
      const { wellFormed, malformed } = verdictOf(message);
      const proof = request({ op: 2, key: "proof", value: Buffer.from(`${n}`) });
      worker.reply.reset();
      store.now += random.below(3);
      worker.commands.refreshClock();
      run(reading, binary, surrounded(proof));
      const before = worker.reply.length;
      const wasMalformed = run(reading, binary, message);
      if (wasMalformed !== malformed) throw new Error(`message ${n}: ${message.toString("hex")}`);
      const answers = replies(Buffer.from(worker.reply.bytes.subarray(before, worker.reply.length)));
      if (answers.length !== wellFormed + Number(malformed))
        throw new Error(`message ${n}: ${answers.length} replies for ${message.toString("hex")}`);
      // It may have been evicted or cleared, but never be another's.
      const proved = store.get("proof");
      if (proved !== null && proved.toString() !== `${n}`) throw new Error(`message ${n}: a wrong value`);
      if (n % CHECK_EVERY !== 0) continue;
      worker.streams.look();
      worker.streams.invariants();
      checkWhole(store);
    }
    checkWhole(store);
    worker.streams.stop();
    expect(store.stats().stalls).toBe(0);
  });
}

const LIMITS = { keyBytesMax: 100, valueBytesMax: 20_000, messageBytesMax: 1 << 20, batchRequestsMax: 100 };

const rows = new RequestRows();

/** Whether the message was found malformed, once all of it is answered. */
function run(
  reading: Message,
  binary: ReturnType<ReturnType<typeof smallWorker>["binary"]>,
  message: Buffer,
): boolean {
  reading.open(message);
  rows.decode(reading);
  for (let row = 0, at = 0; row < rows.count; at = rows.ends[row++]!) {
    const [keyStart, keyEnd, end] = [rows.keyStarts[row]!, rows.keyEnds[row]!, rows.ends[row]!];
    if (keyStart < at || keyEnd < keyStart || end < keyEnd || end > message.length)
      throw new Error(`a request reaches beyond ${message.toString("hex")}`);
  }
  for (;;) {
    const end = binary.run(reading, Infinity);
    if (end === Run.DONE || end === Run.MALFORMED) return end === Run.MALFORMED;
  }
}

function checkWhole(store: SmallStore): void {
  store.validate();
  for (const key of store.scan(""))
    if (key.includes(BEYOND_TEXT)) throw new Error("a key from beyond a message");
}

/** Mutation makes the byte itself, but not in a row. */
const BEYOND_TEXT = String.fromCharCode(BEYOND).repeat(5);
