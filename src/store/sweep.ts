/**
 * Frees entries whose time is over, a page a step. Every page notes the earliest expiry of the entries that start in
 * it, so a step skips pages with nothing due without looking at their entries, and reads due ones front to back.
 */
import type { Entries } from "./entry";
import type { Eviction } from "./eviction";
import type { HashedKey } from "./hash";
import { C, W } from "./layout";
import { type Lifecycle, Reason } from "./lifecycle";
import type { Block } from "./memory";
import type { Pages } from "./pages";
import type { ShardParts } from "./parts";
import type { Table } from "./table";
import type { Walk } from "./walk";

export class Sweep {
  private readonly block: Block;
  private readonly pages: Pages;
  private readonly entries: Entries;
  private readonly table: Table;
  private readonly lifecycle: Lifecycle;
  private readonly words: Int32Array;
  private readonly counters: Float64Array;

  constructor(
    parts: ShardParts,
    private readonly walk: Walk,
    private readonly eviction: Eviction,
    private readonly key: HashedKey,
  ) {
    this.block = parts.block;
    this.words = parts.block.words;
    this.counters = parts.block.doubles;
    this.pages = parts.pages;
    this.entries = parts.entries;
    this.table = parts.table;
    this.lifecycle = parts.lifecycle;
  }

  /** Sweeps the next page with something due; false when there is none. While a change is noted (intent.ts). */
  step(now: number): boolean {
    if (!this.isDue(now)) return false;
    const page = this.nextDuePage(now);
    if (page === 0) return false;
    this.words[W.SWEEP_PAGE] = page + 1;
    const freed = this.sweepPage(page, now);
    if (freed > 0) this.eviction.killed(freed, now);
    return true;
  }

  /** Whether some page has an entry whose time is over. */
  isDue(now: number): boolean {
    return this.counters[C.NEXT_EXPIRY]! <= now;
  }

  /** A page with something due; or 0, and then the shard knows when the next will be. */
  private nextDuePage(now: number): number {
    const { metaPages, pageCount } = this.block.layout;
    const pages = pageCount - metaPages;
    const start = Math.max(this.words[W.SWEEP_PAGE]! - metaPages, 0);
    let earliest = Infinity;
    for (let passed = 0; passed < pages; passed++) {
      const page = metaPages + ((start + passed) % pages);
      const expiry = this.pages.expiry(page);
      if (expiry <= now) return page;
      if (expiry < earliest) earliest = expiry;
    }
    this.counters[C.NEXT_EXPIRY] = earliest;
    return 0;
  }

  private sweepPage(page: number, now: number): number {
    let freed = 0;
    let earliest = Infinity;
    this.walk.visitPage(this.walk.ringOf(page), page, 0, (at) => {
      const expiresAt = this.entries.expiresAt(at);
      if (expiresAt > now) {
        earliest = Math.min(earliest, expiresAt);
        return true;
      }
      freed += this.entries.bytesOf(at);
      this.entries.aimAtKey(at, this.key);
      this.lifecycle.end(this.table.slotOf(this.key.hash, at), at, Reason.EXPIRED);
      return true;
    });
    this.pages.setExpiry(page, earliest);
    return freed;
  }
}
