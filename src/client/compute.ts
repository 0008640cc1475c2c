/**
 * getOrCompute: where there is no value, one caller computes it for all.
 *
 *   LEASE ─▶ a value ─────────────────────────────────▶ it
 *         ├▶ a lease, or nothing: compute, then store ─▶ what was computed
 *         └▶ both ────────────────────────────────────▶ the value; compute and store afterwards
 *
 * Callers of one client share a run, as long as nothing has changed the key since it began.
 */
import { valueBytes } from "./check";
import { textOf } from "./codec";
import type { Connection } from "./connection";
import type { Value } from "./entry";
import { CacheError } from "./errors";
import type { Lease, Leases } from "./leases";
import type { Rules } from "./near/rules";
import type { ComputeOptions } from "./options";
import { throwIfAborted } from "./signals";
import type { Waits } from "./waits";

/** What makes a value that is not there. */
export type Compute = () => Value | Promise<Value>;

/** As the server's. */
const LEASE_MS = 10_000;

/** What a run is for. */
interface Task {
  readonly key: string;
  readonly compute: Compute;
  readonly options: ComputeOptions;
  /** Who waits for its result. */
  callers: number;
  /** Later callers begin another run: this one may never come to its end, or its lease is over. */
  joinUntil: number;
}

interface Run {
  readonly task: Task;
  readonly result: Promise<string>;
}

export class Runs {
  /** Those that further callers may join. */
  private readonly byKey = new Map<string, Run>();
  /** Functions that are running: what makes nobody wait for them any more. */
  private readonly running = new Set<(error: CacheError) => void>();
  /** Why nothing is computed any more. */
  private closing: CacheError | null = null;

  constructor(
    private readonly link: Connection,
    private readonly near: Rules,
    private readonly leases: Leases,
    private readonly waits: Waits,
  ) {}

  /** Rejects as a read does, and with what `compute` throws. */
  async getOrCompute(key: string, compute: Compute, options: ComputeOptions): Promise<string> {
    const { signal, leaseMs = LEASE_MS } = options;
    throwIfAborted(signal);
    const copy = this.near.find(key, options.earlyMs);
    if (copy !== undefined && copy.value !== null) return this.near.textOf(this.near.served(copy))!;
    this.near.counts.misses++;
    const now = this.link.clock.now();
    const usualMs = leaseMs + this.link.timeoutMs;
    const { timeoutMs = usualMs } = options;
    const { task, result } =
      this.joinable(key, now) ?? this.begin({ key, compute, options, callers: 0, joinUntil: now + usualMs });
    task.callers++;
    try {
      return await this.waits.share(result, { timeoutMs, deadline: now + timeoutMs, signal });
    } finally {
      task.callers--;
    }
  }

  /** The key changes, or has: what is under way is for those who have asked for it already. */
  forget(key: string): void {
    this.byKey.delete(key);
  }

  /** As `forget`, of all keys under a prefix. */
  forgetUnder(prefix: string): void {
    for (const key of this.byKey.keys()) if (key.startsWith(prefix)) this.byKey.delete(key);
  }

  /** Whoever waits for a function fails at once: it may take as long as it likes, and its client is gone. */
  closed(error: CacheError): void {
    this.closing = error;
    for (const giveUp of this.running) giveUp(error);
  }

  private joinable(key: string, now: number): Run | undefined {
    const run = this.byKey.get(key);
    return run !== undefined && now < run.task.joinUntil ? run : undefined;
  }

  private begin(task: Task): Run {
    const run = { task, result: this.run(task) };
    this.byKey.set(task.key, run);
    const over = () => {
      if (this.byKey.get(task.key) === run) this.byKey.delete(task.key);
    };
    run.result.then(over, over);
    return run;
  }

  private async run(task: Task): Promise<string> {
    const { leaseMs = LEASE_MS, earlyMs = 0 } = task.options;
    const timeoutMs = Math.max(this.link.timeoutMs, task.options.timeoutMs ?? 0);
    const { value, lease } = await this.leases.ask(task.key, { leaseMs, earlyMs, timeoutMs });
    if (task.callers === 0) {
      if (lease !== null) this.leases.release(lease);
      throw new CacheError("aborted", "nobody waits for the value any more");
    }
    if (value === null) return this.compute(task, lease);
    // Its callers have their value, so that an error can only be told as an event.
    if (lease !== null) this.compute(task, lease).catch((error) => this.tell(task, error));
    return textOf(value);
  }

  /** What was computed, also where it could not be stored. */
  private async compute(task: Task, lease: Lease | null): Promise<string> {
    // After that the server gives the lease to the next who asks.
    task.joinUntil = this.link.clock.now() + (task.options.leaseMs ?? LEASE_MS);
    try {
      const computed = await this.call(task.compute);
      // A caller may go on to change its bytes.
      const bytes = valueBytes(computed).slice();
      await this.store(task, lease, bytes);
      return typeof computed === "string" ? computed : textOf(bytes);
    } catch (error) {
      if (lease !== null) this.leases.release(lease);
      throw error;
    }
  }

  /** What the function gives, unless the client is closed before. */
  private async call(compute: Compute): Promise<Value> {
    if (this.closing !== null) throw this.closing;
    let giveUp = (_: CacheError) => {};
    const closed = new Promise<never>((_, reject) => (giveUp = reject));
    // The function may close the client and throw, and then nobody else looks at it.
    closed.catch(() => {});
    this.running.add(giveUp);
    try {
      return await Promise.race([compute(), closed]);
    } finally {
      this.running.delete(giveUp);
    }
  }

  /** Never rejects. */
  private async store(task: Task, lease: Lease | null, bytes: Uint8Array): Promise<void> {
    try {
      await this.leases.fill(task.key, lease, bytes, task.options.ttlMs ?? undefined);
    } catch (error) {
      if (lease !== null) this.leases.release(lease);
      this.tell(task, error);
    }
  }

  private tell({ key }: Task, error: unknown): void {
    this.link.events.emit("uncached", { key, error });
  }
}
