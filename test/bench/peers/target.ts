/** A server under load: its lanes, each sending its next batch as soon as the last one is answered (a closed loop). */
import { Lane, newTally, type Tally } from "./lane";
import type { Protocol } from "./protocols/protocol";
import { loadRequests, preloadRequests, type Requests } from "./requests";
import type { Values } from "./values";

export interface TargetPlan {
  port: number;
  connections: number;
  batchSize: number;
  /** Share of gets, 0 to 1. */
  getShare: number;
}

export class Target {
  readonly tally: Tally = newTally();
  private lanes: Lane[] = [];
  private readonly idle = new Set<Lane>();
  private running: { requests: Requests; turn: number; left: number; end: () => void } | null = null;
  private breakOff!: (error: Error) => void;
  /** Rejects when a connection is lost; never resolves. */
  private readonly broken = new Promise<never>((_, reject) => (this.breakOff = reject));
  private readonly requests: Requests;

  private constructor(
    plan: TargetPlan,
    private readonly protocol: Protocol,
    private readonly values: Values,
  ) {
    this.broken.catch(() => {});
    this.requests = loadRequests(protocol, values, plan.batchSize, plan.getShare);
  }

  static async open(plan: TargetPlan, protocol: Protocol, values: Values): Promise<Target> {
    const target = new Target(plan, protocol, values);
    const events = {
      answered: (lane: Lane) => target.answered(lane),
      broken: (reason: string) => target.breakOff(new Error(reason)),
    };
    target.lanes = await Promise.all(
      Array.from({ length: plan.connections }, () =>
        Lane.open(plan.port, protocol, values, target.tally, events),
      ),
    );
    for (const lane of target.lanes) target.idle.add(lane);
    return target;
  }

  /** Stores every key once. */
  preload(): Promise<void> {
    const requests = preloadRequests(this.protocol, this.values);
    return this.run(requests, requests.batches.length);
  }

  /** Begins the load; resolves after `stop`, once everything is answered. */
  start(): Promise<void> {
    return this.run(this.requests, Infinity);
  }

  /** No further batches. */
  stop(): void {
    if (this.running !== null) this.running.left = 0;
  }

  close(): void {
    for (const lane of this.lanes) lane.close();
  }

  private run(requests: Requests, batches: number): Promise<void> {
    const done = new Promise<void>((resolve) => {
      this.running = { requests, turn: 0, left: batches, end: resolve };
    });
    for (const lane of [...this.idle]) {
      this.idle.delete(lane);
      this.answered(lane);
    }
    return Promise.race([done, this.broken]);
  }

  private answered(lane: Lane): void {
    const running = this.running!;
    if (running.left === 0) {
      this.idle.add(lane);
      if (this.idle.size === this.lanes.length) {
        this.running = null;
        running.end();
      }
      return;
    }
    running.left--;
    const n = running.turn;
    running.turn = n + 1 === running.requests.batches.length ? 0 : n + 1;
    lane.send(running.requests, n);
  }
}
