/**
 * The open calls, and one timer for all of them: every call has the same time, so the first that was made is the first that is late.
 *
 * A call is late only after the event loop has looked for answers once more: where this process itself was late, its answer may lie in the socket.
 *
 * Invariant: while a call is open, the timer runs or a look at the late ones is due.
 */
import type { Call } from "./call";

/** Calls of a worker that may be open at once. */
export const OPEN_CALLS_MAX = 65_536;

export class Deadlines {
  private readonly open = new Set<Call>();
  private timer: ReturnType<typeof setTimeout> | null = null;
  private whenEmpty: (() => void) | null = null;

  /**
   * @param clock ms, monotonic
   * @param expire is told of those that are late, and settles them
   */
  constructor(
    private readonly clock: () => number,
    private readonly expire: (late: Call[]) => void,
  ) {}

  get size(): number {
    return this.open.size;
  }

  get isFull(): boolean {
    return this.open.size >= OPEN_CALLS_MAX;
  }

  add(call: Call): void {
    this.open.add(call);
    if (this.timer === null) this.arm(call);
  }

  remove(call: Call): void {
    this.open.delete(call);
    if (this.open.size > 0) return;
    this.whenEmpty?.();
    this.whenEmpty = null;
  }

  /** Resolves when no call is open; once. */
  drained(): Promise<void> {
    if (this.open.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.whenEmpty = resolve;
    });
  }

  invariants(): void {
    if (this.open.size > 0 && this.timer === null) throw new Error("calls are open, and no timer runs");
    let last = -Infinity;
    for (const call of this.open) {
      if (!call.isOpen) throw new Error("a settled call is among the open ones");
      if (call.deadline < last) throw new Error("calls are not in the order of their deadlines");
      last = call.deadline;
    }
  }

  private arm(first: Call): void {
    this.timer = setTimeout(
      () => setImmediate(() => this.look()),
      Math.max(1, first.deadline - this.clock()),
    );
  }

  private look(): void {
    this.timer = null;
    const now = this.clock();
    const late: Call[] = [];
    for (const call of this.open) {
      if (call.deadline > now) break;
      late.push(call);
    }
    if (late.length > 0) this.expire(late);
    const [first] = this.open;
    if (first !== undefined && this.timer === null) this.arm(first);
  }
}
