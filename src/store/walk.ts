/**
 * Visits the live entries of a shard ring by ring, in the order of RingId, oldest first.
 *
 * Why a walk that is interrupted misses nothing: an entry is only ever moved to a head, that is further on in this
 * order, or to a ring that is later in it. So what was there when the walk began is met
 * before the walk ends, maybe twice, unless it ended itself.
 *
 * A place in the walk is a ring, the running number of a page in it, and an offset in that page. It stays good
 * whatever happens meanwhile. A place that was never given out does no harm, because a walk starts at the start of a record.
 */
import { type Entries, Kind } from "./entry";
import { RingId } from "./layout";
import { NO_ENTRY, type Pages } from "./pages";
import type { Ring, Rings } from "./ring";

export interface WalkPlace {
  ring: RingId;
  sequence: number;
  offset: number;
}

/** Where a walk begins. */
export const WALK_START: Readonly<WalkPlace> = { ring: RingId.GUEST, sequence: 0, offset: 0 };

/** Called with each live record; false stops before the next one. */
export type Visit = (at: number) => boolean;

export class Walk {
  constructor(
    private readonly pages: Pages,
    private readonly entries: Entries,
    private readonly rings: Rings,
  ) {}

  /** Visits from `place` on, at most `pagesMax` pages; the place to go on from, or null at the end. */
  from(place: Readonly<WalkPlace>, pagesMax: number, visit: Visit): WalkPlace | null {
    const here: WalkPlace = { ...place };
    let page = this.pageAt(here);
    for (let passed = 0; ; passed++) {
      if (page === 0) {
        if (here.ring === RingId.MAIN) return null;
        here.ring = (here.ring + 1) as RingId;
        here.sequence = 0;
        here.offset = 0;
        page = this.pageAt(here);
        continue;
      }
      if (passed >= pagesMax) return here;
      const stopped = this.visitPage(this.rings[here.ring], page, here.offset, visit);
      if (stopped >= 0) return { ...here, offset: stopped };
      page = this.pages.next(page);
      here.sequence = (here.sequence + 1) | 0;
      here.offset = 0;
    }
  }

  /** Visits the live records that start in a page from an offset on; the offset where `visit` stopped it, or -1. */
  visitPage(ring: Ring, page: number, fromOffset: number, visit: Visit): number {
    const first = this.pages.first(page);
    if (first === NO_ENTRY) return -1;
    const start = page << this.pages.shift;
    const end = page === ring.headPage ? ring.headOffset : this.pages.bytes;
    let offset = page === ring.tailPage ? Math.max(first, ring.tailOffset) : first;
    while (offset < end) {
      const at = start + offset;
      const bytes = this.entries.bytesOf(at);
      if (offset >= fromOffset && this.entries.kind(at) === Kind.LIVE && !visit(at)) return offset + bytes;
      offset += bytes;
    }
    return -1;
  }

  /** Ring that a page belongs to; only for pages that belong to one. */
  ringOf(page: number): Ring {
    return this.rings[this.entries.ring((page << this.pages.shift) + this.pages.first(page))];
  }

  /** The page a place names, or the ring's oldest when that is gone; 0 past the head. Moves the place along. */
  private pageAt(place: WalkPlace): number {
    const ring = this.rings[place.ring];
    const isStart = place.sequence === WALK_START.sequence && place.offset === WALK_START.offset;
    // Page numbers wrap at 2^32, so what counts is how far they are apart.
    const distance = (place.sequence - ring.tailSequence) | 0;
    if (isStart || distance < 0) {
      place.sequence = ring.tailSequence;
      place.offset = 0;
      return ring.tailPage;
    }
    let page = ring.tailPage;
    for (let step = 0; step < distance && page !== 0; step++) page = this.pages.next(page);
    return page;
  }
}
