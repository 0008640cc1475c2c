/**
 * Makes a shard whole whose lock's owner stopped in the middle of a change. What can be trusted then is said in intent.ts: the
 * rings, after the one record that was noted is dealt with. Records describe themselves, so everything else is made anew from them.
 *
 * Lost is what was being written, if anything. It may be interrupted like any other change, and started again: each
 * step leaves the rings as the next repair needs them.
 */
import type { Entries } from "./entry";
import { Kind } from "./entry";
import type { Eviction } from "./eviction";
import type { HashedKey } from "./hash";
import { Change } from "./intent";
import { C, type RingId } from "./layout";
import type { Lifecycle } from "./lifecycle";
import { NO_ENTRY, type Pages } from "./pages";
import type { ShardParts } from "./parts";
import { NOWHERE, type Ring, type Rings } from "./ring";
import { NO_SLOT } from "./table";
import { Inconsistency } from "./validate";

export class Repair {
  private readonly counters: Float64Array;
  private readonly pages: Pages;
  private readonly entries: Entries;
  private readonly lifecycle: Lifecycle;

  constructor(
    private readonly parts: ShardParts,
    private readonly eviction: Eviction,
    /** Aimed at each entry's key on the way. */
    private readonly key: HashedKey,
  ) {
    this.counters = parts.block.doubles;
    this.pages = parts.pages;
    this.entries = parts.entries;
    this.lifecycle = parts.lifecycle;
  }

  /** Called with the lock held. Throws an Inconsistency when the rings cannot be read; then the shard has to be emptied. */
  run(): void {
    const { intent } = this.parts;
    this.settleRecord();
    this.collectPages();
    if (intent.change === Change.MOVE) this.finishMove();
    intent.begin();
    const live = this.parts.rings.reduce((sum, ring) => sum + this.readRing(ring), 0);
    this.parts.ghost.reset();
    this.parts.table.rebuild(live);
    this.counters[C.PAYLOAD] = 0;
    this.counters[C.NEXT_EXPIRY] = Infinity;
    for (const ring of this.parts.rings) this.forEachRecord(ring, (at) => this.enter(ring, at));
    this.eviction.reset();
    intent.end();
  }

  /** What was being overwritten or appended is given up. */
  private settleRecord(): void {
    const { intent, rings } = this.parts;
    if (intent.change === Change.IN_PLACE) {
      const { at, bytes } = intent.overwritten;
      this.entries.writePad(at, bytes);
    } else if (intent.change === Change.APPEND) {
      const { ring, head } = intent.appended;
      ringAt(rings, ring).cutAt(head);
    }
  }

  /** The pool: every page that is on no ring's way from tail to head. */
  private collectPages(): void {
    const taken = new Uint8Array(this.pages.count);
    for (const ring of this.parts.rings) this.takePages(ring, taken);
    this.pages.collect((page) => taken[page] === 1);
  }

  private takePages(ring: Ring, taken: Uint8Array): void {
    if (ring.head === NOWHERE) return ring.reset();
    for (let page = ring.tailPage; ; page = this.pages.next(page)) {
      if (!this.pages.isInPool(page) || taken[page] === 1)
        throw new Inconsistency(`page ${page} cannot belong to ring ${ring.id}`);
      taken[page] = 1;
      if (page === ring.headPage) break;
    }
    this.pages.setNext(ring.headPage, 0);
    // Who scans goes on by the number of a page. One that is too high by one makes it see a page twice; too low, none.
    ring.skipSequence();
  }

  private finishMove(): void {
    const { intent, rings } = this.parts;
    const { source, target } = intent.moved;
    ringAt(rings, source).finishMove(ringAt(rings, target));
  }

  /** The ring's sums and its pages' notes; returns how many live records it has. */
  private readRing(ring: Ring): number {
    let pages = 0;
    for (let page = ring.tailPage; page !== 0; page = this.pages.next(page), pages++) {
      this.pages.setFirst(page, NO_ENTRY);
      this.pages.setExpiry(page, Infinity);
    }
    let bytes = 0;
    let live = 0;
    let liveBytes = 0;
    this.forEachRecord(ring, (at, size) => {
      bytes += size;
      const kind = this.entries.kind(at);
      if (kind === Kind.PAD) return;
      const page = this.pages.pageOf(at);
      if (this.pages.first(page) === NO_ENTRY) this.pages.setFirst(page, at & (this.pages.bytes - 1));
      // One that was being moved may still name the ring that it came from.
      this.entries.setRing(at, ring.id);
      if (kind !== Kind.LIVE) return;
      live++;
      liveBytes += size;
    });
    ring.setSums(bytes, liveBytes, pages);
    return live;
  }

  /** A live record gets its slot. Of two with one key, the later write stays; of two copies, the one that is further on. */
  private enter(ring: Ring, at: number): void {
    if (this.entries.kind(at) !== Kind.LIVE) return;
    const { table, rings } = this.parts;
    const { entries, lifecycle } = this;
    const version = entries.version(at);
    if (version > this.counters[C.VERSION]!) this.counters[C.VERSION] = version;
    entries.aimAtKey(at, this.key);
    const slot = table.find(this.key);
    if (slot === NO_SLOT) {
      lifecycle.enter(this.key.hash, at);
      lifecycle.stored(at);
      return;
    }
    const other = table.at(slot);
    if (entries.version(other) > version) {
      ring.forget(entries.bytesOf(at));
      entries.markDead(at);
      return;
    }
    rings[entries.ring(other)].forget(entries.bytesOf(other));
    this.counters[C.PAYLOAD]! -= entries.keyLength(other) + entries.valueLength(other);
    entries.markDead(other);
    table.move(slot, at);
    lifecycle.stored(at);
  }

  /** Calls `visit` with every record from tail to head and its size. */
  private forEachRecord(ring: Ring, visit: (at: number, bytes: number) => void): void {
    if (ring.head === NOWHERE) return;
    const { pages } = this;
    const end = ring.headOffset;
    let page = ring.tailPage;
    let offset = ring.tailOffset;
    for (;;) {
      while (offset >= pages.bytes && page !== ring.headPage) {
        offset -= pages.bytes;
        page = pages.next(page);
      }
      if (page === ring.headPage && offset >= end) break;
      const at = (page << pages.shift) + offset;
      const bytes = this.entries.bytesOf(at);
      if (!(bytes > 0) || bytes % 4 !== 0 || this.entries.kind(at) === Kind.NONE)
        throw new Inconsistency(`there is no record at ${at} of ring ${ring.id}`);
      visit(at, bytes);
      offset += bytes;
    }
    if (offset !== end) throw new Inconsistency(`ring ${ring.id} ends in the middle of a record`);
  }
}

function ringAt(rings: Rings, id: RingId): Ring {
  const ring = rings[id];
  if (ring === undefined) throw new Inconsistency(`there is no ring ${id}`);
  return ring;
}
