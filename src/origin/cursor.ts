/**
 * The place of a scan over all masters as one number that clients carry, below 2^63:
 *
 *   least slot of the master (14 bits) │ hash of the node's name (10) │ the node's own cursor (39)
 *
 * A replica that has taken its master's place has the same slots, and another order of keys; then the hash does not fit, and this master is walked from
 * its beginning again: a key may come twice, none is left out.
 */

export interface ScanPlace {
  readonly slot: number;
  readonly nodeHash: number;
  readonly nodeCursor: bigint;
}

const SLOT_AT = 49n;
const SLOT_MASK = 0x3fffn;
const HASH_AT = 39n;
const HASH_MASK = 0x3ffn;
const NODE_CURSOR_MASK = (1n << HASH_AT) - 1n;

/** FNV-1a. */
export function nodeHash(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0) & Number(HASH_MASK);
}

/** Null for a place that cannot be told: the node has more than 2^39 buckets. */
export function packPlace({ slot, nodeHash, nodeCursor }: ScanPlace): bigint | null {
  if (nodeCursor > NODE_CURSOR_MASK) return null;
  return (BigInt(slot) << SLOT_AT) | (BigInt(nodeHash) << HASH_AT) | nodeCursor;
}

/** Any number is a place: one that nobody gave out begins somewhere. */
export function unpackPlace(cursor: bigint): ScanPlace {
  return {
    slot: Number((cursor >> SLOT_AT) & SLOT_MASK),
    nodeHash: Number((cursor >> HASH_AT) & HASH_MASK),
    nodeCursor: cursor & NODE_CURSOR_MASK,
  };
}
