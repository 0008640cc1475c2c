/** Load without pauses: each lane sends its next batch as soon as the last one is answered. */
import type { Lane } from "./lane";
import type { Requests } from "./requests";
import type { Driver } from "./target";

export class ClosedLoop implements Driver {
  private turn = 0;
  private readonly idle = new Set<Lane>();
  private end!: () => void;
  private readonly ended = new Promise<void>((resolve) => (this.end = resolve));

  constructor(
    private readonly lanes: readonly Lane[],
    private readonly requests: Requests,
    /** Batches still to be sent. */
    private left = Infinity,
  ) {}

  /** Resolves when all batches are answered, or after `stop` those on their way. */
  run(): Promise<void> {
    for (const lane of this.lanes) this.answered(lane);
    return this.ended;
  }

  stop(): void {
    this.left = 0;
  }

  answered(lane: Lane): void {
    if (this.left === 0) {
      this.idle.add(lane);
      if (this.idle.size === this.lanes.length) this.end();
      return;
    }
    this.left--;
    const n = this.turn;
    this.turn = n + 1 === this.requests.batches.length ? 0 : n + 1;
    lane.send(this.requests, n);
  }
}
