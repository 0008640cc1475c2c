/** Makes a shard's memory an empty shard. */
import type { Eviction } from "./eviction";
import { C, LAYOUT_VERSION, W } from "./layout";
import type { ShardParts } from "./parts";

export class Format {
  constructor(
    private readonly parts: ShardParts,
    private readonly eviction: Eviction,
  ) {}

  /** Of memory that holds zeros. Versions begin above `firstVersion`. Once, before anybody uses it. */
  fresh(firstVersion: number): void {
    const { words, doubles, layout } = this.parts.block;
    words[W.LAYOUT] = LAYOUT_VERSION;
    words[W.PAGE_SHIFT] = layout.pageShift;
    words[W.PAGE_COUNT] = layout.pageCount;
    words[W.META_PAGES] = layout.metaPages;
    doubles[C.VERSION] = firstVersion;
    this.empty();
  }

  /** Of memory that holds anything. Statistics that are no numbers begin anew. */
  anyway(firstVersion: number): void {
    const { words, doubles, layout } = this.parts.block;
    words[W.PAGE_UNTOUCHED] = layout.pageCount;
    for (const index of Object.values(C)) if (!(doubles[index]! >= 0)) doubles[index] = 0;
    this.fresh(firstVersion);
  }

  /**
   * Of a shard. Its rings are emptied first, so that whoever stops on the way leaves some of the entries, whole, or none; repair.ts
   * brings the rest into line.
   */
  empty(): void {
    const { rings, pages, ghost, table, block } = this.parts;
    for (const ring of rings) ring.reset();
    pages.reset();
    ghost.reset();
    table.reset();
    this.eviction.reset();
    block.doubles[C.PAYLOAD] = 0;
    block.doubles[C.NEXT_EXPIRY] = Infinity;
  }
}
