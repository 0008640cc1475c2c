/**
 * One iteration over the changes under a prefix.
 *
 *   new ──(next)──▶ open ──(return, an error, the client was closed)──▶ ended
 *
 * Invariant: changes wait only while no reader does. Those of a consumer that does not read become one reset.
 */
import type { CacheError } from "./errors";
import { Fifo } from "./fifo";

/** A key that was changed, or a prefix of which everything may have been. */
export type Change =
  | {
      key: string;
      /** The version that the key has, or at which it was deleted; 0 where that is not told: after a touch, for example. */
      version: number;
      reset?: undefined;
    }
  | {
      /** Whatever was read under this prefix may be old: changes may have been missed. */
      reset: string;
      key?: undefined;
      version?: undefined;
    };

/** What a watch does to its surroundings. */
export interface WatchHooks {
  /** Before the first change; what it throws is the iteration's error. */
  begin(): void;
  /** After `begin`, once. */
  end(): void;
}

type Result = IteratorResult<Change, undefined>;

/** Changes that wait, counted as their keys and what each takes beside. */
export const BACKLOG_BYTES_MAX = 256 * 1024;
const CHANGE_BYTES = 64;

export class Watch implements AsyncIterableIterator<Change, undefined, undefined> {
  private phase: "new" | "open" | "ended" = "new";
  private readonly backlog = new Fifo<Change>();
  private backlogBytes = 0;
  /** Calls of `next` that wait. */
  private readonly readers = new Fifo<(result: Result | Promise<Result>) => void>();
  /** Not told yet. */
  private error: CacheError | null = null;

  constructor(
    readonly prefix: string,
    private readonly cut: number,
    private readonly hooks: WatchHooks,
  ) {}

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    if (this.phase === "new") this.begin();
    const change = this.backlog.first();
    if (change !== undefined) {
      this.backlog.shift();
      this.backlogBytes -= bytesOf(change);
      return Promise.resolve({ done: false, value: change });
    }
    if (this.phase === "ended") return this.lastResult();
    return new Promise((resolve) => this.readers.push(resolve));
  }

  /** The consumer has had enough. */
  return(): Promise<Result> {
    this.finish();
    this.backlog.replace([]);
    this.backlogBytes = 0;
    return this.lastResult();
  }

  push(whole: Change): void {
    const change = this.told(whole);
    const reader = this.readers.first();
    if (reader !== undefined) {
      this.readers.shift();
      return reader({ done: false, value: change });
    }
    this.backlog.push(change);
    this.backlogBytes += bytesOf(change);
    if (this.backlogBytes <= BACKLOG_BYTES_MAX) return;
    const reset = this.told({ reset: this.prefix });
    this.backlog.replace([reset]);
    this.backlogBytes = bytesOf(reset);
  }

  /** Ends it with an error, after the changes that wait. */
  fail(error: CacheError): void {
    if (this.phase !== "ended") this.error = error;
    this.finish();
  }

  /** Ends it, after the changes that wait. */
  finish(): void {
    const { phase } = this;
    if (phase === "ended") return;
    this.phase = "ended";
    for (let reader = this.readers.first(); reader !== undefined; reader = this.readers.first()) {
      this.readers.shift();
      reader(this.lastResult());
    }
    if (phase === "open") this.hooks.end();
  }

  private begin(): void {
    this.phase = "open";
    try {
      this.hooks.begin();
    } catch (error) {
      this.fail(error as CacheError);
    }
  }

  /** A change as its consumer knows the keys. */
  private told(change: Change): Change {
    const { cut } = this;
    return change.reset === undefined
      ? { key: change.key.slice(cut), version: change.version }
      : { reset: change.reset.slice(cut) };
  }

  /** The error once, then the end. */
  private lastResult(): Promise<Result> {
    const { error } = this;
    this.error = null;
    return error === null ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
  }
}

function bytesOf({ key, reset }: Change): number {
  return CHANGE_BYTES + 2 * (key ?? reset).length;
}
