/** A server under load: its lanes, and one driver at a time that decides when each sends its next batch. */
import { ClosedLoop } from "./closed-loop";
import { Lane, newTally, type Tally } from "./lane";
import { Paced } from "./paced";
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

export interface Driver {
  /** The lane's batch is answered: it may send the next. */
  answered(lane: Lane): void;
}

export class Target {
  readonly tally: Tally = newTally();
  private lanes: Lane[] = [];
  private driver: Driver | null = null;
  private breakOff!: (error: Error) => void;
  /** Rejects when a connection is lost; never resolves. */
  private readonly broken = new Promise<never>((_, reject) => (this.breakOff = reject));
  private readonly requests: Requests;

  private constructor(
    plan: TargetPlan,
    private readonly protocol: Protocol,
    private readonly values: Values,
  ) {
    // Heard where a driver runs; between two of them nobody listens.
    this.broken.catch(() => {});
    this.requests = loadRequests(protocol, values, plan.batchSize, plan.getShare);
  }

  static async open(plan: TargetPlan, protocol: Protocol, values: Values): Promise<Target> {
    const target = new Target(plan, protocol, values);
    const events = {
      answered: (lane: Lane) => target.driver!.answered(lane),
      broken: (reason: string) => target.breakOff(new Error(reason)),
    };
    target.lanes = await Promise.all(
      Array.from({ length: plan.connections }, () =>
        Lane.open(plan.port, protocol, values, target.tally, events),
      ),
    );
    return target;
  }

  /** Stores every key once. */
  preload(): Promise<void> {
    const requests = preloadRequests(this.protocol, this.values);
    return this.drive(new ClosedLoop(this.lanes, requests, requests.batches.length)).ended;
  }

  /** As much as the server takes, until `driver.stop`. */
  loadFully() {
    return this.drive(new ClosedLoop(this.lanes, this.requests));
  }

  /** So many batches a second, until `driver.stop`. */
  loadPaced(perSecond: number) {
    return this.drive(new Paced(this.lanes, this.requests, perSecond));
  }

  close(): void {
    for (const lane of this.lanes) lane.close();
  }

  private drive<D extends Driver & { run(): Promise<void> }>(driver: D): { driver: D; ended: Promise<void> } {
    this.driver = driver;
    return { driver, ended: Promise.race([driver.run(), this.broken]) };
  }
}
