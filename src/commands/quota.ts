/**
 * Bytes that a worker holds for its clients on the heap, where nothing else bounds them: request bodies on their way in,
 * JSON batches under way with their answers, large answers on their way out. What does not fit is refused with BUSY, and
 * has changed nothing, so that trying again is safe.
 */
import { RequestError } from "../protocol/errors";

export class Quota {
  /** Bytes taken and not given back. */
  used = 0;

  constructor(readonly bytesMax: number) {}

  get isFull(): boolean {
    return this.used >= this.bytesMax;
  }

  /** False when there is no room; nothing is taken then. */
  tryTake(bytes: number): boolean {
    if (this.used + bytes > this.bytesMax) return false;
    this.used += bytes;
    return true;
  }

  /** Throws BUSY when there is no room. `release` has to follow. */
  take(bytes: number): void {
    if (!this.tryTake(bytes)) throw quotaError();
  }

  release(bytes: number): void {
    this.used -= bytes;
  }
}

export function quotaError(): RequestError {
  return new RequestError("BUSY", "the server holds too much for its clients (--max-buffered); try again");
}
