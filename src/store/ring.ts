/**
 * An append-only log over pages: records go in at the head and leave at the tail, nothing is allocated or freed one
 * by one. The rings are three of these over one pool of pages.
 *
 * Head and tail are cursors: a page and an offset in it in one word, so that each moves in one step. An offset may be that of
 * the page's end.
 *
 * Invariants: BYTES is what lies from tail to head, pads and dead records included; LIVE is the part of it that live
 * entries take; a page belongs to the ring from the moment the head opens it until the tail leaves it.
 *
 * What holds at every instruction, for whoever finds the ring after its owner stopped (intent.ts): from tail to head there are
 * whole records, on pages that are linked. So a page is linked before the head opens it, and left by the tail before it is given
 * back; a pad is written before the head passes it; and a record that moves is at the head before the tail
 * passes it. In between it is there twice, with one version, and repair.ts keeps one. For a new record, and for one that moves in several pieces,
 * a note is made first.
 */
import { ENTRY_START_BYTES, type Entries } from "./entry";
import type { Intent } from "./intent";
import { R, RING_WORDS, type RingId, W } from "./layout";
import type { Block } from "./memory";
import { NO_ENTRY, type Pages } from "./pages";

/** All rings, at their RingId. */
export type Rings = readonly [guest: Ring, small: Ring, main: Ring];

/** A ring that never had a page. */
export const NOWHERE = 0;

export class Ring {
  /** First word of this ring's state. */
  private readonly base: number;
  private readonly words: Int32Array;
  private readonly buffer: Buffer;
  private readonly pageBytes: number;
  /** A cursor is a page number, and behind it as many bits as a page's words and its end need. */
  private readonly cursorShift: number;

  constructor(
    block: Block,
    private readonly pages: Pages,
    private readonly entries: Entries,
    private readonly intent: Intent,
    readonly id: RingId,
  ) {
    this.base = W.RINGS + RING_WORDS * id;
    this.words = block.words;
    this.buffer = block.bytes;
    this.pageBytes = pages.bytes;
    this.cursorShift = pages.shift - 1;
  }

  /** Forgets all content; the pages themselves are given back by Pages.reset. Page numbers seen by scans go on. */
  reset(): void {
    const sequence = this.words[this.base + R.TAIL_SEQUENCE]! + this.words[this.base + R.PAGES]!;
    // The head first: a ring without one is empty, whatever else its words say.
    Atomics.store(this.words, this.base + R.HEAD, NOWHERE);
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

  /** Cursor of the head, to come back to. */
  get head(): number {
    return this.words[this.base + R.HEAD]!;
  }

  get headPage(): number {
    return this.words[this.base + R.HEAD]! >>> this.cursorShift;
  }

  get headOffset(): number {
    return this.offsetIn(this.words[this.base + R.HEAD]!);
  }

  get tailPage(): number {
    return this.words[this.base + R.TAIL]! >>> this.cursorShift;
  }

  get tailOffset(): number {
    return this.offsetIn(this.words[this.base + R.TAIL]!);
  }

  /** Running number of the tail's page: page n of the ring has number tailSequence + n. */
  get tailSequence(): number {
    return this.words[this.base + R.TAIL_SEQUENCE]!;
  }

  /** An entry in this ring stopped being live. */
  forget(bytes: number): void {
    this.words[this.base + R.LIVE]! -= bytes;
  }

  /** Room for a live entry at the head; returns where. Pages for it must be free (Eviction.reserve), and the head must be noted. */
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
    this.tailRoom();
    return (this.tailPage << this.pages.shift) + this.tailOffset;
  }

  /**
   * The record at the tail is gone (pad, or no longer live), or what of it has been moved. The tail passes it in one step, however many
   * pages it lies on; they are given back after that.
   */
  drop(bytes: number): void {
    this.words[this.base + R.BYTES]! -= bytes;
    const from = this.tailPage;
    let page = from;
    let offset = this.tailOffset + bytes;
    while (offset >= this.pageBytes && page !== this.headPage) {
      offset -= this.pageBytes;
      page = this.pages.next(page);
    }
    Atomics.store(this.words, this.base + R.TAIL, this.cursorOf(page, offset));
    for (let left = from; left !== page;) {
      const next = this.pages.next(left);
      this.words[this.base + R.TAIL_SEQUENCE]! += 1;
      this.words[this.base + R.PAGES]! -= 1;
      this.pages.give(left);
      left = next;
    }
  }

  /** Moves the live entry at this ring's tail to the head of `target` (this ring or another); returns where it lies now. */
  moveTailTo(target: Ring, bytes: number): number {
    const at = target.begin();
    this.words[this.base + R.LIVE]! -= bytes;
    target.words[target.base + R.LIVE]! += bytes;
    if (bytes <= Math.min(this.tailRoom(), target.headRoom())) {
      this.moveStep(target, bytes);
      return at;
    }
    this.intent.move(this.id, target.id, at, bytes);
    this.movePieces(target, bytes, 0);
    this.intent.begin();
    return at;
  }

