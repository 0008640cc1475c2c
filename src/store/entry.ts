/**
 * One record of a ring, at a multiple of 4 bytes. Entries are read and written only through the accessors here.
 *
 *   word 0   kind (2 bits) │ has stamp (1) │ type is text (1) │ type (8) │ ring (2) │ has expiry (1) │ has room (1) │ key length (16)
 *            kind PAD: kind │ length of the pad in words (30 bits)
 *   word 1   value length
 *   word 2-3 version, low and high
 *   word 4-5 expiry, f64 ms (only with HAS_EXPIRY)
 *   next     stamp: group, epoch (only with HAS_STAMP; freshness.ts)
 *   next     capacity: value bytes there is room for (only with HAS_ROOM, which an entry has that was appended to)
 *   …        key, the type's text, value, the rest of its room, then up to 3 unused bytes
 *
 * The type (value-type.ts) is a number, or the length of the text. So a value without a type, or with a number for one, takes nothing more.
 *
 * The header and the key's first word lie within one page; the rest may go on in the next (see pages.ts).
 */
import type { RingId } from "./layout";
import type { Block } from "./memory";
import type { HashedKey, KeyRows } from "./hash";
import type { Pages } from "./pages";
import { TYPE_TEXT_BYTES_MAX, typeNumbered, type ValueType } from "./value-type";

export const Kind = { NONE: 0, LIVE: 1, DEAD: 2, PAD: 3 } as const;

const KIND_SHIFT = 30;
const PAD_WORDS_MASK = 0x3fffffff;
const KEY_LENGTH_MASK = 0xffff;
/** These two stand so that headerBytes needs no branch. */
const HAS_ROOM = 1 << 16;
const HAS_EXPIRY = 1 << 17;
const OPTIONAL_BYTES_SHIFT = 14;
const OPTIONAL_BYTES_MASK = 12;
const RING_SHIFT = 18;
const RING_MASK = 3 << RING_SHIFT;
const TYPE_SHIFT = 20;
const TYPE_MASK = 0xff;
const TYPE_IS_TEXT_SHIFT = 28;
/** Stands so that headerBytes needs no branch. */
const HAS_STAMP = 1 << 29;
const STAMP_SHIFT = 26;
const TYPE_BITS = (TYPE_MASK << TYPE_SHIFT) | (1 << TYPE_IS_TEXT_SHIFT);
const LIVE_BITS = Kind.LIVE << KIND_SHIFT;
const DEAD_BITS = Kind.DEAD << KIND_SHIFT;
const PAD_BITS = Kind.PAD << KIND_SHIFT;

const HEADER = 16;
const EXPIRY_BYTES = 8;
const CAPACITY_BYTES = 4;
export const STAMP_BYTES = 8;
/** What one page must hold of an entry: the longest header and the key's first word, so that the key starts in it too. */
export const ENTRY_START_BYTES = HEADER + EXPIRY_BYTES + STAMP_BYTES + CAPACITY_BYTES + 4;
const TWO_32 = 2 ** 32;

/**
 * Bytes an entry takes in its ring; one with room takes its capacity in place of its value.
 * @param keyBytes with those of the type's text, and of the stamp, where it has them
 */
export function entryBytesFor(
  keyBytes: number,
  valueBytes: number,
  hasExpiry: boolean,
  hasRoom = false,
): number {
  const header = HEADER + (hasExpiry ? EXPIRY_BYTES : 0) + (hasRoom ? CAPACITY_BYTES : 0);
  return (header + keyBytes + valueBytes + 3) & ~3;
}

/*
 * What the short way of a get asks of an entry (KeysAhead.read), as functions of the block's words and the entry's first
 * word. Methods would go through several objects of each shard, and all shards' together are more than the first cache holds.
 */

export function expires(words: Int32Array, entry: number): boolean {
  return (words[entry]! & HAS_EXPIRY) !== 0;
}

