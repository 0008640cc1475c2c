/**
 * The copies of a near cache, bounded by bytes. Which one goes is chosen by SIEVE (Zhang et al., NSDI '24): a hit marks a
 * copy and moves nothing.
 *
 *   newest ◀─▶ … ◀─▶ hand ◀─▶ … ◀─▶ oldest
 *
 *   to make room: while the copy under the hand is marked, unmark it and move the hand to the next newer one (after the newest
 *   comes the oldest again); then drop the copy under the hand, and move the hand on
 */

/** What is held of one key. */
export interface Copy {
  readonly key: string;
  /** Text once it was read as text without loss, otherwise bytes; null where there is no entry. */
  value: string | Uint8Array | null;
  /** What the value takes. */
  valueBytes: number;
  /** 0 where there is no entry. */
  readonly version: number;
  /** When the entry expires, on the client's clock; Infinity without expiry. */
  until: number;
  /** Served only while this is the generation of the near cache. */
  generation: number;
  /** Read since the hand last passed. */
  isMarked: boolean;
  /** What it counts for; 0 while it is not held. */
  bytes: number;
  newer: Copy | null;
  older: Copy | null;
}

/** What an entry takes beside its key and value in Bun and Node: its object, its place in the map, two strings. */
export const COPY_BYTES = 224;
/** A copy that would take more than this share of everything would push out too many others. */
const LARGEST_SHARE = 1 / 8;

export class Copies {
  /** Bytes of all copies that are held. */
  bytes = 0;
  /** Copies that went to make room. */
  evictions = 0;
  private readonly byKey = new Map<string, Copy>();
  private newest: Copy | null = null;
  private oldest: Copy | null = null;
  private hand: Copy | null = null;

  constructor(private bytesMax: number) {}

  get size(): number {
    return this.byKey.size;
  }

  get(key: string): Copy | undefined {
    return this.byKey.get(key);
  }

  /** Holds a copy in the place of the one before, unless it is too large. Who is stored again was wanted again. */
  put(copy: Copy): void {
    const before = this.byKey.get(copy.key);
    if (before !== undefined) this.drop(before);
    const bytes = bytesOf(copy);
    if (bytes > this.bytesMax * LARGEST_SHARE) return;
    this.makeRoom(bytes);
    copy.isMarked = before !== undefined;
    copy.bytes = bytes;
    this.byKey.set(copy.key, copy);
    copy.older = this.newest;
    if (this.newest === null) this.oldest = copy;
    else this.newest.newer = copy;
    this.newest = copy;
    this.bytes += bytes;
  }

  /** Gives a copy its value as text. Engines keep text in one byte a character where it is ASCII, else in up to two. */
  reshape(copy: Copy, text: string): void {
    copy.value = text;
    copy.valueBytes = text.length === copy.valueBytes ? text.length : 2 * text.length;
    if (copy.bytes === 0) return;
    const bytes = bytesOf(copy);
    this.bytes += bytes - copy.bytes;
    copy.bytes = bytes;
    this.makeRoom(0);
  }

  /** Lets go of a copy that is held. */
  drop(copy: Copy): void {
    const { newer, older } = copy;
    if (newer === null) this.newest = older;
    else newer.older = older;
    if (older === null) this.oldest = newer;
    else older.newer = newer;
    if (this.hand === copy) this.hand = newer;
    this.byKey.delete(copy.key);
    this.bytes -= copy.bytes;
    copy.bytes = 0;
    copy.newer = copy.older = null;
  }

  /** Lets go of all whose keys begin so; returns how many. */
  dropUnder(prefix: string): number {
    const before = this.size;
    for (const copy of this.byKey.values()) if (copy.key.startsWith(prefix)) this.drop(copy);
    return before - this.size;
  }

  /** Lets go of all, and holds none any more. */
  close(): void {
    this.bytesMax = 0;
    this.dropUnder("");
  }

  private makeRoom(bytes: number): void {
    while (this.bytes + bytes > this.bytesMax) {
      let copy = this.hand ?? this.oldest!;
      while (copy.isMarked) {
        copy.isMarked = false;
        copy = copy.newer ?? this.oldest!;
      }
      this.hand = copy;
      this.drop(copy);
      this.evictions++;
    }
  }
}

function bytesOf({ key, valueBytes }: Copy): number {
  return COPY_BYTES + 2 * key.length + valueBytes;
}
