/**
 * Bytes that a worker holds for its clients. Two kinds, each at most --max-buffered:
 *
 * - `used`: request bodies that are coming in, and JSON batches that are being executed, with their answers. A request for which
 *   there is no room is refused with BUSY. It has changed nothing, so that trying again is safe.
 * - `unread`: replies of WebSockets that their clients have not read. Beyond the bound, the sessions that hold most are shed.
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

  /** Whether there is room for an answer of so many bytes. Unread replies count too, because it may become one of them. */
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