/** When, in ms on the store's clock; only of one that expires. */
export function expiryOf(view: DataView, entry: number): number {
  return view.getFloat64((entry << 2) + HEADER, true);
}

export function valueLengthOf(words: Int32Array, entry: number): number {
  return words[entry + 1]!;
}

function headerBytes(meta: number): number {
  return (
    HEADER + ((meta >>> OPTIONAL_BYTES_SHIFT) & OPTIONAL_BYTES_MASK) + ((meta >>> STAMP_SHIFT) & STAMP_BYTES)
  );
}

export function hasStamp(words: Int32Array, entry: number): boolean {
  return (words[entry]! & HAS_STAMP) !== 0;
}

/** The word of a stamp's group; its epoch follows. Only of an entry with a stamp. */
export function stampWordOf(words: Int32Array, entry: number): number {
  const meta = words[entry]!;
  return entry + ((headerBytes(meta) - STAMP_BYTES) >> 2) - ((meta & HAS_ROOM) >>> 16);
}

/** Offset of the first byte after a key that lies in one page. */
export function keyEndOf(words: Int32Array, entry: number): number {
  const meta = words[entry]!;
  return (entry << 2) + headerBytes(meta) + (meta & KEY_LENGTH_MASK);
}

/** Bytes of the type's text; 0 where it has none. Without a branch: nearly every get passes here. */
function typeBytes(meta: number): number {
  return (meta >>> TYPE_SHIFT) & TYPE_MASK & -((meta >>> TYPE_IS_TEXT_SHIFT) & 1);
}

/** Offset of the value's first byte, where that and the key lie in one page. */
export function valueStartOf(words: Int32Array, entry: number): number {
  return keyEndOf(words, entry) + typeBytes(words[entry]!);
}

/** Whether an entry whose key lies in one page has the key of a row. False also for keys below a word. */
export function hasKey(words: Int32Array, entry: number, rows: KeyRows, row: number): boolean {
  const { view } = rows;
  const start = rows.keyStarts[row]!;
  const end = rows.keyEnds[row]!;
  const length = end - start;
  if ((words[entry]! & KEY_LENGTH_MASK) !== length || length < 4) return false;
  const keyEnd = keyEndOf(words, entry);
  let word = (keyEnd - length) >> 2;
  const last = end - 4;
  for (let from = start; from <= last; from += 4) {
    if (words[word++] !== view.getInt32(from, true)) return false;
  }
  // What is left ends the key's last four bytes; of the entry's word it is the lower part.
  const shift = (4 - (length & 3)) << 3;
  return shift === 32 || words[word]! << shift === (view.getInt32(last, true) >>> shift) << shift;
}

export class Entries {
  private readonly words: Int32Array;
  private readonly bytes: Buffer;
  private readonly view: DataView;
  private scratch = Buffer.alloc(0);
  private scratchView = new DataView(this.scratch.buffer);
  private readonly typeText = Buffer.alloc(TYPE_TEXT_BYTES_MAX);

  constructor(
    block: Block,
    private readonly pages: Pages,
  ) {
    this.words = block.words;
    this.bytes = block.bytes;
    this.view = block.view;
  }

  kind(at: number): number {
    return this.words[at >> 2]! >>> KIND_SHIFT;
  }

  /** The ring the entry lies in. */
  ring(at: number): RingId {
    return ((this.words[at >> 2]! & RING_MASK) >> RING_SHIFT) as RingId;
  }

  setRing(at: number, ring: RingId): void {
    this.words[at >> 2] = (this.words[at >> 2]! & ~RING_MASK) | (ring << RING_SHIFT);
  }

  markDead(at: number): void {
    this.words[at >> 2] = (this.words[at >> 2]! & ~LIVE_BITS) | DEAD_BITS;
  }

  writePad(at: number, padBytes: number): void {
    this.words[at >> 2] = PAD_BITS | (padBytes >> 2);
  }

