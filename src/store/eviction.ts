/**
 * Makes room: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP '23) over two rings,
 * and cleaning, so that dead bytes never cost a live entry its place.
 *
 *   put(key):     goes to the head of guest if it is as big as the small ring, of main if the ghost remembers it, else of small
 *   get(key):     reads(key) = min(reads + 1, 3)
 *   reclaim one:  ring = guest if it has any; main if main is over 90 % of the rings' room or small is empty, else small
 *                 e = ring's tail;  dead or expired: gone
 *                 if live entries fill less than 90 % of the shard: e moves to the head (of main, if it was read)
 *                 guest:            e is dropped
 *                 small, read:      e moves to the head of main, reads = 0  (while there is credit, as below)
 *                 small, unread:    e is dropped, the ghost remembers it
 *                 main, reads > 0:  e moves to the head of main, reads - 1
 *                 main, reads = 0:  e is dropped
 *
 * The promise: no live, unexpired entry is dropped while live entries, with their overhead, fill less than
 * FILL_PROMISED of the shard.
 *
 * Why it holds with bounded work. Let M be the shard, u, d and f the shares of it that are live, dead and free.
 * Every written or killed byte earns CREDIT_PER_BYTE bytes of moving, and as soon as f < min(d, CLEAN_SHARE) the tail
 * is cleaned on that credit. Let u stay under 90 %.
 *  - While d < CLEAN_SHARE = 5 %, f > 10 % - 5 %: there is room without cleaning.
 *  - From the moment d passes 5 % with f below it, the cleaner passes all of M within M / 40 = 2.5 % of M bytes written
 *    or killed; all that was dead at its start is free by then, 5 % at least, so f never falls below what it was at
 *    the start less the 2.5 % that were written meanwhile.
 * Above 90 % the tail may drop, so room is found at once: without credit even what was read goes.
 * Expired entries count as live until they are swept; so before a put drops a live one it sweeps what is due, a page or two.
 * Work is bounded: an operation moves at most 40 times the bytes that it writes or kills, what was saved up, and one
 * entry more. An entry that is moved for a put without credit left is counted as a stall (C.STALLS).
 * 90 % is the highest round figure that this arithmetic carries: 10 % = 5 % free + 5 % dead. Half
 * the credit would carry it too; the other half goes to second chances, which cost hits where they are refused.
 */
import type { Entries } from "./entry";
import { Kind } from "./entry";
import type { Ghost } from "./ghost";
import type { HashedKey } from "./hash";
import { C, RING_COUNT, SPARE_PAGES, W } from "./layout";
import { type Lifecycle, Reason } from "./lifecycle";
import type { Block } from "./memory";
import type { Pages } from "./pages";
import type { ShardParts } from "./parts";
import type { Ring, Rings } from "./ring";
import type { Table } from "./table";

/** The share of a shard that live entries can always fill. */
export const FILL_PROMISED = 0.9;
const SMALL_SHARE = 0.1;
const CLEAN_SHARE = 0.05;
const CREDIT_PER_BYTE = 40;
/** Pages of credit that can be saved up. */
const CREDIT_PAGES_MAX = 16;
/** Pages that a put sweeps at most before it drops live entries, while some have expired ones. */
const SWEEPS_PER_PUT_MAX = 2;
/** Passing a record costs something even when nothing moves. */
const STEP_COST_BYTES = 32;

export class Eviction {
  private readonly block: Block;
  private readonly pages: Pages;
  private readonly entries: Entries;
  private readonly table: Table;
  private readonly ghost: Ghost;
  private readonly rings: Rings;
  private readonly lifecycle: Lifecycle;
  private readonly guest: Ring;
  private readonly small: Ring;
  private readonly main: Ring;
  /** Sweeps one page with something due; false when nothing is. Set by the shard, whose sweep needs this eviction. */
  sweepStep: ((now: number) => boolean) | null = null;
  private readonly words: Int32Array;
  private readonly counters: Float64Array;
  private readonly shardBytes: number;
  private readonly cleanBytes: number;
  private readonly spareBytes: number;
  private readonly creditMax: number;

