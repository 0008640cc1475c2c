/** One thread of a bench: keeps its lanes full, checks every answer, and reports when it is told to stop. */
import { Histogram } from "../histogram";
import { type Batch, type Lane, openLane, type Tally } from "./lanes";
import { keyPicker, seededRandom } from "./pick";
import type { FromThread, Plan, ToThread } from "./plan";

declare const self: Worker;

const PROGRESS_MS = 100;
const LOAD_BATCH = 256;

const say = (message: FromThread) => self.postMessage(message);

class Load {
  private lanes: Lane[] = [];
  private readonly tally: Tally = { hits: 0, misses: 0, puts: 0, errors: 0, wrong: 0 };
  private latencies = new Histogram();
  private done = 0;
  private stopping = false;
  private requestsMax = Infinity;
  private sent = 0;
  private inFlight = 0;
  private onIdle: (() => void) | null = null;
  private next: (() => Batch) | null = null;
  private progress: ReturnType<typeof setInterval> | undefined;
  private broken = false;

  constructor(private readonly plan: Plan) {}

  async open(): Promise<void> {
    this.lanes = await Promise.all(
      Array.from({ length: this.plan.connections }, () =>
        openLane(
          this.plan,
          this.tally,
          (batch, lane) => this.answered(batch, lane),
          (reason) => this.breakOff(reason),
        ),
      ),
    );
  }

  /** Stores keys [from, to), in large batches, two on each lane. */
  load(from: number, to: number): Promise<void> {
    let at = from;
    const size = this.plan.protocol === "ws" ? LOAD_BATCH : 1;
    return this.keepFull(2, to - from, () => {
      const count = Math.min(size, to - at);
      const indices = Uint32Array.from({ length: count }, (_, i) => at + i);
      at += count;
      return { indices, gets: new Uint8Array(count), sentAt: 0 };
    });
  }

  async run(requestsMax: number): Promise<void> {
    const { plan } = this;
    this.reset();
    const random = seededRandom(plan.seed);
    const pick = keyPicker(plan.keys, plan.skew, plan.seed);
    this.progress = setInterval(() => say({ type: "progress", done: this.done }), PROGRESS_MS);
    await this.keepFull(plan.depth, requestsMax, () => {
      const indices = new Uint32Array(plan.batch);
      const gets = new Uint8Array(plan.batch);
      for (let i = 0; i < plan.batch; i++) {
        indices[i] = pick();
        gets[i] = random() < plan.getShare ? 1 : 0;
      }
      return { indices, gets, sentAt: 0 };
    });
    clearInterval(this.progress);
    for (const lane of this.lanes) lane.close();
    if (!this.broken) say({ type: "result", done: this.done, ...this.tally, latencies: this.latencies });
  }

  reset(): void {
    Object.assign(this.tally, { hits: 0, misses: 0, puts: 0, errors: 0, wrong: 0 });
    this.latencies = new Histogram();
    this.done = 0;
  }

  stop(): void {
    this.stopping = true;
  }

  /** Keeps `depth` batches on each lane until `requestsMax` are sent or it is stopped; resolves when all are answered. */
  private keepFull(depth: number, requestsMax: number, next: () => Batch): Promise<void> {
    this.next = next;
    this.requestsMax = requestsMax;
    this.sent = 0;
    return new Promise((resolve) => {
      this.onIdle = resolve;
      for (const lane of this.lanes) for (let i = 0; i < depth; i++) this.feed(lane);
      if (this.inFlight === 0) resolve();
    });
  }

  private feed(lane: Lane): void {
    if (this.stopping || this.sent >= this.requestsMax) return;
    const batch = this.next!();
    this.sent += batch.indices.length;
    this.inFlight++;
    lane.send(batch);
  }

  private answered(batch: Batch, lane: Lane): void {
    this.inFlight--;
    this.done += batch.indices.length;
    this.latencies.record(Bun.nanoseconds() - batch.sentAt, batch.indices.length);
    this.feed(lane);
    if (this.inFlight === 0) this.onIdle!();
  }

  private breakOff(message: string): void {
    if (this.broken) return;
    this.broken = true;
    this.stopping = true;
    clearInterval(this.progress);
    say({ type: "failed", message });
  }
}

let load: Load | null = null;

self.onmessage = async ({ data }: MessageEvent<ToThread>) => {
  try {
    if (data.type === "begin") {
      load = new Load(data.plan);
      await load.open();
      say({ type: "ready" });
    } else if (data.type === "load") {
      await load!.load(data.from, data.to);
      say({ type: "loaded" });
    } else if (data.type === "run") await load!.run(data.requestsMax);
    else if (data.type === "reset") load!.reset();
    else load!.stop();
  } catch (error) {
    say({ type: "failed", message: (error as Error).message });
  }
};