  /** Bytes the record takes, whatever its kind. */
  bytesOf(at: number): number {
    const meta = this.words[at >> 2]!;
    if (meta >>> KIND_SHIFT === Kind.PAD) return (meta & PAD_WORDS_MASK) << 2;
    return (headerBytes(meta) + (meta & KEY_LENGTH_MASK) + typeBytes(meta) + this.capacity(at) + 3) & ~3;
  }

  keyLength(at: number): number {
    return this.words[at >> 2]! & KEY_LENGTH_MASK;
  }

  valueLength(at: number): number {
    return valueLengthOf(this.words, at >> 2);
  }

  /** Whether there may be room behind the value. */
  hasRoom(at: number): boolean {
    return (this.words[at >> 2]! & HAS_ROOM) !== 0;
  }

  /** Value bytes that the entry has room for, those of its value included. */
  capacity(at: number): number {
    return this.hasRoom(at) ? this.words[this.capacityWord(at)]! : this.valueLength(at);
  }

  /** Only for an entry with room. */
  setCapacity(at: number, valueBytes: number): void {
    this.words[this.capacityWord(at)] = valueBytes;
  }

  version(at: number): number {
    return (this.words[(at >> 2) + 2]! >>> 0) + this.words[(at >> 2) + 3]! * TWO_32;
  }

  setVersion(at: number, version: number): void {
    this.words[(at >> 2) + 2] = version | 0;
    this.words[(at >> 2) + 3] = (version / TWO_32) | 0;
  }

  hasExpiryField(at: number): boolean {
    return expires(this.words, at >> 2);
  }

  /** Milliseconds on the store's clock; Infinity when the entry never expires. */
  expiresAt(at: number): number {
    return expires(this.words, at >> 2) ? expiryOf(this.view, at >> 2) : Infinity;
  }

  hasStamp(at: number): boolean {
    return hasStamp(this.words, at >> 2);
  }

  /** Right after `begin`, since what follows in the entry moves; or over an earlier one. */
  setStamp(at: number, group: number, epoch: number): void {
    this.words[at >> 2]! |= HAS_STAMP;
    const word = stampWordOf(this.words, at >> 2);
    this.words[word] = group;
    this.words[word + 1] = epoch;
  }

  /** Only for an entry with the field. */
  setExpiresAt(at: number, expiresAt: number): void {
    this.view.setFloat64(at + HEADER, expiresAt, true);
  }

  /** What the value is. */
  type(at: number): ValueType {
    const meta = this.words[at >> 2]!;
    const bytes = typeBytes(meta);
    if (bytes === 0) return typeNumbered((meta >>> TYPE_SHIFT) & TYPE_MASK);
    this.pages.read(this.typeAt(at), bytes, this.typeText, 0);
    return { number: 0, text: this.typeText.toString("latin1", 0, bytes) };
  }

  /** Whether the type is a text. */
  hasTypeText(at: number): boolean {
    return (this.words[at >> 2]! & (1 << TYPE_IS_TEXT_SHIFT)) !== 0;
  }

  /** Before the value is written, which comes behind a text. */
  setType(at: number, { number, text }: ValueType): void {
    const bits = text === "" ? number << TYPE_SHIFT : (1 << TYPE_IS_TEXT_SHIFT) | (text.length << TYPE_SHIFT);
    this.words[at >> 2] = (this.words[at >> 2]! & ~TYPE_BITS) | bits;
    if (text === "") return;
    this.typeText.write(text, "latin1");
    this.pages.write(this.typeAt(at), this.typeText, 0, text.length);
  }

  /** The first word of a live entry's header, which says what else is in it; it has no type yet. */
  begin(at: number, keyBytes: number, hasExpiry: boolean, hasRoom: boolean): void {
    this.words[at >> 2] = LIVE_BITS | keyBytes | (hasExpiry ? HAS_EXPIRY : 0) | (hasRoom ? HAS_ROOM : 0);
  }