  /** @param tailKey aimed at the keys of entries that leave a tail */
  constructor(
    parts: ShardParts,
    private readonly tailKey: HashedKey,
  ) {
    this.block = parts.block;
    this.pages = parts.pages;
    this.entries = parts.entries;
    this.table = parts.table;
    this.ghost = parts.ghost;
    this.rings = parts.rings;
    this.lifecycle = parts.lifecycle;
    [this.guest, this.small, this.main] = parts.rings;
    this.words = parts.block.words;
    this.counters = parts.block.doubles;
    this.shardBytes = parts.block.layout.shardBytes;
    this.cleanBytes = this.shardBytes * CLEAN_SHARE;
    this.spareBytes = SPARE_PAGES * this.pages.bytes;
    this.creditMax = CREDIT_PAGES_MAX * this.pages.bytes;
  }

  reset(): void {
    this.words[W.CREDIT] = this.creditMax;
  }

  /** Bytes that all rings may fill together. */
  get ringBytes(): number {
    const { pageCount, metaPages, pageBytes } = this.block.layout;
    return (
      (pageCount - metaPages - this.table.pageCount - this.ghost.pageCount) * pageBytes - this.spareBytes
    );
  }

  /** Whether an entry is as big as the small ring: then it is a guest. */
  isBig(bytes: number): boolean {
    return bytes >= this.ringBytes * SMALL_SHARE;
  }

  /** Bytes that live entries fill: their records, the table and the shard's own notes. */
  liveBytes(): number {
    const overhead = (this.table.pageCount + this.block.layout.metaPages) * this.pages.bytes;
    return this.guest.live + this.small.live + this.main.live + overhead;
  }

  /** Bytes in use that hold no live entry. */
  deadBytes(): number {
    return this.guest.dead + this.small.dead + this.main.dead;
  }

  /** Makes room for an entry of this size at the head of a ring, and cleans ahead of need. */
  reserve(bytes: number, now: number): void {
    this.earn(bytes);
    // Entries whose time is over must not cost live ones their place.
    for (let sweeps = 0; sweeps < SWEEPS_PER_PUT_MAX && this.isFull(bytes); sweeps++) {
      if (!this.sweepStep?.(now)) break;
    }
    if (bytes > this.ringBytes) this.ghost.release();
    const copiedMax = this.counters[C.BYTES_COPIED]! + this.shardBytes;
    while (this.freeBytes() < bytes) {
      const isFull = this.isFull(bytes);
      const lapIsDone = this.counters[C.BYTES_COPIED]! > copiedMax;
      if (lapIsDone && !isFull) this.counters[C.PROMISE_BREAKS]! += 1;
      if (!this.reclaim(lapIsDone || isFull, now)) break;
    }
    const ghostPage = this.ghostIsHungry() ? this.pages.bytes : 0;
    while (this.words[W.CREDIT]! > 0 && this.freeBytes() < bytes + ghostPage + this.freeWanted()) {
      if (!this.reclaim(this.isFull(bytes), now)) break;
    }
    if (ghostPage > 0 && this.freeBytes() >= bytes + ghostPage) this.ghost.grow();
  }

  /** Bytes were killed and nothing is written: cleans in proportion. Drops nothing: a delete evicts nobody. */
  killed(bytes: number, now: number): void {
    this.earn(bytes);
    while (this.words[W.CREDIT]! > 0 && this.freeBytes() < this.freeWanted()) {
      if (this.deadBytes() === 0 || !this.reclaim(false, now)) return;
    }
  }

  private earn(bytes: number): void {
    // At most a lap: more could not be spent to any use, and would not fit the word.
    const earned = Math.min(bytes * CREDIT_PER_BYTE, this.shardBytes);
    this.words[W.CREDIT] = Math.min(this.words[W.CREDIT]! + earned, Math.max(this.creditMax, earned));
  }

  private spend(bytes: number): void {
    this.words[W.CREDIT] = Math.max(this.words[W.CREDIT]! - bytes, -this.creditMax);
  }

  /** How much should be free, so that the dead bytes can be reached in time. */
  private freeWanted(): number {
    return Math.min(this.cleanBytes, this.deadBytes());
  }

  /** Whether live entries, with the one that comes, fill what is promised: from there on the tail may drop. */
  private isFull(incoming: number): boolean {
    return this.liveBytes() + incoming >= this.shardBytes * FILL_PROMISED;
  }

