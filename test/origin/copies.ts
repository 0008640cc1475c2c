/**
 * Copies of a cluster's values, kept by the rules and checked: writers raise numbers under some keys, a reader keeps copies and serves them while
 * the table of trust lets it, and each that is served is compared with what was acknowledged by then.
 *
 * A write counts as acknowledged when a replica has it, too, so that a failover loses none.
 */
import { slotOf } from "../../src/origin/slots";
import { isTrusted, type Trust } from "../../src/origin/trust";
import { type Cluster } from "../support/cluster";
import type { EngineReply } from "../support/engine-client";

/** Nothing else is answered over the connection meanwhile. */
const REPLICA_MS_MAX = 20;

interface Copy {
  readonly value: number;
  readonly epoch: number;
}

class Entry {
  readonly slot: number;
  value = 0;
  /** When each value, and whatever followed it, was acknowledged; Infinity while that is not known. */
  readonly outdatedAt: number[] = [Infinity];
  generation = 0;
  copy: Copy | null = null;

  /** Between two writes. Where it is long, nothing but the rules ends a copy that should have been dropped. */
  readonly paceMs: number;

  constructor(
    readonly key: string,
    index: number,
  ) {
    this.paceMs = index % 2 === 0 ? 20 : 1500;
    this.slot = slotOf(Buffer.from(key), 0, key.length);
  }
}

export class Copies {
  served = 0;
  writes = 0;
  fills = 0;
  readonly faults: string[] = [];
  private readonly entries: Map<string, Entry>;
  private isOver = false;
  private mayWrite: Promise<void> = Promise.resolve();
  private readonly busy = new Set<Promise<unknown>>();
  private readonly writing = new Set<Promise<unknown>>();

  constructor(
    private readonly cluster: Cluster,
    private readonly trust: Trust,
    private readonly now: () => number,
    keys: readonly string[],
  ) {
    this.entries = new Map(keys.map((key, index) => [key, new Entry(key, index)]));
  }

  /** Told by the tracker. */
  drop(key: string): void {
    const entry = this.entries.get(key);
    if (entry !== undefined) void (entry.generation++, (entry.copy = null));
  }

  dropAll(): void {
    for (const key of this.entries.keys()) this.drop(key);
  }

  /** Writes and reads until it is stopped: each key by a loop of its own, so that one that hangs holds up no other. */
  start(): void {
    for (const entry of this.entries.values()) {
      this.run(() => this.write(entry));
      this.run(() => this.fill(entry));
    }
    this.run(async () => {
      for (const entry of this.entries.values()) this.serve(entry);
      await Bun.sleep(1);
    });
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await Promise.all(this.busy);
  }

  /** A change of all these keys by somebody else, while nobody writes. */
  async change(slot: number | null, act: () => Promise<void>): Promise<void> {
    const done = Promise.withResolvers<void>();
    const before = this.mayWrite;
    this.mayWrite = done.promise;
    await before;
    await Promise.all(this.writing);
    await act();
    for (const entry of this.entries.values())
      if (slot === null || entry.slot === slot) entry.outdatedAt[entry.value] = this.now();
    done.resolve();
  }

  private run(step: () => Promise<void>): void {
    const loop = (async () => {
      while (!this.isOver) await step();
    })().catch((error: Error) => void this.faults.push(error.message));
    this.busy.add(loop);
  }

  private async write(entry: Entry): Promise<void> {
    await this.mayWrite;
    const before = entry.value;
    const value = ++entry.value;
    entry.outdatedAt.push(Infinity);
    const write = this.isWritten(entry, value);
    this.writing.add(write);
    const isAcknowledged = await write;
    this.writing.delete(write);
    if (isAcknowledged && this.now() < entry.outdatedAt[before]!) entry.outdatedAt[before] = this.now();
    this.writes++;
    await Bun.sleep(entry.paceMs);
  }

  /** Whether master and replica have it. */
  private async isWritten({ key, slot }: Entry, value: number): Promise<boolean> {
    try {
      await this.cluster.call("SET", key, value);
      const owner = await this.cluster.ownerOf(slot);
      const copies = (await owner.command("WAIT", 1, REPLICA_MS_MAX)) as number;
      return copies > 0 && (await this.cluster.ownerOf(slot)) === owner;
    } catch {
      return false;
    }
  }

  private async fill(entry: Entry): Promise<void> {
    await Bun.sleep(5);
    const { generation } = entry;
    const epoch = this.trust.epochOf(entry.slot);
    const isKept = entry.copy !== null && entry.copy.epoch === epoch;
    if (isKept || !isTrusted(epoch)) return;
    const value: EngineReply = await this.cluster.call("GET", entry.key).catch(() => null);
    if (value === null || generation !== entry.generation || this.trust.epochOf(entry.slot) !== epoch) return;
    entry.copy = { value: Number(value), epoch };
    this.fills++;
  }

  private serve({ key, slot, copy, outdatedAt }: Entry): void {
    const now = this.now();
    if (copy === null || !this.trust.holds(slot, copy.epoch, now)) return;
    this.served++;
    const age = now - Math.min(...outdatedAt.slice(copy.value));
    if (age > this.trust.maxAgeMs)
      this.faults.push(`${key}: a copy is served that is outdated for ${age} ms`);
  }
}
