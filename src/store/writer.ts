/**
 * Writes entries: in place where the new one is not longer or has room to be appended to, else at the head of the ring it belongs to.
 * Called under the lock. What a thread that stops here leaves behind costs the entry that it was writing, and no other: each change is
 * noted before it is made (intent.ts).
 */
import { entryBytesFor, type Entries, STAMP_BYTES } from "./entry";
import type { Eviction } from "./eviction";
import type { Ghost } from "./ghost";
import type { HashedKey } from "./hash";
import type { Intent } from "./intent";
import { C, RingId } from "./layout";
import { type Lifecycle, Reason } from "./lifecycle";
import type { Pages } from "./pages";
import type { ShardParts } from "./parts";
import type { Ring, Rings } from "./ring";
import { NO_SLOT, type Table } from "./table";
import { NO_GROUP, type Write } from "./write";

export class Writer {
  private readonly counters: Float64Array;
  private readonly intent: Intent;
  private readonly pages: Pages;
  private readonly entries: Entries;
  private readonly rings: Rings;
  private readonly table: Table;
  private readonly ghost: Ghost;
  private readonly lifecycle: Lifecycle;

  constructor(
    parts: ShardParts,
    private readonly eviction: Eviction,
  ) {
    this.counters = parts.block.doubles;
    this.intent = parts.intent;
    this.pages = parts.pages;
    this.entries = parts.entries;
    this.rings = parts.rings;
    this.table = parts.table;
    this.ghost = parts.ghost;
    this.lifecycle = parts.lifecycle;
  }

  /**
   * Stores a value under the key.
   * @param slot the key's slot, or NO_SLOT for a new entry
   */
  write(slot: number, key: HashedKey, write: Write, now: number): void {
    if (slot === NO_SLOT || !this.storeInPlace(slot, key, write, now)) this.storeAnew(slot, key, write, now);
    this.intent.end();
  }

  /** Appends to the value of an entry that has room for it. */
  append(at: number, { value, start, end, version }: Write): void {
    this.intent.overwrite(at, this.entries.bytesOf(at));
    this.entries.appendValue(at, value, start, end);
    this.entries.setVersion(at, version);
    this.counters[C.PAYLOAD]! += end - start;
    this.intent.end();
  }

  private storeAnew(slot: number, key: HashedKey, write: Write, now: number): void {
    const { entries } = this;
    this.intent.begin();
    const hasExpiry = write.expiresAt !== Infinity;
    const hasRoom = write.capacity > 0;
    const keyBytes = key.end - key.start;
    const namedBytes = keyBytes + write.type.text.length + stampBytes(write);
    const bytes = entryBytesFor(namedBytes, Math.max(write.capacity, write.length), hasExpiry, hasRoom);
    const ring = slot === NO_SLOT ? this.ringForNew(key, bytes) : this.ringForReplaced(slot, bytes);
    // Ended first: while room is made, its bytes are dead ones. The slot waits for the new place.
    if (slot !== NO_SLOT) this.lifecycle.end(slot, this.table.at(slot), Reason.REPLACED);
    this.eviction.reserve(bytes, now);
    this.intent.append(ring.id, ring.head);
    const at = ring.append(bytes);
    this.counters[C.BYTES_ADMITTED]! += bytes;
    entries.begin(at, keyBytes, hasExpiry, hasRoom);
    if (write.group !== NO_GROUP) entries.setStamp(at, write.group, write.epoch);
    entries.setRing(at, ring.id);
    entries.setType(at, write.type);
    entries.setValueLength(at, write.length);
    entries.setVersion(at, write.version);
    if (hasExpiry) entries.setExpiresAt(at, write.expiresAt);
    if (hasRoom) entries.setCapacity(at, write.capacity);
    entries.writeKey(at, key);
    entries.writeValue(at, write.value, write.start, write.end);
    this.lifecycle.stored(at);
    if (slot !== NO_SLOT) this.table.move(slot, at);
    else this.lifecycle.enter(key.hash, at);
  }

  private ringForNew(key: HashedKey, bytes: number): Ring {
    this.table.grow();
    if (this.eviction.isBig(bytes)) return this.rings[RingId.GUEST];
    return this.rings[this.ghost.take(key.hash) ? RingId.MAIN : RingId.SMALL];
  }

  /** Its own ring, unless the new size does not belong there: then main, since walks must find it further on. */
  private ringForReplaced(slot: number, bytes: number): Ring {
    const id = this.entries.ring(this.table.at(slot));
    const belongs = this.eviction.isBig(bytes) ? id === RingId.GUEST : id === RingId.SMALL;
    return this.rings[belongs ? id : RingId.MAIN];
  }

  /** Overwrites the entry where it lies, if the new one is not longer; what is left over becomes a pad. */
  private storeInPlace(slot: number, key: HashedKey, write: Write, now: number): boolean {
    const { entries } = this;
    const at = this.table.at(slot);
    const hasExpiry = entries.hasExpiryField(at);
    if (!hasExpiry && write.expiresAt !== Infinity) return false;
    if (write.capacity > 0 || entries.hasStamp(at) !== (write.group !== NO_GROUP)) return false;
    const hasRoom = entries.hasRoom(at);
    const oldBytes = entries.bytesOf(at);
    const namedBytes = key.end - key.start + write.type.text.length + stampBytes(write);
    const newBytes = entryBytesFor(namedBytes, write.length, hasExpiry, hasRoom);
    if (newBytes > oldBytes) return false;
    this.intent.overwrite(at, oldBytes);
    this.counters[C.PAYLOAD]! += write.length - entries.valueLength(at);
    if (write.group !== NO_GROUP) entries.setStamp(at, write.group, write.epoch);
    entries.setType(at, write.type);
    entries.setValueLength(at, write.length);
    if (hasRoom) entries.setCapacity(at, write.length);
    entries.setVersion(at, write.version);
    entries.writeValue(at, write.value, write.start, write.end);
    if (hasExpiry) {
      entries.setExpiresAt(at, write.expiresAt);
      this.lifecycle.noteExpiry(at);
    }
    const left = oldBytes - newBytes;
    if (left > 0) {
      entries.writePad(this.pages.advance(at, newBytes), left);
      this.rings[entries.ring(at)].forget(left);
      // The entry is whole again, and may be moved.
      this.intent.begin();
      this.eviction.killed(left, now);
    }
    return true;
  }
}

function stampBytes({ group }: Write): number {
  return group === NO_GROUP ? 0 : STAMP_BYTES;
}
