/**
 * Load at a fixed rate, whatever the server does (an open loop): request k is due at k / rate. Each lane takes every n-th and
 * sends it when it is due and the one before is answered; its latency counts from when it was due, so that a server
 * that stalls is charged for everyone who waited (coordinated omission, as Gil Tene named it, is what this avoids).
 */
import { Histogram } from "../../../src/cli/histogram";
import type { Lane } from "./lane";
import type { Requests } from "./requests";
import type { Driver } from "./target";

export class Paced implements Driver {
  latencies = new Histogram();
  /** Requests due, sent and answered so far. */
  private due = 0;
  private readonly sent: Float64Array;
  private open = 0;
  private startedAt = 0;
  private stopped = false;
  private readonly busy: Uint8Array;
  private readonly numbers = new Map<Lane, number>();
  private end!: () => void;
  private readonly ended = new Promise<void>((resolve) => (this.end = resolve));

  constructor(
    private readonly lanes: readonly Lane[],
    private readonly requests: Requests,
    /** Of all lanes together. */
    private readonly perSecond: number,
  ) {
    // Requests that a lane has answered or on its way: its j-th is request j * lanes + the lane's number.
    this.sent = new Float64Array(lanes.length);
    this.busy = new Uint8Array(lanes.length);
    for (const [n, lane] of lanes.entries()) this.numbers.set(lane, n);
  }

  /** Resolves after `stop`, when all that was due is answered. */
  run(): Promise<void> {
    this.startedAt = Bun.nanoseconds();
    this.tick();
    return this.ended;
  }

  stop(): void {
    this.stopped = true;
  }

  answered(lane: Lane): void {
    const n = this.numbers.get(lane)!;
    const number = (this.sent[n]! - 1) * this.lanes.length + n;
    this.latencies.record(Bun.nanoseconds() - this.dueAt(number));
    this.busy[n] = 0;
    this.open--;
    this.feed(n);
  }

  /** Runs in every turn of the loop: a timer would be a millisecond late. */
  private tick(): void {
    if (!this.stopped) {
      const now = Bun.nanoseconds();
      while (this.dueAt(this.due) <= now) {
        const n = this.due++ % this.lanes.length;
        this.open++;
        this.feed(n);
      }
    } else if (this.open === 0) return this.end();
    setImmediate(() => this.tick());
  }

  /** Sends the lane's next request if one is due and the lane is free. */
  private feed(n: number): void {
    if (this.busy[n] === 1 || this.sent[n]! * this.lanes.length + n >= this.due) return;
    this.busy[n] = 1;
    const number = this.sent[n]! * this.lanes.length + n;
    this.sent[n]!++;
    this.lanes[n]!.send(this.requests, number % this.requests.batches.length);
  }

  private dueAt(number: number): number {
    return this.startedAt + (number / this.perSecond) * 1e9;
  }
}
