/**
 * The shards that an earlier server has left are taken over before anybody serves: checked, and repaired where a change broke off. The
 * workers share that work; a worker that dies leaves what it has not done to the one that replaces it.
 */
import type { Recovered } from "../store/recovery";
import type { Log } from "../system/log";
import { counted } from "../system/words";

const PROGRESS_MS = 1000;

export class Takeover {
  private readonly open: Set<number>;
  private readonly progress: ReturnType<typeof setInterval> | null;

  /** @param shards how many there are, 0 where nothing was left */
  constructor(
    shards: number,
    private readonly workers: number,
    private readonly log: Log,
  ) {
    this.open = new Set(Array.from({ length: shards }, (_, shard) => shard));
    const sayHowFar = () => log.info(`${shards - this.open.size} of ${counted(shards, "shard")} checked`);
    this.progress = shards === 0 ? null : setInterval(sayHowFar, PROGRESS_MS);
  }

  /** Shards that are left to do for a worker. */
  shareOf(worker: number): number[] {
    return [...this.open].filter((shard) => shard % this.workers === worker);
  }

  get isDone(): boolean {
    return this.open.size === 0;
  }

  note(shard: number, { repaired, lost, problem }: Recovered): void {
    this.open.delete(shard);
    if (problem !== null)
      this.log.error(
        `shard ${shard} could not be repaired, and is empty now, ${lost} entries lost: ${problem}`,
      );
    else if (repaired) this.log.info(`shard ${shard} was being written: repaired, ${lost} entries lost`);
    if (this.isDone) this.end();
  }

  /** No more progress is told. */
  end(): void {
    if (this.progress !== null) clearInterval(this.progress);
  }
}
