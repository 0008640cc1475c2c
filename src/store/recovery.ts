/**
 * What becomes of a shard whose lock's owner is gone, or whose process is: it is repaired if a change broke off, everything is
 * validated, and what cannot be trusted then is emptied. A cache may lose entries; it must not be wrong about one.
 */
import type { Eviction } from "./eviction";
import type { Format } from "./format";
import type { HashedKey } from "./hash";
import { Change } from "./intent";
import { C, W } from "./layout";
import type { ShardParts } from "./parts";
import { Repair } from "./repair";
import { validateShard } from "./validate";

/** What became of a shard. */
export interface Recovered {
  /** Entries that it has now. */
  entries: number;
  /** A change had broken off. */
  repaired: boolean;
  /** Entries that were lost: at most the one that was being written, or all. */
  lost: number;
  /** Why it had to be emptied; null when it was not. */
  problem: string | null;
}

/** After a shard was emptied, versions go on this much higher: its own count of them may be damaged. */
export const VERSION_JUMP = 2 ** 20;

/** Counters that say what happened since the server started. */
const SINCE_START = [
  C.HITS,
  C.MISSES,
  C.PUTS,
  C.BYTES_ADMITTED,
  C.DELETES,
  C.EVICTIONS,
  C.EXPIRATIONS,
  C.BYTES_COPIED,
  C.STALLS,
  C.PROMISE_BREAKS,
  C.RECOVERIES,
  C.ENTRIES_LOST,
  C.LOCK_WAITS,
  C.ENTRIES_KEPT,
  C.SHARDS_LOST,
];

export class Recovery {
  private readonly counters: Float64Array;
  private readonly repair: Repair;

  constructor(
    private readonly parts: ShardParts,
    private readonly format: Format,
    private readonly eviction: Eviction,
    private readonly key: HashedKey,
  ) {
    this.counters = parts.block.doubles;
    this.repair = new Repair(parts, eviction, key);
  }

  /** Makes the shard whole if a change broke off, and checks all of it. Called with its lock held. */
  mend(): Recovered {
    const before = this.parts.table.entryCount;
    const repaired = this.parts.intent.change !== Change.NONE;
    let problem: string | null = null;
    let entries = 0;
    try {
      if (repaired) this.repair.run();
      entries = validateShard(this.parts, this.key);
    } catch (error) {
      // Whatever it is: in memory that means nothing any error may come up.
      problem = (error as Error).message;
      this.empty();
    }
    const lost = Math.max(0, before - entries);
    this.counters[C.ENTRIES_LOST]! += lost;
    return { entries, repaired, lost, problem };
  }

  /**
   * Takes over a shard that an earlier process has left, for this one, and mends it.
   * Before anybody uses it.
   * @param versionFloor versions go on above this, whatever the shard says
   */
  attach(versionFloor: number): Recovered {
    for (const counter of SINCE_START) this.counters[counter] = 0;
    // Words that nothing else tells whether they are right, and that nothing depends on.
    this.parts.block.words[W.PAGE_UNTOUCHED] = this.parts.block.layout.pageCount;
    this.eviction.reset();
    const recovered = this.mend();
    this.counters[C.VERSION] = Math.max(this.counters[C.VERSION]!, versionFloor);
    this.counters[C.ENTRIES_KEPT] = recovered.entries;
    return recovered;
  }

  /** Empties the shard: nothing in it can be trusted. Called with its lock held. */
  abandon(): void {
    this.counters[C.ENTRIES_LOST]! += this.parts.table.entryCount;
    this.empty();
  }

  private empty(): void {
    const version = this.counters[C.VERSION]!;
    this.format.anyway(Number.isSafeInteger(version) && version >= 0 ? version + VERSION_JUMP : 0);
    this.counters[C.SHARDS_LOST]! += 1;
    this.parts.intent.end();
  }
}
