/** A clear, executed a step at a time, so that a worker serves its other connections in between. */
import { SCAN_START, type ScanPlace, type Store } from "../store/store";

/** Pages that one step looks through. */
const PAGES_PER_STEP = 32;

export interface Clearing {
  /** Entries removed so far. */
  readonly removed: number;
  /** Goes on; true when it is done. Other requests may run between the steps. */
  step(now: number): boolean;
}

export class StoreClearing implements Clearing {
  removed = 0;
  private place: ScanPlace | null = SCAN_START;

  /** @param prefix its own bytes: it is needed for longer than a message */
  constructor(
    private readonly store: Store,
    private readonly prefix: Buffer,
  ) {}

  step(now: number): boolean {
    if (this.place !== null)
      this.place = this.prefix.length === 0 ? this.all(this.place, now) : this.some(this.place, now);
    return this.place === null;
  }

  /** Empties a whole shard. */
  private all({ shard }: ScanPlace, now: number): ScanPlace | null {
    const { shards } = this.store;
    this.removed += shards[shard]!.clear(now);
    return shard + 1 < shards.length ? { ...SCAN_START, shard: shard + 1 } : null;
  }

  private some(place: ScanPlace, now: number): ScanPlace | null {
    const step = { prefix: this.prefix, now, pagesMax: PAGES_PER_STEP };
    return this.store.clearPrefix(place, step, (count) => {
      this.removed += count;
    });
  }
}
