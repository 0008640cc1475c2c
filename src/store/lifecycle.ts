/**
 * The one place where entries begin, move and end, the latter for one of five reasons.
 * It keeps the counters that follow from this; code that has to react to the end of an entry belongs here, too.
 */
import type { Entries } from "./entry";
import { C } from "./layout";
import type { Block } from "./memory";
import type { Pages } from "./pages";
import type { Rings } from "./ring";
import type { Table } from "./table";

/** Why an entry ended. */
export const Reason = { REPLACED: 0, DELETED: 1, EXPIRED: 2, EVICTED: 3, CLEARED: 4 } as const;
export type Reason = (typeof Reason)[keyof typeof Reason];

export class Lifecycle {
  /** Bytes of entries that the present operation has copied, without the bytes of its request. */
  copiedBytes = 0;
  private readonly counters: Float64Array;

  constructor(
    block: Block,
    private readonly pages: Pages,
    private readonly entries: Entries,
    private readonly table: Table,
    private readonly rings: Rings,
  ) {
    this.counters = block.doubles;
  }

  /** The table gets a slot for an entry. If there is none and none can be made, the least read one of those in its way is evicted. */
  enter(hash: number, at: number): void {
    while (!this.table.insert(hash, at)) {
      const victim = this.table.crowdedVictim(hash);
      this.end(victim, this.table.at(victim), Reason.EVICTED);
    }
  }

  /** An entry was written at `at`: note its expiry with its page, count its payload. */
  stored(at: number): void {
    this.counters[C.PAYLOAD]! += this.entries.keyLength(at) + this.entries.valueLength(at);
    this.noteExpiry(at);
  }

  noteExpiry(at: number): void {
    if (!this.entries.hasExpiryField(at)) return;
    const expiresAt = this.entries.expiresAt(at);
    const page = this.pages.pageOf(at);
    if (expiresAt < this.pages.expiry(page)) this.pages.setExpiry(page, expiresAt);
    if (expiresAt < this.counters[C.NEXT_EXPIRY]!) this.counters[C.NEXT_EXPIRY] = expiresAt;
  }

  /**
   * A live entry's bytes are dead from now on. The slot is freed, except when the entry is being replaced:
   * then it waits for the new place.
   */
  end(slot: number, at: number, reason: Reason): void {
    const bytes = this.entries.bytesOf(at);
    this.rings[this.entries.ring(at)].forget(bytes);
    this.counters[C.PAYLOAD]! -= this.entries.keyLength(at) + this.entries.valueLength(at);
    this.entries.markDead(at);
    if (reason === Reason.REPLACED) return;
    this.table.remove(slot);
    if (this.table.entryCount === 0) this.table.restart();
    if (reason === Reason.EVICTED) this.counters[C.EVICTIONS]! += 1;
    else if (reason === Reason.EXPIRED) this.counters[C.EXPIRATIONS]! += 1;
    else this.counters[C.DELETES]! += 1;
  }

  /** The next version: strictly increasing for every entry of the shard. */
  nextVersion(): number {
    this.counters[C.VERSION]! += 1;
    return this.counters[C.VERSION]!;
  }
}
