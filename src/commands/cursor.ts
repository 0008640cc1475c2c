/**
 * A scan's place as the u64 that clients carry: shard (14 bits) │ ring (2) │ offset / 4 (16) │ page number (32).
 * Any number is a place: one that nobody gave out starts at the nearest record, or ends the scan.
 */
import { RingId } from "../store/layout";
import type { ScanPlace } from "../store/store";

const SHARD_AT = 50n;
const RING_AT = 48n;
const RING_MASK = 3n;
const OFFSET_AT = 32n;
const OFFSET_MASK = 0xffffn;
const SEQUENCE_MASK = 0xffffffffn;

export function cursorOfPlace(place: ScanPlace): bigint {
  // An offset past the page's end (the entry went on in the next) means the same as the page's end.
  const offset = BigInt(Math.min(place.offset >> 2, Number(OFFSET_MASK)));
  return (
    (BigInt(place.shard) << SHARD_AT) |
    (BigInt(place.ring) << RING_AT) |
    (offset << OFFSET_AT) |
    BigInt(place.sequence >>> 0)
  );
}

export function placeOfCursor(cursor: bigint): ScanPlace {
  return {
    shard: Number(cursor >> SHARD_AT),
    ring: Math.min(Number((cursor >> RING_AT) & RING_MASK), RingId.MAIN) as RingId,
    offset: Number((cursor >> OFFSET_AT) & OFFSET_MASK) << 2,
    sequence: Number(cursor & SEQUENCE_MASK),
  };
}
