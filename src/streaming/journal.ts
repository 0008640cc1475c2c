/**
 * What happened to a shard's keys, for the workers that want to hear it: a ring of entries, and a head that only grows.
 *
 *   entry   words u32 │ kind u8, worker that did it u8… │ who watched the key u32 │ who watches its prefix u32 │ slot or hash u32 │
 *           connection that did it u32 │ stamp u64 │ keyLen u32 │ key, padded to a word
 *
 * Why it is correct: entries are appended under the shard's lock, so there is one writer at a time, and the head moves when the
 * entry is whole. Readers take no lock. A reader copies what lies between its cursor and the head, and then looks at the head
 * again: a writer that has not moved the head yet can be at work on at most one entry beyond it, so if even the largest one would not
 * reach the reader's first word, nothing that was copied has been overwritten. Otherwise the reader was overrun, and knows it.
 * Looking again is a read-modify-write, which no earlier read passes on any processor.
 *
 * Positions count words and wrap at 2^32, far more than a reader can fall behind in the time after which it counts as hung.
 */
import { TWO_32 } from "../protocol/wire";
import type { StreamPlan } from "./memory";

export const Kind = {
  /** The key has the stamp as its version now, or was deleted under it. */
  CHANGED: 0,
  /** The key's expiry is another: its version is the same. */
  TOUCHED: 1,
  /** Keys with the prefix `key` are gone. */
  CLEARED: 2,
  /** A thread died in this shard before it told what it did. */
  LOST: 3,
  /** The lease on keys with this hash has ended, with a value or without. */
  LEASE_ENDED: 4,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

const HEADER_WORDS = 9;
const EMPTY = Buffer.alloc(0);
const EMPTY_VIEW = new DataView(EMPTY.buffer, EMPTY.byteOffset, 0);
/** Shorter keys are copied word by word, which costs less than a call. */
const SHORT_KEY_BYTES = 64;
const KIND_MASK = 0xff;
const WORKER_SHIFT = 8;

/** One entry: filled to be appended, or as it was read. One object is used again and again. */
export class Change {
  kind: Kind = Kind.CHANGED;
  /** Bits of workers: who watched keys of the slot, and who watches a prefix of the key. */
  keyWatchers = 0;
  prefixWatchers = 0;
  /** Interest word of the key; for LEASE_ENDED the key's hash. */
  slot = 0;
  stamp = 0;
  /** Who did it: a worker, and the number of its connection. */
  worker = 0;
  connection = 0;
  /** bytes[start, end) is the key; `view` shows the same bytes. */
  bytes: Buffer = EMPTY;
  view: DataView = EMPTY_VIEW;
  start = 0;
  end = 0;

  /** Drops the references to somebody's buffer. */
  forgetKey(): void {
    this.bytes = EMPTY;
    this.view = EMPTY_VIEW;
    this.start = 0;
    this.end = 0;
  }
}

export function entryWordsFor(keyBytes: number): number {
  return HEADER_WORDS + ((keyBytes + 3) >>> 2);
}

/** The side that writes; under the shard's lock. */
export class JournalWriter {
  private readonly words: Int32Array;
  private readonly bytes: Buffer;
  private readonly heads: Int32Array;
  private readonly ringWords: number;
  private readonly entryWordsMax: number;

  constructor(
    { memory, layout }: StreamPlan,
    private readonly shard: number,
  ) {
    const { journalBytes, shards, keyBytesMax } = memory.sizes;
    const block = memory.shards[shard]!;
    this.ringWords = journalBytes / 4;
    this.words = new Int32Array(block, layout.journal * 4, this.ringWords);
    this.bytes = Buffer.from(block as unknown as ArrayBuffer, layout.journal * 4, journalBytes);
    this.heads = new Int32Array(memory.common, layout.heads * 4, shards);
    this.entryWordsMax = entryWordsFor(keyBytesMax);
  }

  /** Appends; what does not fit is told to nobody by itself, but overruns everybody. */
  append(change: Change): void {
    const { words, ringWords, heads, shard } = this;
    const mask = ringWords - 1;
    const keyBytes = change.end - change.start;
    const entryWords = entryWordsFor(keyBytes);
    let at = heads[shard]!;
    if (entryWords > this.entryWordsMax || entryWords > ringWords) {
      Atomics.store(heads, shard, (at + 2 * ringWords) | 0);
      return;
    }
    words[at & mask] = entryWords;
    words[(at + 1) & mask] = change.kind | (change.worker << WORKER_SHIFT);
    words[(at + 2) & mask] = change.keyWatchers;
    words[(at + 3) & mask] = change.prefixWatchers;
    words[(at + 4) & mask] = change.slot;
    words[(at + 5) & mask] = change.connection;
    words[(at + 6) & mask] = change.stamp | 0;
    words[(at + 7) & mask] = (change.stamp / TWO_32) | 0;
    words[(at + 8) & mask] = keyBytes;
    if (keyBytes <= SHORT_KEY_BYTES) this.writeShortKey(at + HEADER_WORDS, change);
    else this.writeKey(((at + HEADER_WORDS) & mask) << 2, change);
    at = (at + entryWords) | 0;
    Atomics.store(heads, shard, at);
  }

  private writeShortKey(word: number, { view, start, end }: Change): void {
    const { words } = this;
    const mask = this.ringWords - 1;
    let from = start;
    for (const last = end - 3; from < last; from += 4) words[word++ & mask] = view.getInt32(from, true);
    let tail = 0;
    for (let shift = 0; from < end; from++, shift += 8) tail |= view.getUint8(from) << shift;
    if (((end - start) & 3) !== 0) words[word & mask] = tail;
  }

  private writeKey(at: number, { bytes, start, end }: Change): void {
    const room = this.bytes.length - at;
    const first = Math.min(end, start + room);
    bytes.copy(this.bytes, at, start, first);
    if (first < end) bytes.copy(this.bytes, 0, first, end);
  }
}

/** One worker's side that reads: a place in the journal of each shard. */
export class JournalReader {
  private readonly rings: readonly Buffer[];
  private readonly heads: Int32Array;
  private readonly cursors: Int32Array;
  private readonly ringWords: number;
  private readonly entryWordsMax: number;
  private readonly copy: Buffer;
  private readonly view: DataView;
  private readonly change = new Change();

  constructor({ memory, layout }: StreamPlan) {
    const { journalBytes, shards, keyBytesMax } = memory.sizes;
    this.ringWords = journalBytes / 4;
    this.rings = memory.shards.map((block) =>
      Buffer.from(block as unknown as ArrayBuffer, layout.journal * 4, journalBytes),
    );
    this.heads = new Int32Array(memory.common, layout.heads * 4, shards);
    this.cursors = new Int32Array(shards);
    this.entryWordsMax = entryWordsFor(keyBytesMax);
    this.copy = Buffer.allocUnsafeSlow(journalBytes);
    this.view = new DataView(this.copy.buffer);
    this.change.bytes = this.copy;
  }

  /** What has happened so far is not read. */
  skip(): void {
    for (let shard = 0; shard < this.cursors.length; shard++)
      this.cursors[shard] = Atomics.load(this.heads, shard);
  }

  /**
   * Reads what is new in a shard's journal.
   * @param visit called with each entry, which is good until it returns
   * @returns false when some of it was overwritten before it could be read; then nothing was visited
   */
  read(shard: number, visit: (change: Change) => void): boolean {
    const head = Atomics.load(this.heads, shard);
    const cursor = this.cursors[shard]!;
    if (head === cursor) return true;
    this.cursors[shard] = head;
    const words = (head - cursor) >>> 0;
    if (words > this.ringWords) return false;
    this.copyOut(this.rings[shard]!, cursor, words);
    const reached = ((Atomics.add(this.heads, shard, 0) - cursor) >>> 0) + this.entryWordsMax;
    if (reached > this.ringWords) return false;
    for (let at = 0; at < words;) at += this.decode(at, visit);
    return true;
  }

  private copyOut(ring: Buffer, cursor: number, words: number): void {
    const start = (cursor & (this.ringWords - 1)) << 2;
    const end = start + (words << 2);
    ring.copy(this.copy, 0, start, Math.min(end, ring.length));
    if (end > ring.length) ring.copy(this.copy, ring.length - start, 0, end - ring.length);
  }

  /** @returns the entry's words */
  private decode(word: number, visit: (change: Change) => void): number {
    const { view, change } = this;
    const at = word << 2;
    const head = view.getInt32(at + 4, true);
    change.kind = (head & KIND_MASK) as Kind;
    change.worker = head >>> WORKER_SHIFT;
    change.keyWatchers = view.getInt32(at + 8, true);
    change.prefixWatchers = view.getInt32(at + 12, true);
    change.slot = view.getInt32(at + 16, true);
    change.connection = view.getUint32(at + 20, true);
    change.stamp = view.getUint32(at + 24, true) + view.getUint32(at + 28, true) * TWO_32;
    change.start = at + HEADER_WORDS * 4;
    change.end = change.start + view.getUint32(at + 32, true);
    visit(change);
    return view.getInt32(at, true);
  }
}
