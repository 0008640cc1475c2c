/**
 * Bytes that a worker holds for its clients, where nothing else bounds them. Two kinds, each at most --max-buffered:
 *
 * - `used`: request bodies on their way in, JSON batches under way with their answers. What does not fit is refused with
 *   BUSY and has changed nothing, so that trying again is safe.
 * - `unread`: replies of WebSockets that wait for their clients to read. Beyond it those that hold most are ended.
 */
import { RequestError } from "../protocol/errors";

export class Quota {
  used = 0;
  unread = 0;

  constructor(readonly bytesMax: number) {}

  /** Throws BUSY when there is no room. `release` has to follow. */
  take(bytes: number): void {
    if (this.used + bytes > this.bytesMax) throw quotaError();
    this.used += bytes;
  }

  release(bytes: number): void {
    this.used -= bytes;
  }

  /** Whether an answer of so many bytes may be made: all that are made may come to be unread together. */
  hasRoomFor(bytes: number): boolean {
    return this.used + this.unread + bytes <= this.bytesMax;
  }

  get isOverflowing(): boolean {
    return this.unread > this.bytesMax;
  }
}

export function quotaError(): RequestError {
  return new RequestError("BUSY", "the server holds too much for its clients (--max-buffered); try again");
}
