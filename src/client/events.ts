/** What a connection tells those who listen. A listener that throws does not disturb it, nor the other listeners. */
import { invalid } from "./check";

export interface ConnectionEvents {
  /** A connection was made: again, or by `open` the first one. */
  open: Record<string, never>;
  /** The connection ended; `code` as in RFC 6455, 7.4. Without `willReconnect` it ended for good. */
  close: { code: number; reason: string; willReconnect: boolean };
  /** The next attempt, from 1, the delay before it, and why there is no connection. */
  reconnecting: { attempt: number; delayMs: number; reason: string };
  /** `getOrCompute` could not store what was computed, or not compute a value anew; its callers had one all the same. */
  uncached: { key: string; error: unknown };
}

type Listener<Name extends keyof ConnectionEvents> = (event: ConnectionEvents[Name]) => void;

export class Events {
  private readonly listeners: { [Name in keyof ConnectionEvents]: Set<Listener<Name>> } = {
    open: new Set(),
    close: new Set(),
    reconnecting: new Set(),
    uncached: new Set(),
  };

  /** Returns what ends the listening. */
  on<Name extends keyof ConnectionEvents>(name: Name, listener: Listener<Name>): () => void {
    if (!Object.hasOwn(this.listeners, name))
      throw invalid("on", `there is no event ${name}, only ${Object.keys(this.listeners).join(", ")}`);
    if (typeof listener !== "function") throw invalid("on", `needs a function to call at ${name}`);
    this.listeners[name].add(listener);
    return () => void this.listeners[name].delete(listener);
  }

  /** What a listener throws is an uncaught error, as with an EventTarget. */
  emit<Name extends keyof ConnectionEvents>(name: Name, event: ConnectionEvents[Name]): void {
    for (const listener of [...this.listeners[name]]) {
      try {
        listener(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