  private ghostIsHungry(): boolean {
    return this.isFull(0) && this.ghost.wantsPage(this.table.entryCount);
  }

  /** Bytes between what the rings hold and what they may hold. */
  private freeBytes(): number {
    return this.ringBytes - this.guest.bytes - this.small.bytes - this.main.bytes;
  }

  /** Takes one record off a tail; false when both rings are empty. */
  private reclaim(mayDrop: boolean, now: number): boolean {
    if (!mayDrop && this.ghost.pageCount > 0 && !this.isFull(0)) {
      this.ghost.release();
      return true;
    }
    const ring = mayDrop ? this.ringToEvict() : this.ringToClean();
    const at = ring.tail();
    if (at === 0) return false;
    const bytes = this.entries.bytesOf(at);
    this.spend(STEP_COST_BYTES);
    if (this.entries.kind(at) !== Kind.LIVE) {
      ring.drop(bytes);
      return true;
    }
    this.entries.aimAtKey(at, this.tailKey);
    const slot = this.table.slotOf(this.tailKey.hash, at);
    if (this.entries.expiresAt(at) <= now) this.dropTail(ring, slot, Reason.EXPIRED);
    else if (!mayDrop) this.keepTail(ring, slot, bytes);
    else if (ring === this.main) this.evictFromMain(slot, bytes);
    else if (ring === this.small) this.evictFromSmall(slot, bytes);
    else this.dropTail(ring, slot, Reason.EVICTED);
    return true;
  }

  private ringToEvict(): Ring {
    if (this.guest.bytes > 0) return this.guest;
    const mainIsFull = this.main.bytes > this.ringBytes * (1 - SMALL_SHARE);
    return mainIsFull || this.small.bytes === 0 ? this.main : this.small;
  }

  /** The ring with the larger share of dead bytes: the least to move for what it frees. */
  private ringToClean(): Ring {
    let best = this.rings[0];
    for (let id = 1; id < RING_COUNT; id++) {
      const ring = this.rings[id]!;
      if (best.bytes === 0 || ring.dead * best.bytes > best.dead * ring.bytes) best = ring;
    }
    return best;
  }

  private evictFromSmall(slot: number, bytes: number): void {
    if (this.table.reads(slot) > 0 && this.words[W.CREDIT]! > 0) {
      this.moveTail(this.small, this.main, slot, bytes);
      this.table.setReads(slot, 0);
      return;
    }
    this.ghost.add(this.tailKey.hash, bytes, this.ringBytes * (1 - SMALL_SHARE));
    this.dropTail(this.small, slot, Reason.EVICTED);
  }

  private evictFromMain(slot: number, bytes: number): void {
    const reads = this.table.reads(slot);
    if (reads > 0 && this.words[W.CREDIT]! > 0) {
      this.moveTail(this.main, this.main, slot, bytes);
      this.table.setReads(slot, reads - 1);
      return;
    }
    this.dropTail(this.main, slot, Reason.EVICTED);
  }

  private keepTail(ring: Ring, slot: number, bytes: number): void {
    if (this.deadBytes() === 0) {
      // Nothing to gain by moving: only an entry that no arrangement could fit comes here.
      this.counters[C.PROMISE_BREAKS]! += 1;
      this.dropTail(ring, slot, Reason.EVICTED);
      return;
    }
    if (this.words[W.CREDIT]! <= 0) this.counters[C.STALLS]! += 1;
    const promoted = ring === this.small && this.table.reads(slot) > 0;
    this.moveTail(ring, promoted ? this.main : ring, slot, bytes);
    if (promoted) this.table.setReads(slot, 0);
  }

  private dropTail(ring: Ring, slot: number, reason: Reason): void {
    const at = this.table.at(slot);
    this.lifecycle.end(slot, at, reason);
    ring.drop(this.entries.bytesOf(at));
  }

  private moveTail(from: Ring, to: Ring, slot: number, bytes: number): void {
    const at = from.moveTailTo(to, bytes);
    this.entries.setRing(at, to.id);
    this.table.move(slot, at);
    this.lifecycle.noteExpiry(at);
    this.spend(bytes);
    this.counters[C.BYTES_COPIED]! += bytes;
    this.lifecycle.copiedBytes += bytes;
  }
}
