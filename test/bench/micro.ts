/**
 * The mechanisms one by one, in this thread: hash, table, ring, shard, codec, and whole batches on the binary and the JSON
 * path. mitata measures the time; bytes are what the garbage-collected heap grows by (test/support/allocation.ts).
 *
 *   bun run bench:micro [NAME …]      only suites whose names contain one of these
 */
import { bench, do_not_optimize, group, run } from "mitata";
import { ReplyWriter } from "../../src/protocol/reply";
import { Quota } from "../../src/commands/quota";
import { JsonBatch } from "../../src/commands/json-batch";
import { createTallyMemory, Tally } from "../../src/commands/tally";
import { Intake, Message, RequestRows } from "../../src/protocol/request";
import { Status } from "../../src/protocol/wire";
import { HashedKey, hashSeedOf, shardOf } from "../../src/store/hash";
import { layoutOf, RingId } from "../../src/store/layout";
import { openBlock, reserveBlock } from "../../src/store/memory";
import { partsOf } from "../../src/store/parts";
import { Shard } from "../../src/store/shard";
import type { ValueSink } from "../../src/store/write";
import { countRead } from "../../src/store/table";
import { Write } from "../../src/store/write";
import { bytesPerCall } from "../support/allocation";
import { BinaryPath, getBatch, putBatch, LIMITS } from "../support/binary-path";
import { table } from "./peers/report";
import { KEY_BYTES, Keys } from "./prepared-store";

const EXIT_USAGE = 64;
const KEYS = 100_000;
const KEY_STRIDE = 16;
const BATCH = 64;
const BATCHES = 1024;
const VALUE_BYTES = 64;
const SHARD_BYTES = 32 << 20;
const RECORD_BYTES = 96;
const SEED = hashSeedOf(1, 2);

interface Case {
  suite: string;
  name: string;
  /** Operations in one call of `run`. */
  operations: number;
  run: () => unknown;
}

const keys = new Keys(KEYS);
/** An index at a distance from the one before, as scattered keys are. */
let turn = 0;
const nextIndex = () => (turn = (turn + 7919) % KEYS);

function aim(key: HashedKey, index: number, bytes = keys.bytes, view = keys.view): HashedKey {
  const at = index * KEY_STRIDE;
  key.aim(bytes, view, at, at + KEY_BYTES);
  return key;
}

function hashCases(): Case[] {
  const key = new HashedKey(SEED);
  return [
    { suite: "hash", name: "13-byte key", operations: 1, run: () => aim(key, nextIndex()).hash },
    { suite: "hash", name: "shard of a hash", operations: 1, run: () => shardOf(nextIndex(), 5) },
  ];
}

class Sink implements ValueSink {
  bytes = Buffer.alloc(VALUE_BYTES);
  begin(): number {
    return 0;
  }
}

/** A shard with every even key, and the parts it is made of over the same memory. */
function filledShard() {
  const layout = layoutOf(SHARD_BYTES);
  const memory = reserveBlock(layout);
  const shard = new Shard(openBlock(memory, layout), SEED, 1);
  shard.begin(0);
  const key = new HashedKey(SEED);
  const value = Buffer.alloc(VALUE_BYTES, 0x76);
  const write = new Write();
  const put = (index: number) => shard.put(aim(key, index), write.set(value, 0, VALUE_BYTES), 1);
  for (let index = 0; index < KEYS; index += 2) put(index);
  return { shard, key, put, parts: partsOf(openBlock(memory, layout)) };
}

function tableCases(): Case[] {
  const { key, parts } = filledShard();
  const find = (index: number) => parts.table.find(aim(key, index));
  return [
    { suite: "table", name: "find, present", operations: 1, run: () => find(nextIndex() & ~1) },
    { suite: "table", name: "find, absent", operations: 1, run: () => find(nextIndex() | 1) },
    {
      suite: "table",
      name: "count a read",
      operations: 1,
      run: () => countRead(parts.table.words, find(nextIndex() & ~1)),
    },
  ];
}

function ringCases(): Case[] {
  const layout = layoutOf(SHARD_BYTES);
  const memory = reserveBlock(layout);
  new Shard(openBlock(memory, layout), SEED, 1).begin(0);
  const { rings } = partsOf(openBlock(memory, layout));
  const [small, main] = [rings[RingId.SMALL], rings[RingId.MAIN]];
  for (let i = 0; i < KEYS; i++) {
    small.append(RECORD_BYTES);
    main.append(RECORD_BYTES);
  }
  const appendAndDrop = () => {
    small.tail();
    small.forget(RECORD_BYTES);
    small.drop(RECORD_BYTES);
    return small.append(RECORD_BYTES);
  };
  const rotate = () => {
    main.tail();
    return main.moveTailTo(main, RECORD_BYTES);
  };
  return [
    { suite: "ring", name: "drop at the tail, append at the head", operations: 1, run: appendAndDrop },
    { suite: "ring", name: "move from tail to head", operations: 1, run: rotate },
  ];
}

