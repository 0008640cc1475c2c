/**
 * Bounds the memory of large answers whose clients do not read. Bun keeps a copy of an answer until the kernel has taken all
 * of it, and does not say when that is; it only says how many requests of a server have not ended. Each of these may be
 * one of the largest answers given since there was none: so at most the sum of that many of the largest is unsent.
 */
import { quotaError } from "../commands/quota";

/** Smaller answers fit the kernel's buffers, or are too small to matter. */
const LARGE_BYTES = 64 * 1024;
/** The largest answers are remembered, so many of them; the others were no larger than the smallest of these. */
const SIZES_MAX = 1024;

/** What Bun tells of a server: its requests whose answers have not been sent whole, the one at work among them. */
export interface PendingRequests {
  readonly pendingRequests: number;
}

export class Unsent {
  /** Requests whose handlers have not answered: none of their answers is unsent. */
  unanswered = 0;
  /** Of answers that may be unsent, largest first. */
  private sizes: number[] = [];
  private sum = 0;

  constructor(private readonly bytesMax: number) {}

  /** Counts an answer of a handler that is at work; throws BUSY when there is no room for it. */
  admit(bytes: number, server: PendingRequests): void {
    if (bytes < LARGE_BYTES) return;
    this.check(bytes, server);
    this.remember(bytes);
  }

  /** The same before the answer is made, which costs more than to know about how long it will be. */
  check(bytes: number, server: PendingRequests): void {
    if (bytes < LARGE_BYTES) return;
    const pending = server.pendingRequests - this.unanswered - 1;
    if (pending <= 0) this.forget();
    if (this.sum + bytes > this.bytesMax && this.heldAtMost(pending) + bytes > this.bytesMax)
      throw quotaError();
  }

  /** Counts an answer that has to be given, because what it tells has been changed. */
  note(bytes: number): void {
    if (bytes >= LARGE_BYTES) this.remember(bytes);
  }

  private heldAtMost(pending: number): number {
    const { sizes } = this;
    let held = 0;
    for (let i = 0; i < pending && i < sizes.length; i++) held += sizes[i]!;
    const smallest = sizes.length === SIZES_MAX ? sizes.at(-1)! : 0;
    return held + Math.max(0, pending - sizes.length) * smallest;
  }

  private remember(bytes: number): void {
    const { sizes } = this;
    this.sum += bytes;
    let at = sizes.length;
    while (at > 0 && sizes[at - 1]! < bytes) at--;
    sizes.splice(at, 0, bytes);
    if (sizes.length > SIZES_MAX) sizes.pop();
  }

  private forget(): void {
    this.sizes = [];
    this.sum = 0;
  }
}
