/**
 * What a read costs that the client answers itself, beside a Map and lru-cache in the same run: time (mitata) and bytes of the
 * garbage-collected heap (test/support/allocation.ts). And how often the keys that are asked for are still held, by SIEVE and
 * by LRU, under the same load.
 *
 *   bun run bench:near
 */
import { LRUCache } from "lru-cache";
import { bench, do_not_optimize, run } from "mitata";
import { keyPicker } from "../../src/cli/bench/pick";
import { type Cache, connect } from "../../src/client/client";
import { Copies, COPY_BYTES } from "../../src/client/near/copies";
import { copyOf } from "../../src/client/near/rules";
import { FakeSocket } from "../client/fake-runtime";
import { metaValue, miss, value, wholeRequestsIn } from "../client/wire-replies";
import { bytesPerCall } from "../support/allocation";
import { table } from "./peers/report";

const KEYS = 10_000;
const TEXT = "v".repeat(64);
/** An odd stride visits all keys, none right after its neighbour. */
const STRIDE = 7919;
const PING = 0x0a;
const OPERATIONS_FOR_HEAP = 64;

const ALL_KEYS = 10_000;
const HELD_KEYS = 1000;
const READS = 1_000_000;
const SKEWS = [0.7, 0.99, 1.2];
/** All of one length, so that both caches hold as many. */
const keyOf = (index: number) => `key:${String(index).padStart(6, "0")}`;

/** A server in this process that has every key but those of "absent:", and answers in the same turn of the event loop. */
class AnsweringSocket extends FakeSocket {
  constructor(url: string, protocols: string[] = []) {
    super(url, protocols);
    queueMicrotask(() => this.open());
  }

  override send(data: Uint8Array<ArrayBuffer>): void {
    const replies = wholeRequestsIn(data).map(({ op, key, flags }) => {
      if (op === PING) return value("");
      if (key.startsWith("absent:")) return miss();
      return flags === 0 ? value(TEXT) : metaValue(TEXT, 5);
    });
    queueMicrotask(() => this.receive(Buffer.concat(replies)));
  }

  override terminate(): void {
    this.end(1000);
  }
}

const keys = Array.from({ length: KEYS }, (_, i) => `user:${1_000_000 + i}`);
let turn = 0;
const nextKey = () => keys[(turn = (turn + STRIDE) % KEYS)]!;

async function warm(near: object | undefined): Promise<Cache> {
  const cache = await connect("ws://fake.example", {
    WebSocket: AnsweringSocket,
    heartbeatMs: 0,
    ...(near === undefined ? {} : { near }),
  });
  await cache.many([...keys, "absent:1"]);
  return cache;
}

// What proves the copies' age is not measured: here no proof gets old.
const near = await warm({ maxAgeMs: 3_600_000 });
const plain = await warm(undefined);
const map = new Map(keys.map((key) => [key, TEXT]));
const lru = new LRUCache<string, string>({ max: KEYS });
const lruWithTtl = new LRUCache<string, string>({ max: KEYS, ttl: 3_600_000 });
for (const [key, text] of map) {
  lru.set(key, text);
  lruWithTtl.set(key, text);
}

interface Case {
  name: string;
  run: () => unknown;
}
const atOnce: Case[] = [
  { name: "Map get", run: () => map.get(nextKey()) },
  { name: "lru-cache get", run: () => lru.get(nextKey()) },
  { name: "lru-cache get, with ttl", run: () => lruWithTtl.get(nextKey()) },
  { name: "near.peek", run: () => near.near.peek(nextKey()) },
  { name: "near.peek, known to be absent", run: () => near.near.peek("absent:1") },
  { name: "near.peek, not held", run: () => near.near.peek("nobody") },
];
const awaited: Case[] = [
  { name: "await of a resolved promise", run: () => Promise.resolve(map.get(nextKey())) },
  { name: "await get", run: () => near.get(nextKey()) },
  { name: "await getBytes, 64 bytes", run: () => near.getBytes(nextKey()) },
  { name: "await getOrCompute", run: () => near.getOrCompute(nextKey(), () => "") },
  { name: "await get, asked of a server in this process, no near cache", run: () => plain.get(nextKey()) },
];
for (const { name, run } of atOnce) bench(name, () => do_not_optimize(run()));
for (const { name, run } of awaited) bench(name, async () => do_not_optimize(await run()));
const { benchmarks } = await run({ format: "quiet" });
const rows = [...atOnce, ...awaited].map(({ name, run }) => {
  const stats = benchmarks.find(({ alias }) => alias === name)?.runs[0]?.stats;
  // An await ends after a call, so that the bytes of those who are awaited are of the call alone.
  const heap = bytesPerCall(() => {
    for (let i = 0; i < OPERATIONS_FOR_HEAP; i++) do_not_optimize(run());
  });
  const times = [stats?.p50, stats?.min].map((ns) => (ns ?? NaN).toFixed(0));
  return [name, ...times, (heap / OPERATIONS_FOR_HEAP).toFixed(2)];
});
console.log(table(["read", "ns (median)", "ns (least)", "heap bytes"], rows, 1).join("\n"));

/** The share of reads that find their key held, once the cache has been filled. */
function hitRatio(isHeld: (key: string) => boolean, skew: number): number {
  const pick = keyPicker(ALL_KEYS, skew, 1);
  let hits = 0;
  for (let i = 0; i < READS; i++) if (isHeld(keyOf(pick())) && i >= READS / 2) hits++;
  return hits / (READS / 2);
}

function bySieve(): (key: string) => boolean {
  const copies = new Copies(HELD_KEYS * (COPY_BYTES + 2 * keyOf(0).length));
  return (key) => {
    const held = copies.get(key);
    if (held === undefined) copies.put(copyOf(key, null, 0, Infinity));
    else held.isMarked = true;
    return held !== undefined;
  };
}

function byLru(): (key: string) => boolean {
  const lru = new LRUCache<string, true>({ max: HELD_KEYS });
  return (key) => {
    const isHeld = lru.get(key) === true;
    if (!isHeld) lru.set(key, true);
    return isHeld;
  };
}

const ratios = SKEWS.map((skew) => [
  `Zipf ${skew}`,
  hitRatio(bySieve(), skew).toFixed(3),
  hitRatio(byLru(), skew).toFixed(3),
]);
console.log(`\n${table(["a tenth of the keys held", "SIEVE", "lru-cache"], ratios, 1).join("\n")}`);
