/**
 * What the lock's owner is about to do, noted in the block before it does it, so that a shard can be made whole again whose owner
 * stopped in the middle: a thread that was terminated, or a process that was killed while its memory lives on in a file.
 *
 * What may be lost is decided here, and repair.ts does the rest. Only the rings are trusted: everything between a
 * ring's tail and its head is whole records, and the live ones among them are the entries. Table, ghost, free pages, page notes
 * and sums are made anew from that. So an owner may stop anywhere as long as the rings can be trusted, or a note says where not:
 *
 *   CHANGING   the rings can be trusted
 *   IN_PLACE   except for one record, which is being overwritten: it is given up
 *   APPEND     except for what lies behind the head that was noted: it is cut off
 *   MOVE       except for one record that is partly at a tail and partly at a head, in several pieces: the move is finished
 *
 * Why the order of stores suffices: whoever is killed has completed all instructions before some point and none after it, and its
 * stores are in memory for whoever comes next. So only the compiler could change their order, and it moves none across an
 * atomic one. Notes become valid by an atomic store of MUTATING, after their words. All of this is about the end of a
 * thread or process; after a loss of power nothing unclean is looked at.
 */
import { W } from "./layout";
import type { RingId } from "./layout";

export const Change = { NONE: 0, CHANGING: 1, IN_PLACE: 2, APPEND: 3, MOVE: 4 } as const;
export type Change = (typeof Change)[keyof typeof Change];

/** A move under way: `done` of `bytes` lay at the target when the present piece began, which lies at `from` in the source. */
export interface Move {
  readonly source: RingId;
  readonly target: RingId;
  readonly at: number;
  readonly bytes: number;
  readonly done: number;
  readonly from: number;
}

export class Intent {
  constructor(private readonly words: Int32Array) {}

  get change(): Change {
    return this.words[W.MUTATING] as Change;
  }

  /** From here until `end` only the rings can be trusted. */
  begin(): void {
    Atomics.store(this.words, W.MUTATING, Change.CHANGING);
  }

  /** The record at `at`, of so many bytes, is overwritten. */
  overwrite(at: number, bytes: number): void {
    this.words[W.INTENT_AT] = at;
    this.words[W.INTENT_BYTES] = bytes;
    Atomics.store(this.words, W.MUTATING, Change.IN_PLACE);
  }

  /** A record is written behind the head of a ring, which is at this cursor. */
  append(ring: RingId, head: number): void {
    this.words[W.INTENT_AT] = head;
    this.words[W.INTENT_TARGET] = ring;
    Atomics.store(this.words, W.MUTATING, Change.APPEND);
  }

  /** The record at the tail of a ring moves to `at`, the head of this or another ring, in several pieces. */
  move(source: RingId, target: RingId, at: number, bytes: number): void {
    this.words[W.INTENT_AT] = at;
    this.words[W.INTENT_BYTES] = bytes;
    this.words[W.INTENT_SOURCE] = source;
    this.words[W.INTENT_TARGET] = target;
    this.words[W.INTENT_DONE] = 0;
    this.words[W.INTENT_FROM] = 0;
    Atomics.store(this.words, W.MUTATING, Change.MOVE);
  }

  /** The next piece. In this order: between the two, `from` is no tail, and by that the piece is known not to have begun. */
  piece(done: number, from: number): void {
    Atomics.store(this.words, W.INTENT_DONE, done);
    Atomics.store(this.words, W.INTENT_FROM, from);
  }

  /** The shard is whole. What comes next is the release of the lock, which is atomic. */
  end(): void {
    this.words[W.MUTATING] = Change.NONE;
  }

  /** Only while MUTATING is IN_PLACE. */
  get overwritten(): { at: number; bytes: number } {
    return { at: this.words[W.INTENT_AT]!, bytes: this.words[W.INTENT_BYTES]! };
  }

  /** Only while it is APPEND. */
  get appended(): { ring: RingId; head: number } {
    return { ring: this.words[W.INTENT_TARGET] as RingId, head: this.words[W.INTENT_AT]! };
  }

  /** Only while it is MOVE. */
  get moved(): Move {
    const { words } = this;
    return {
      source: words[W.INTENT_SOURCE] as RingId,
      target: words[W.INTENT_TARGET] as RingId,
      at: words[W.INTENT_AT]!,
      bytes: words[W.INTENT_BYTES]!,
      done: words[W.INTENT_DONE]!,
      from: words[W.INTENT_FROM]!,
    };
  }
}
