/** What is bounded: pushes for a client that does not read, watches, tickets. Nothing is lost silently. */
import { describe, expect, test } from "bun:test";
import { isPush, type PushFrame, pushes, type Reply, replies, request } from "../support/frames";
import type { StreamSizes } from "../../src/streaming/memory";
import { SmallStore } from "../support/small-store";
import { LIMITS, NotedSocket, smallWorker, workerOver } from "../support/small-session";
import { smallStreamMemory } from "../support/small-streams";
import { getWatched, lease, leaseOrWait, ping, put, putNumbered, watch } from "../support/stream-requests";

const PUSH_BYTES_MAX = 64 * 1024;
const RESET_ALL = { push: "RESET", reason: 1, prefix: "" } as const;

/** A worker whose sessions look at what is told when they are asked to. */
function worker(sizes: Partial<StreamSizes> = {}, store = new SmallStore({ shardBytes: 1 << 22 })) {
  const memory = smallStreamMemory(1, sizes);
  const parts = workerOver(store, LIMITS, undefined, { memory, worker: 0 });
  const open = () => {
    const socket = new NotedSocket();
    return new Peer(parts.open(socket), socket);
  };
  return { ...parts, store, open };
}

class Peer {
  /** What was pushed and not asked for. */
  private pushed: PushFrame[] = [];
  pushBytes = 0;
  private readonly answered: Reply[] = [];

  constructor(
    readonly session: ReturnType<ReturnType<typeof smallWorker>["open"]>,
    readonly socket: NotedSocket,
  ) {}

  /** What is sent from now on stays unread, from the answer to a ping on. */
  stopReading(): void {
    this.socket.kernelTakes = false;
    this.session.receive(ping());
    this.hear();
    this.answered.length = 0;
  }

  /** Reads on, with everything that the server says then. */
  readOn(): void {
    this.socket.kernelTakes = true;
    this.socket.buffered = 0;
    this.session.drained();
  }

  /** Sends all of it at once, and waits for the answers: the session may need several turns. */
  async ask(...requests: Buffer[]): Promise<Reply[]> {
    this.session.receive(Buffer.concat(requests));
    for (this.hear(); this.answered.length < requests.length; this.hear()) await settle();
    return this.answered.splice(0, requests.length);
  }

  /** What was pushed since the last call. */
  pushes(): PushFrame[] {
    this.hear();
    return this.pushed.splice(0);
  }

  replies(): Reply[] {
    this.hear();
    return this.answered.splice(0);
  }

  private hear(): void {
    for (const message of this.socket.sent.splice(0) as Buffer[]) {
      if (!isPush(message)) this.answered.push(...replies(message));
      else {
        this.pushBytes += message.length;
        this.pushed.push(...pushes(message));
      }
    }
  }
}

/** Microtasks: what wakes idle sessions. */
const settle = () => new Promise((resolve) => setImmediate(resolve));
const keysOf = (all: PushFrame[]) => all.flatMap((push) => (push.push === "CHANGED" ? push.keys : []));

