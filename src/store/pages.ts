/**
 * The pool of pages of one shard. Table, ghost and the rings take equal pages from it and give them back, so memory
 * goes where the load needs it and the shard's limit is a number of pages that cannot be passed.
 * A page given back is the next one taken: memory that was never touched stays untouched as long as possible.
 *
 * Bytes that do not fit into the rest of a page go on in the ring's next page; only copies and comparisons here know.
 */
import { PAGE_NOTE_BYTES, W } from "./layout";
import type { Block } from "./memory";

/** Offset noted for a page in which no entry starts. */
export const NO_ENTRY = 0x7fffffff;
/** Noted as the next page of one that belongs to the table. */
export const TABLE_PAGE = -1;
export const NOTE_WORDS = PAGE_NOTE_BYTES / 4;

export class Pages {
  readonly bytes: number;
  readonly shift: number;
  readonly count: number;
  private readonly words: Int32Array;
  private readonly doubles: Float64Array;
  private readonly buffer: Buffer;
  private readonly notesWord: number;
  private readonly metaPages: number;

  constructor(block: Block) {
    this.words = block.words;
    this.doubles = block.doubles;
    this.buffer = block.bytes;
    this.bytes = block.layout.pageBytes;
    this.shift = block.layout.pageShift;
    this.count = block.layout.pageCount;
    this.notesWord = block.layout.notesWord;
    this.metaPages = block.layout.metaPages;
  }

  /** Gives every page back. */
  reset(): void {
    for (let page = this.metaPages; page < this.count; page++) {
      this.setNext(page, 0);
      this.setExpiry(page, Infinity);
    }
    this.words[W.PAGE_FRESH] = this.metaPages;
    this.words[W.PAGE_FREED] = 0;
    this.words[W.PAGE_FREE_COUNT] = this.count - this.metaPages;
  }

  /** Whether there is such a page, and it is none of the header's. */
  isInPool(page: number): boolean {
    return page >= this.metaPages && page < this.count;
  }

  /** Makes the pool anew of all pages that are not taken. */
  collect(isTaken: (page: number) => boolean): void {
    let fresh = Math.min(Math.max(this.words[W.PAGE_UNTOUCHED]!, this.metaPages), this.count);
    for (let page = fresh; page < this.count; page++) if (isTaken(page)) fresh = page + 1;
    this.words[W.PAGE_FRESH] = fresh;
    this.words[W.PAGE_FREED] = 0;
    this.words[W.PAGE_FREE_COUNT] = this.count - fresh;
    for (let page = fresh - 1; page >= this.metaPages; page--) if (!isTaken(page)) this.give(page);
  }

  get free(): number {
    return this.words[W.PAGE_FREE_COUNT]!;
  }

  /** Takes a page, without a next one; its old content is still in it. Throws when there is none: callers make room first. */
  take(): number {
    if (this.words[W.PAGE_FREE_COUNT] === 0) throw new Error("no free page: room was not made before");
    this.words[W.PAGE_FREE_COUNT]! -= 1;
    const freed = this.words[W.PAGE_FREED]!;
    if (freed !== 0) {
      this.words[W.PAGE_FREED] = this.next(freed);
      this.setNext(freed, 0);
      return freed;
    }
    const fresh = this.words[W.PAGE_FRESH]!++;
    if (fresh >= this.words[W.PAGE_UNTOUCHED]!) this.words[W.PAGE_UNTOUCHED] = fresh + 1;
    return fresh;
  }

  /** Takes a page of zeros. One that was never taken is that already, and stays out of memory until it is written to. */
  takeZeroed(): number {
    const untouched = this.words[W.PAGE_UNTOUCHED]!;
    const page = this.take();
    if (page < untouched) this.words.fill(0, (page * this.bytes) >> 2, ((page + 1) * this.bytes) >> 2);
    return page;
  }

  give(page: number): void {
    this.setExpiry(page, Infinity);
    this.setNext(page, this.words[W.PAGE_FREED]!);
    this.words[W.PAGE_FREED] = page;
    this.words[W.PAGE_FREE_COUNT]! += 1;
  }

  next(page: number): number {
    return this.words[this.notesWord + page * NOTE_WORDS]!;
  }

  setNext(page: number, next: number): void {
    this.words[this.notesWord + page * NOTE_WORDS] = next;
  }

  /** Offset within the page of the first entry that starts in it, or NO_ENTRY. */
  first(page: number): number {
    return this.words[this.notesWord + page * NOTE_WORDS + 1]!;
  }

  setFirst(page: number, offset: number): void {
    this.words[this.notesWord + page * NOTE_WORDS + 1] = offset;
  }

  /** No entry that starts in the page expires before this time (ms); Infinity when none expires. */
  expiry(page: number): number {
    return this.doubles[(this.notesWord >> 1) + page * 2 + 1]!;
  }

  setExpiry(page: number, expiresAt: number): void {
    this.doubles[(this.notesWord >> 1) + page * 2 + 1] = expiresAt;
  }

  pageOf(at: number): number {
    return at >>> this.shift;
  }

  /** First byte after the page that holds `at`. */
  endOf(at: number): number {
    return (at | (this.bytes - 1)) + 1;
  }

  /** Where the byte `distance` after `at` lies, at most one page's end away from being a page's start. */
  advance(at: number, distance: number): number {
    let room = this.endOf(at) - at;
    while (distance >= room) {
      const next = this.next(this.pageOf(at));
      if (next === 0) break;
      distance -= room;
      at = next << this.shift;
      room = this.bytes;
    }
    return at + distance;
  }

  /** Copies stored bytes out. */
  read(at: number, length: number, target: Uint8Array, targetAt: number): void {
    let room = this.endOf(at) - at;
    while (length > room) {
      this.buffer.copy(target, targetAt, at, at + room);
      targetAt += room;
      length -= room;
      at = this.next(this.pageOf(at)) << this.shift;
      room = this.bytes;
    }
    this.buffer.copy(target, targetAt, at, at + length);
  }

  /** Copies source[start, end) into stored bytes. */
  write(at: number, source: Buffer, start: number, end: number): void {
    let room = this.endOf(at) - at;
    while (end - start > room) {
      source.copy(this.buffer, at, start, start + room);
      start += room;
      at = this.next(this.pageOf(at)) << this.shift;
      room = this.bytes;
    }
    source.copy(this.buffer, at, start, end);
  }
}
