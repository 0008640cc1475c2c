/**
 * A block whose owner can be stopped between any two of its stores, as a kill stops it: what was stored before is there, and
 * nothing of what comes after. A copy of several bytes counts as two stores, one for each half.
 */
import type { Block } from "../../src/store/memory";

/** Thrown in place of the store at which the owner stops, and of all that its cleaning up would try. */
export class Stopped extends Error {
  override name = "Stopped";
}

type Words = Int32Array | Float64Array;

export class StoppingBlock {
  /** Stores so far. */
  stores = 0;
  readonly block: Block;
  private stopAt = Infinity;
  private readonly originals = new Map<unknown, Words>();

  constructor(private readonly real: Block) {
    this.block = {
      ...real,
      words: this.watched(real.words),
      doubles: this.watched(real.doubles),
      view: this.watchedView(),
    };
  }

  /** Runs it until it has stored so often, or to its end; true when it was stopped. */
  run(storesMax: number, run: () => void): boolean {
    this.stores = 0;
    this.stopAt = storesMax;
    const restore = this.watchGlobals();
    try {
      run();
      return false;
    } catch (error) {
      if (error instanceof Stopped) return true;
      throw error;
    } finally {
      restore();
    }
  }

  private store(apply: () => void): void {
    if (this.stores >= this.stopAt) throw new Stopped();
    this.stores++;
    apply();
  }

  private watched<T extends Words>(array: T): T {
    const proxy = new Proxy(array, {
      get: (target, name) => {
        const value = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        if (name !== "fill") throw new Error(`nobody has thought of ${String(name)} here`);
        return (...args: [number, number?, number?]) => this.store(() => target.fill(...args));
      },
      set: (target, index, value) => {
        this.store(() => (target[Number(index)] = value));
        return true;
      },
    });
    this.originals.set(proxy, array);
    return proxy;
  }

  private watchedView(): DataView {
    const { view } = this.real;
    return {
      getFloat64: view.getFloat64.bind(view),
      getInt32: view.getInt32.bind(view),
      getUint8: view.getUint8.bind(view),
      setFloat64: (at: number, value: number, little: boolean) =>
        this.store(() => view.setFloat64(at, value, little)),
    } as DataView;
  }

  /** Atomics take no proxies, and copies go to a Buffer's memory past its methods. Returns what undoes it. */
  private watchGlobals(): () => void {
    const { store, compareExchange, exchange, load } = Atomics;
    const { copy } = Buffer.prototype;
    const real = (array: unknown) => (this.originals.get(array) ?? array) as Int32Array;
    Object.assign(Atomics, {
      store: (array: Int32Array, index: number, value: number) => {
        if (!this.originals.has(array)) return store(array, index, value);
        this.store(() => store(real(array), index, value));
        return value;
      },
      compareExchange: (array: Int32Array, index: number, expected: number, value: number) =>
        compareExchange(real(array), index, expected, value),
      exchange: (array: Int32Array, index: number, value: number) => exchange(real(array), index, value),
      load: (array: Int32Array, index: number) => load(real(array), index),
    });
    const { bytes } = this.real;
    const stored = (apply: () => void) => this.store(apply);
    Buffer.prototype.copy = function (this: Buffer, target: Uint8Array, at = 0, from = 0, to = this.length) {
      if (target !== bytes) return copy.call(this, target, at, from, to);
      const half = (to - from) >> 1;
      stored(() => copy.call(this, target, at, from, from + half));
      stored(() => copy.call(this, target, at + half, from + half, to));
      return to - from;
    };
    return () => {
      Object.assign(Atomics, { store, compareExchange, exchange, load });
      Buffer.prototype.copy = copy;
    };
  }
}