describe("a client that does not read", () => {
  test("has at most 64 KiB of pushes waiting; then it is one reset, and it is told again when it has read that", async () => {
    const { open, streams } = worker();
    const [reader, writer] = [open(), open()];
    await reader.ask(watch("k:"));
    reader.stopReading();
    for (let i = 0; i < 5000; i++) await writer.ask(put(`k:${String(i).padStart(20, "0")}`, "x"));
    await settle();
    expect(reader.session.heldBytes()).toBeLessThan(PUSH_BYTES_MAX + 1000);
    reader.readOn();
    expect(reader.pushes()[0]).toEqual(RESET_ALL);
    expect(reader.pushBytes).toBeLessThanOrEqual(PUSH_BYTES_MAX);
    const [version] = await writer.ask(putNumbered("k:after", "x"));
    await settle();
    expect(keysOf(reader.pushes())).toEqual([
      { key: "k:after", version: (version as { number: bigint }).number },
    ]);
    streams.invariants();
  });

  test("loses its watches of single keys with that reset, and none before", async () => {
    const { open, streams, tally } = worker({ interestWords: 1 << 18 });
    const [reader, writer] = [open(), open()];
    const keys = Array.from({ length: 3000 }, (_, i) => `k:${String(i).padStart(20, "0")}`);
    await reader.ask(...keys.map((key) => getWatched(key)));
    expect(streamsWatched(tally)).toBe(3000);
    reader.stopReading();
    const few = keys.slice(0, 100);
    await writer.ask(...few.map((key) => put(key, "x")));
    await settle();
    reader.readOn();
    expect(keysOf(reader.pushes()).map(({ key }) => key)).toEqual(few);
    reader.stopReading();
    await writer.ask(...keys.slice(100).map((key) => put(key, "x")));
    await settle();
    reader.readOn();
    expect(reader.pushes()).toEqual([RESET_ALL]);
    expect(streamsWatched(tally)).toBe(0);
    streams.invariants();
  });

  test("of one that reads, no number of changes at once is too many", async () => {
    const { open } = worker();
    const reader = open();
    await reader.ask(watch("k:"));
    const keys = Array.from({ length: 5000 }, (_, i) => `k:${String(i).padStart(20, "0")}`);
    // Its own writes, told before their replies: the journal has room for those of one message.
    for (let from = 0; from < keys.length; from += 500) {
      await reader.ask(...keys.slice(from, from + 500).map((key) => put(key, "x")));
      expect(keysOf(reader.pushes()).map(({ key }) => key)).toEqual(keys.slice(from, from + 500));
    }
  });

  test("the pushes of a wide watch do not fill the way of its replies: each is answered in order", async () => {
    const { open } = worker();
    const [reader, writer] = [open(), open()];
    await reader.ask(watch(""));
    reader.stopReading();
    for (let i = 0; i < 100; i++) {
      reader.session.receive(request({ op: 10, value: Buffer.from(String(i)) }));
      await writer.ask(...Array.from({ length: 50 }, (_, n) => put(`k:${n}:${i}`, "x")));
    }
    await settle();
    for (let answered = 0; answered < 100;) {
      for (const reply of reader.replies())
        expect(reply).toMatchObject({ value: Buffer.from(String(answered++)) });
      reader.readOn();
    }
  });
});

function streamsWatched(tally: ReturnType<typeof worker>["tally"]): number {
  return tally.sum(10);
}

describe("watches", () => {
  test("beyond their memory: the oldest is given up, and said to be", async () => {
    const { open, streams, tally } = worker({ watchBytes: 1 << 16 });
    const [watcher, writer] = [open(), open()];
    const keys = Array.from({ length: 20_000 }, (_, i) => `k:${i}`);
    const told: string[] = [];
    for (let from = 0; from < keys.length; from += 1000) {
      await watcher.ask(...keys.slice(from, from + 1000).map((key) => getWatched(key)));
      for (const { key, version } of keysOf(watcher.pushes())) {
        expect(version).toBe(0n);
        told.push(key);
      }
    }
    const kept = streamsWatched(tally);
    expect(kept).toBeGreaterThan(1000);
    expect(told).toEqual(keys.slice(0, keys.length - kept));
    streams.invariants();
    // Those that were kept are in force.
    const last = keys.slice(-kept);
    await writer.ask(...last.map((key) => put(key, "x")));
    await watcher.ask(ping());
    expect(new Set(keysOf(watcher.pushes()).map(({ key }) => key))).toEqual(new Set(last));
  });

  test("of one key, again and again, are one", async () => {
    const { open, tally } = worker();
    const watcher = open();
    for (let i = 0; i < 1000; i++) await watcher.ask(getWatched("k"));
    expect(streamsWatched(tally)).toBe(1);
  });

  test("of ten thousand connections that watch and leave: nothing stays", async () => {
    const { open, streams, tally } = worker();
    for (let round = 0; round < 10; round++) {
      const all = Array.from({ length: 1000 }, open);
      for (const [i, peer] of all.entries()) {
        await peer.ask(
          getWatched(`k:${i}`),
          getWatched("common"),
          ...(i % 100 === 0 ? [watch(`p:${i}`)] : []),
        );
        await peer.ask(lease(`l:${i}`), leaseOrWait(`l:${(i + 999) % 1000}`));
      }
      streams.invariants();
      for (const peer of all) peer.session.gone();
      streams.invariants();
      expect([streamsWatched(tally), tally.sum(11), streams.prefixCount, streams.leaseCount]).toEqual([
        0, 0, 0, 0,
      ]);
    }
  });

  test("cause no pushes when their keys are evicted or expire, and stay for the next write", async () => {
    const store = new SmallStore({ shardBytes: 1 << 18 });
    const { open, commands } = worker({}, store);
    const [watcher, writer] = [open(), open()];
    await writer.ask(put("short", "x", { ttlMs: 10n }), put("early", "x"));
    await watcher.ask(getWatched("short"), getWatched("early"));
    store.now += 1000;
    // It was read when it was watched, so it stays for a while.
    for (let i = 0; store.info("early") !== null; i++) await writer.ask(put(`filler:${i}`, "y".repeat(200)));
    expect(commands.report().evictions).toBeGreaterThan(100);
    expect(await watcher.ask(getWatched("short"), getWatched("early"))).toEqual([
      { status: "MISS" },
      { status: "MISS" },
    ]);
    // A filler may share a word with either: what is told of them then is that they may have changed.
    expect(keysOf(watcher.pushes()).filter(({ version }) => version !== 0n)).toEqual([]);
    await writer.ask(put("short", "x"));
    await watcher.ask(ping());
    expect(keysOf(watcher.pushes()).map(({ key }) => key)).toContain("short");
  });
});