  /** Goes on with a move whose owner stopped. The pool must have the pages that are free. */
  finishMove(target: Ring): void {
    const { at, bytes, done, from } = this.intent.moved;
    const moved = target.distanceToHead(at);
    // The piece is at the head, and was not yet passed by the tail.
    if (moved > done && this.words[this.base + R.TAIL] === from) this.drop(moved - done);
    this.movePieces(target, bytes, moved);
  }

  /** Makes the ring end at a cursor that its head had before. */
  cutAt(head: number): void {
    Atomics.store(this.words, this.base + R.HEAD, head);
    if (head === NOWHERE) this.reset();
    else this.pages.setNext(this.headPage, 0);
  }

  /** The page at the tail gets the next number: who scans may see it twice then. */
  skipSequence(): void {
    this.words[this.base + R.TAIL_SEQUENCE]! += 1;
  }

  /** Sets what follows from the records between tail and head. */
  setSums(bytes: number, live: number, pages: number): void {
    this.words[this.base + R.BYTES] = bytes;
    this.words[this.base + R.LIVE] = live;
    this.words[this.base + R.PAGES] = pages;
  }

  /** Source pages are given back while it copies, so even the largest entry needs only two free pages. */
  private movePieces(target: Ring, bytes: number, done: number): void {
    while (done < bytes) {
      const step = Math.min(bytes - done, this.tailRoom(), target.headRoom());
      this.intent.piece(done, this.words[this.base + R.TAIL]!);
      this.moveStep(target, step);
      done += step;
    }
  }

  /** Bytes that lie in one page here and there. The copy is a call and the tail's step atomic: so the head moves between the two. */
  private moveStep(target: Ring, bytes: number): void {
    const from = (this.tailPage << this.pages.shift) + this.tailOffset;
    const to = (target.headPage << this.pages.shift) + target.headOffset;
    this.buffer.copy(this.buffer, to, from, from + bytes);
    target.extend(bytes);
    this.drop(bytes);
  }

  /** Bytes from a place in this ring to its head. */
  private distanceToHead(at: number): number {
    const { pages } = this;
    let bytes = 0;
    let page = pages.pageOf(at);
    let offset = at & (this.pageBytes - 1);
    for (; page !== this.headPage; page = pages.next(page), offset = 0) {
      if (page === 0) throw new Error(`the head does not come behind ${at}`);
      bytes += this.pageBytes - offset;
    }
    return bytes + this.headOffset - offset;
  }

  /** Head position for a new entry, with its start in one page. */
  private begin(): number {
    const offset = this.headOffset;
    const room = this.headPage === 0 ? 0 : this.pageBytes - offset;
    if (room < ENTRY_START_BYTES) {
      if (room > 0) {
        this.entries.writePad((this.headPage << this.pages.shift) + offset, room);
        this.words[this.base + R.BYTES]! += room;
        Atomics.store(this.words, this.base + R.HEAD, this.cursorOf(this.headPage, this.pageBytes));
      }
      this.openPage();
    }
    const page = this.headPage;
    if (this.pages.first(page) === NO_ENTRY) this.pages.setFirst(page, this.headOffset);
    return (page << this.pages.shift) + this.headOffset;
  }

  /** Bytes left in the head's page, at least 1: opens a page where there are none. */
  private headRoom(): number {
    if (this.headOffset === this.pageBytes) this.openPage();
    return this.pageBytes - this.headOffset;
  }

  private extend(bytes: number): void {
    this.words[this.base + R.HEAD]! += bytes >> 2;
    this.words[this.base + R.BYTES]! += bytes;
  }

  private openPage(): void {
    const page = this.pages.take();
    this.pages.setFirst(page, NO_ENTRY);
    this.pages.setExpiry(page, Infinity);
    if (this.headPage === 0) this.words[this.base + R.TAIL] = this.cursorOf(page, 0);
    else this.pages.setNext(this.headPage, page);
    Atomics.store(this.words, this.base + R.HEAD, this.cursorOf(page, 0));
    this.words[this.base + R.PAGES]! += 1;
  }

  /** Bytes from the tail to the end of its page, at least 1: leaves a page where there are none. */
  private tailRoom(): number {
    if (this.tailOffset === this.pageBytes) this.drop(0);
    return this.pageBytes - this.tailOffset;
  }

  private cursorOf(page: number, offset: number): number {
    return (page << this.cursorShift) | (offset >> 2);
  }

  private offsetIn(cursor: number): number {
    return (cursor & ((1 << this.cursorShift) - 1)) << 2;
  }
}
