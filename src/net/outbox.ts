/**
 * What a worker writes to one connection during one event: gathered in one buffer, so that the answers to whatever came
 * together leave together. One for all connections of a thread, since events come one after the other.
 *
 * Invariant: between two events nobody holds it, and `length` is 0.
 */

/** Longer pieces are not copied here but sent from where they are. */
export const PIECE_BYTES_MAX = 32 * 1024;
const BYTES = 64 * 1024;

export class Outbox {
  readonly bytes = Buffer.allocUnsafeSlow(BYTES);
  length = 0;
  /** The connection whose event this is. */
  holder: object | null = null;

  hasRoomFor(byteCount: number): boolean {
    return this.length + byteCount <= BYTES;
  }
}
