/**
 * One listener for each AbortSignal, however many requests it can give up: with a listener for each request, runtimes
 * warn of a leak, and each removal looks through all of them.
 */
import { CacheError } from "./errors";

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new CacheError("aborted", "aborted before it was sent");
}

export class Signals<Item> {
  private readonly watched = new Map<AbortSignal, Set<Item>>();
  private readonly listener = (event: Event) => {
    const signal = event.target as AbortSignal;
    const items = this.watched.get(signal)!;
    this.watched.delete(signal);
    this.onAbort(items);
  };

  /** `onAbort` is told all items of a signal at once; they are forgotten before. */
  constructor(private readonly onAbort: (items: Iterable<Item>) => void) {}

  add(signal: AbortSignal, item: Item): void {
    let items = this.watched.get(signal);
    if (items === undefined) {
      this.watched.set(signal, (items = new Set()));
      signal.addEventListener("abort", this.listener, { once: true });
    }
    items.add(item);
  }

  remove(signal: AbortSignal, item: Item): void {
    const items = this.watched.get(signal);
    if (!items?.delete(item) || items.size > 0) return;
    this.watched.delete(signal);
    signal.removeEventListener("abort", this.listener);
  }
}