function shardCases(): Case[] {
  const { shard, key, put } = filledShard();
  const sink = new Sink();
  const get = (index: number) => shard.get(aim(key, index), sink, 1);
  return [
    { suite: "shard", name: "get, hit", operations: 1, run: () => get(nextIndex() & ~1) },
    { suite: "shard", name: "get, miss", operations: 1, run: () => get(nextIndex() | 1) },
    { suite: "shard", name: "put in place", operations: 1, run: () => put(nextIndex() & ~1) },
  ];
}

/** As many messages as cover all keys, in turn. */
function batches(make: typeof getBatch): () => Buffer {
  const all = Array.from({ length: BATCHES }, (_, i) => make((i * BATCH) % KEYS, BATCH));
  let next = 0;
  return () => all[(next = (next + 1) % BATCHES)]!;
}

function codecCases(): Case[] {
  const message = new Message(new Intake());
  const rows = new RequestRows();
  const read = (bytes: Buffer) => {
    message.open(bytes);
    rows.decode(message);
    return rows.ends[rows.count - 1];
  };
  const reply = new ReplyWriter(1 << 16);
  const write = (one: () => unknown) => {
    for (let i = 0; i < BATCH; i++) one();
    const { length } = reply;
    reply.reset();
    return length;
  };
  const head = () => reply.value(VALUE_BYTES);
  const ok = () => reply.status(Status.OK);
  const [gets, puts] = [batches(getBatch), batches(putBatch)];
  return [
    { suite: "codec", name: "read 64 GETs", operations: BATCH, run: () => read(gets()) },
    { suite: "codec", name: "read 64 PUTs", operations: BATCH, run: () => read(puts()) },
    {
      suite: "codec",
      name: "write 64 heads of values",
      operations: BATCH,
      run: () => write(head),
    },
    {
      suite: "codec",
      name: "write 64 OKs",
      operations: BATCH,
      run: () => write(ok),
    },
  ];
}

function commandCases(): Case[] {
  const path = new BinaryPath();
  const [gets, puts] = [batches(getBatch), batches(putBatch)];
  for (let i = 0; i < BATCHES; i++) path.execute(puts());
  const json = (op: "get" | "put") =>
    Array.from({ length: BATCH }, (_, i) =>
      JSON.stringify({ op, key: `key:${i}`, ...(op === "put" ? { value: "v".repeat(VALUE_BYTES) } : {}) }),
    );
  const [jsonGets, jsonPuts] = [`[${json("get").join(",")}]`, `[${json("put").join(",")}]`];
  const answer = (text: string) => {
    const quota = new Quota(Infinity);
    const options = { limits: LIMITS, quota, messageBytes: text.length, answerBytesMax: Infinity };
    const batch = new JsonBatch(path.json, options, JSON.parse(text));
    while (!batch.step());
    return batch.takeText();
  };
  answer(jsonPuts);
  return [
    { suite: "binary", name: "execute 64 GETs", operations: BATCH, run: () => path.execute(gets()) },
    { suite: "binary", name: "execute 64 PUTs", operations: BATCH, run: () => path.execute(puts()) },
    { suite: "json", name: "answer 64 gets", operations: BATCH, run: () => answer(jsonGets) },
    { suite: "json", name: "answer 64 puts", operations: BATCH, run: () => answer(jsonPuts) },
  ];
}

function trafficCases(): Case[] {
  const traffic = new Tally(createTallyMemory(1), 0).traffic("frames");
  const count = () => {
    const start = traffic.begin(VALUE_BYTES);
    traffic.sent(VALUE_BYTES);
    traffic.end(start);
  };
  return [{ suite: "traffic", name: "count a message, time every 16th", operations: 1, run: count }];
}

const wanted = process.argv.slice(2);
const cases = [hashCases, tableCases, ringCases, shardCases, codecCases, commandCases, trafficCases]
  .flatMap((make) => make())
  .filter(({ suite }) => wanted.length === 0 || wanted.some((part) => suite.includes(part)));

if (cases.length === 0) {
  console.error(
    "bench:micro: no suite of that name; there are hash, table, ring, shard, codec, binary, json and traffic",
  );
  process.exit(EXIT_USAGE);
}
for (const suite of new Set(cases.map((c) => c.suite)))
  group(suite, () => {
    for (const { name, run } of cases.filter((c) => c.suite === suite))
      bench(`${suite}: ${name}`, () => do_not_optimize(run()));
  });
const { benchmarks } = await run();

const rows = cases.map(({ suite, name, operations, run }) => {
  const stats = benchmarks.find(({ alias }) => alias === `${suite}: ${name}`)?.runs[0]?.stats;
  const nanoseconds = (stats?.p50 ?? NaN) / operations;
  return [suite, name, nanoseconds.toFixed(1), (bytesPerCall(run) / operations).toFixed(2)];
});
console.log(`\n${table(["suite", "case", "ns/op (median)", "heap bytes/op"], rows, 2).join("\n")}`);