  setValueLength(at: number, valueBytes: number): void {
    this.words[(at >> 2) + 1] = valueBytes;
  }

  keyAt(at: number): number {
    return at + headerBytes(this.words[at >> 2]!);
  }

  writeKey(at: number, key: HashedKey): void {
    this.pages.write(this.keyAt(at), key.bytes, key.start, key.end);
  }

  writeValue(at: number, value: Buffer, start: number, end: number): void {
    this.pages.write(this.valueAt(at), value, start, end);
  }

  /** Writes value[start, end) behind the entry's value, into its room, and counts it to its length. */
  appendValue(at: number, value: Buffer, start: number, end: number): void {
    const length = this.valueLength(at);
    this.pages.write(this.pages.advance(this.valueAt(at), length), value, start, end);
    this.setValueLength(at, length + end - start);
  }

  readKey(at: number, target: Uint8Array, targetAt: number): void {
    this.pages.read(this.keyAt(at), this.keyLength(at), target, targetAt);
  }

  readValue(at: number, target: Uint8Array, targetAt: number): void {
    this.pages.read(this.valueAt(at), this.valueLength(at), target, targetAt);
  }

  /** Whether the entry's key is this one, compared by words where it lies in one page. */
  keyEquals(at: number, key: HashedKey): boolean {
    const meta = this.words[at >> 2]!;
    const length = key.end - key.start;
    if ((meta & KEY_LENGTH_MASK) !== length) return false;
    const keyAt = at + headerBytes(meta);
    if (keyAt + length > this.pages.endOf(at)) return this.splitKeyEquals(at, key);
    const view = key.view;
    const words = this.words;
    let from = key.start;
    let word = keyAt >> 2;
    for (const last = key.end - 3; from < last; from += 4) {
      if (words[word++] !== view.getInt32(from, true)) return false;
    }
    for (let byte = word << 2; from < key.end; from++) {
      if (this.bytes[byte++] !== view.getUint8(from)) return false;
    }
    return true;
  }

  /** Aims a key at the entry's own key bytes, copied out first where two pages share them. */
  aimAtKey(at: number, key: HashedKey): void {
    const keyAt = this.keyAt(at);
    const length = this.keyLength(at);
    if (keyAt + length <= this.pages.endOf(at)) {
      key.aim(this.bytes, this.view, keyAt, keyAt + length);
      return;
    }
    this.loadScratch(at, length);
    key.aim(this.scratch, this.scratchView, 0, length);
  }

  keyStartsWith(at: number, prefix: Buffer): boolean {
    const { length } = prefix;
    const keyLength = this.keyLength(at);
    if (keyLength < length) return false;
    const keyAt = this.keyAt(at);
    if (keyAt + length <= this.pages.endOf(at))
      return this.bytes.compare(prefix, 0, length, keyAt, keyAt + length) === 0;
    this.loadScratch(at, keyLength);
    return this.scratch.compare(prefix, 0, length, 0, length) === 0;
  }

  private splitKeyEquals(at: number, key: HashedKey): boolean {
    const length = this.keyLength(at);
    this.loadScratch(at, length);
    return this.scratch.compare(key.bytes, key.start, key.end, 0, length) === 0;
  }

  private loadScratch(at: number, keyLength: number): void {
    if (this.scratch.length < keyLength) {
      this.scratch = Buffer.alloc(KEY_LENGTH_MASK);
      this.scratchView = new DataView(this.scratch.buffer, this.scratch.byteOffset, this.scratch.length);
    }
    this.readKey(at, this.scratch, 0);
  }

  private capacityWord(at: number): number {
    return ((at + headerBytes(this.words[at >> 2]!)) >> 2) - 1;
  }

  private typeAt(at: number): number {
    return this.pages.advance(this.keyAt(at), this.keyLength(at));
  }

  private valueAt(at: number): number {
    return this.pages.advance(this.keyAt(at), this.keyLength(at) + typeBytes(this.words[at >> 2]!));
  }
}
