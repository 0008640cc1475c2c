/**
 * An append-only log over pages: records go in at the head and leave at the tail, nothing is allocated or freed one
 * by one. The rings are three of these over one pool of pages.
 *
 * Invariants: BYTES is what lies from tail to head, pads and dead records included; LIVE is the part of it that live
 * entries take; a page belongs to the ring from the moment the head opens it until the tail leaves it.
 */
import { ENTRY_START_BYTES, type Entries } from "./entry";
import { R, RING_WORDS, type RingId, W } from "./layout";
import type { Block } from "./memory";
import { NO_ENTRY, type Pages } from "./pages";

/** All rings, at their RingId. */
export type Rings = readonly [guest: Ring, small: Ring, main: Ring];

export class Ring {
  /** First word of this ring's state. */
  private readonly base: number;
  private readonly words: Int32Array;
  private readonly buffer: Buffer;

  constructor(
    block: Block,
    private readonly pages: Pages,
    private readonly entries: Entries,
    readonly id: RingId,
  ) {
    this.base = W.RINGS + RING_WORDS * id;
    this.words = block.words;
    this.buffer = block.bytes;
  }

  /** Forgets all content; the pages themselves are given back by Pages.reset. Page numbers seen by scans go on. */
  reset(): void {
    const sequence = this.words[this.base + R.TAIL_SEQUENCE]! + this.words[this.base + R.PAGES]!;
    this.words.fill(0, this.base, this.base + RING_WORDS);
    this.words[this.base + R.TAIL_SEQUENCE] = sequence;
  }

  get bytes(): number {
    return this.words[this.base + R.BYTES]!;
  }

  get live(): number {
    return this.words[this.base + R.LIVE]!;
  }

  get dead(): number {
    return this.words[this.base + R.BYTES]! - this.words[this.base + R.LIVE]!;
  }

  get headPage(): number {
    return this.words[this.base + R.HEAD_PAGE]!;
  }

  get headOffset(): number {
    return this.words[this.base + R.HEAD_AT]!;
  }

  get tailPage(): number {
    return this.words[this.base + R.TAIL_PAGE]!;
  }

  get tailOffset(): number {
    return this.words[this.base + R.TAIL_AT]!;
  }

  /** Running number of the tail's page: page n of the ring has number tailSequence + n. */
  get tailSequence(): number {
    return this.words[this.base + R.TAIL_SEQUENCE]!;
  }

  /** An entry in this ring stopped being live. */
  forget(bytes: number): void {
    this.words[this.base + R.LIVE]! -= bytes;
  }

  /** Room for a live entry at the head; returns where. Pages for it must be free (Eviction.reserve). */
  append(bytes: number): number {
    const at = this.begin();
    this.words[this.base + R.LIVE]! += bytes;
    for (let left = bytes; left > 0;) {
      const step = Math.min(left, this.headRoom());
      this.extend(step);
      left -= step;
    }
    return at;
  }

  /** Where the oldest record lies, or 0 when there is none. */
  tail(): number {
    if (this.words[this.base + R.BYTES] === 0) return 0;
    if (this.words[this.base + R.TAIL_AT] === this.pages.bytes) this.leaveTailPage();
    return (this.tailPage << this.pages.shift) + this.tailOffset;
  }

  /** The record at the tail is gone (pad, or no longer live). */
  drop(bytes: number): void {
    for (let left = bytes; left > 0;) {
      const step = Math.min(left, this.tailRoom());
      this.consume(step);
      left -= step;
    }
  }

  /**
   * Moves the live entry at this ring's tail to the head of `target` (this ring or the other); returns where it
   * lies now. Source pages are given back while it copies, so even the largest entry needs only two free pages.
   */
  moveTailTo(target: Ring, bytes: number): number {
    const at = target.begin();
    this.words[this.base + R.LIVE]! -= bytes;
    target.words[target.base + R.LIVE]! += bytes;
    for (let left = bytes; left > 0;) {
      const step = Math.min(left, this.tailRoom(), target.headRoom());
      const from = (this.tailPage << this.pages.shift) + this.tailOffset;
      this.buffer.copy(
        this.buffer,
        (target.headPage << this.pages.shift) + target.headOffset,
        from,
        from + step,
      );
      this.consume(step);
      target.extend(step);
      left -= step;
    }
    return at;
  }

  /** Head position for a new entry, with its start in one page. */
  private begin(): number {
    const offset = this.words[this.base + R.HEAD_AT]!;
    const room = this.headPage === 0 ? 0 : this.pages.bytes - offset;
    if (room < ENTRY_START_BYTES) {
      if (room > 0) {
        this.entries.writePad((this.headPage << this.pages.shift) + offset, room);
        this.extend(room);
      }
      this.openPage();
    }
    const page = this.headPage;
    if (this.pages.first(page) === NO_ENTRY) this.pages.setFirst(page, this.headOffset);
    return (page << this.pages.shift) + this.headOffset;
  }

  /** Bytes left in the head's page, at least 1: opens a page where there are none. */
  private headRoom(): number {
    if (this.words[this.base + R.HEAD_AT] === this.pages.bytes) this.openPage();
    return this.pages.bytes - this.words[this.base + R.HEAD_AT]!;
  }

  private extend(bytes: number): void {
    this.words[this.base + R.HEAD_AT]! += bytes;
    this.words[this.base + R.BYTES]! += bytes;
  }

  private openPage(): void {
    const page = this.pages.take();
    this.pages.setFirst(page, NO_ENTRY);
    this.pages.setExpiry(page, Infinity);
    if (this.headPage === 0) {
      this.words[this.base + R.TAIL_PAGE] = page;
      this.words[this.base + R.TAIL_AT] = 0;
    } else {
      this.pages.setNext(this.headPage, page);
    }
    this.words[this.base + R.HEAD_PAGE] = page;
    this.words[this.base + R.HEAD_AT] = 0;
    this.words[this.base + R.PAGES]! += 1;
  }

  private tailRoom(): number {
    if (this.words[this.base + R.TAIL_AT] === this.pages.bytes) this.leaveTailPage();
    return this.pages.bytes - this.words[this.base + R.TAIL_AT]!;
  }

  private consume(bytes: number): void {
    this.words[this.base + R.TAIL_AT]! += bytes;
    this.words[this.base + R.BYTES]! -= bytes;
    if (this.words[this.base + R.TAIL_AT] === this.pages.bytes && this.tailPage !== this.headPage)
      this.leaveTailPage();
  }

  private leaveTailPage(): void {
    const page = this.tailPage;
    this.words[this.base + R.TAIL_PAGE] = this.pages.next(page);
    this.words[this.base + R.TAIL_AT] = 0;
    this.words[this.base + R.TAIL_SEQUENCE]! += 1;
    this.words[this.base + R.PAGES]! -= 1;
    this.pages.give(page);
  }
}