describe("tickets", () => {
  test("65,536 for a connection; beyond that it computes for itself", async () => {
    const { open, streams, tally } = worker({ watchBytes: 1 << 24 });
    const [holder, waiter] = [open(), open()];
    const keys = Array.from({ length: 8 }, (_, i) => `k${i}`);
    await holder.ask(...keys.map((key) => lease(key, { ttlMs: 60_000n })));
    const count = { PENDING: 0, MISS: 0 };
    for (let i = 0; i < 70_000; i += 1000)
      for (const { status } of await waiter.ask(
        ...Array.from({ length: 1000 }, (_, n) => leaseOrWait(keys[n % 8]!)),
      ))
        count[status as keyof typeof count]++;
    expect(count).toEqual({ PENDING: 65_536, MISS: 70_000 - 65_536 });
    streams.invariants();
    // Each has its answer all the same.
    for (const key of keys) await holder.ask(put(key, "x"));
    await waiter.ask(ping());
    const answered = waiter.pushes().filter(({ push }) => push === "FILLED");
    expect(answered.length).toBe(65_536);
    expect(tally.sum(11)).toBe(0);
  });

  test("of all connections of a worker have their memory; beyond that a caller computes for itself", async () => {
    const { open, tally } = worker({ watchBytes: 1 << 16 });
    const [holder, ...waiters] = Array.from({ length: 4 }, open);
    await holder!.ask(lease("k"));
    const answers: Reply[] = [];
    for (const waiter of waiters)
      answers.push(...(await waiter.ask(...Array.from({ length: 300 }, () => leaseOrWait("k")))));
    const pending = answers.filter(({ status }) => status === "PENDING").length;
    expect(pending).toBeGreaterThan(300);
    expect(answers.filter(({ status }) => status === "MISS").length).toBe(900 - pending);
    expect(tally.sum(11)).toBe(pending);
  });

  test("of a client that does not read wait for it: large values are not copied for each", async () => {
    const { open } = worker();
    const [holder, waiter] = [open(), open()];
    await holder.ask(lease("k"));
    await waiter.ask(...Array.from({ length: 1000 }, () => leaseOrWait("k")));
    waiter.stopReading();
    await holder.ask(put("k", "v".repeat(50_000)));
    await settle();
    expect(waiter.session.heldBytes()).toBeLessThan(1000);
    let answered = 0;
    for (let i = 0; i < 1000 && answered < 1000; i++) {
      waiter.readOn();
      answered += waiter.pushes().filter(({ push }) => push === "FILLED").length;
    }
    expect(answered).toBe(1000);
  });
});
