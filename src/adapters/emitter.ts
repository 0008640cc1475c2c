/** What Keyv and its users call of Node's EventEmitter, for browsers, too. Events that nobody listens for are dropped. */

type Listener = (...details: any[]) => void;

export class Emitter {
  private readonly listeners = new Map<string, Set<Listener>>();

  /** Calls back on every such event. */
  on(event: string, listener: Listener): this {
    const listeners = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, listeners.add(listener));
    return this;
  }

  /** Calls back on the next such event. */
  once(event: string, listener: Listener): this {
    const first = (...details: unknown[]) => {
      this.off(event, first);
      listener(...details);
    };
    return this.on(event, first);
  }

  /** Ends what `on` began. */
  off(event: string, listener: Listener): this {
    this.listeners.get(event)?.delete(listener);
    return this;
  }

  /** Calls the listeners, in the order in which they came. */
  emit(event: string, ...details: unknown[]): void {
    for (const listener of [...(this.listeners.get(event) ?? [])]) listener(...details);
  }
}
