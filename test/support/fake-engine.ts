/**
 * A store of record in this thread: it executes each call at once, and answers when the test says so. What it changes is told to
 * its nodes when the test says so, too.
 */
import type { EngineClearing, EngineVerbs } from "../../src/origin/commands";
import type { AppendResult, Found, PutAsk, PutResult } from "../../src/origin/engine";
import { Outcome } from "../../src/store/shard";
import { ANY_VERSION } from "../../src/store/write";
import { Collected, SmallStore } from "./small-store";

export class FakeEngine implements EngineVerbs {
  readonly record = new SmallStore({ shardBytes: 4 << 20 });
  /** What it was asked, in order. */
  readonly asked: string[] = [];
  /** Keys that have changed and whose nodes have not been told. */
  readonly changes: string[] = [];
  /** What it answers everything with, instead. */
  failure: Error | null = null;
  isPrompt = true;
  private readonly held: { what: string; give: () => void }[] = [];

  /** Answers what was asked so far, oldest first, and lets those who wait go on. */
  async answer(count = this.held.length): Promise<void> {
    for (const { give } of this.held.splice(0, count)) give();
    await settled();
  }

  /** The same for one of them: the last that was asked so. */
  async answerLast(what: string): Promise<void> {
    const at = this.held.findLastIndex((each) => each.what === what);
    for (const { give } of this.held.splice(at, 1)) give();
    await settled();
  }

  get(key: Buffer): Promise<Found | null> {
    return this.does(`get ${key}`, () => this.found(key));
  }

  put(key: Buffer, ask: PutAsk): Promise<PutResult> {
    return this.does(`put ${key}`, () => {
      const { payload, ttlMs = Infinity } = ask;
      const previous = ask.returnsPrevious === true ? this.found(key) : null;
      const options = { ...ask, expiresAt: this.record.now + ttlMs };
      const outcome = this.record.put(key.toString("latin1"), payload, options) as PutResult["outcome"];
      if (outcome === Outcome.DONE) this.changes.push(key.toString("latin1"));
      return { outcome, version: outcome === Outcome.DONE ? this.versionOf(key) : 0, previous };
    });
  }

  delete(key: Buffer, ifVersion: number = ANY_VERSION): Promise<Outcome> {
    return this.does(`delete ${key}`, () =>
      this.changed(key, this.record.delete(key.toString("latin1"), ifVersion)),
    );
  }

  touch(key: Buffer, ttlMs: number, touchIf = 0): Promise<Outcome> {
    return this.does(`touch ${key}`, () =>
      this.changed(key, this.record.touch(key.toString("latin1"), this.record.now + ttlMs, touchIf)),
    );
  }

  add(key: Buffer, delta: bigint, ttlMs = Infinity) {
    return this.does(`add ${key}`, () => {
      const number = this.record.add(key.toString("latin1"), delta, this.record.now + ttlMs);
      if (number === null) return { outcome: Outcome.NOT_A_NUMBER, number: 0n, version: 0 };
      this.changed(key, Outcome.DONE);
      return { outcome: Outcome.DONE, number, version: this.versionOf(key) };
    });
  }

  append(key: Buffer, more: Buffer, valueBytesMax: number): Promise<AppendResult> {
    return this.does(`append ${key}`, () => {
      const outcome = this.changed(key, this.record.append(key.toString("latin1"), more, valueBytesMax));
      const info = this.record.info(key.toString("latin1"));
      return {
        outcome: outcome as AppendResult["outcome"],
        version: info?.version ?? 0,
        length: info?.valueLength ?? 0,
      };
    });
  }

  getAndDelete(key: Buffer): Promise<Found | null> {
    return this.does(`getAndDelete ${key}`, () => {
      const found = this.found(key);
      this.changed(key, this.record.delete(key.toString("latin1")));
      return found;
    });
  }

  getAndTouch(key: Buffer, ttlMs: number): Promise<Found | null> {
    return this.does(`getAndTouch ${key}`, () => {
      const found = this.found(key);
      this.changed(key, this.record.touch(key.toString("latin1"), this.record.now + ttlMs));
      return found;
    });
  }

  scan(prefix: Buffer, cursor: bigint, count: number): Promise<{ cursor: bigint; keys: Buffer[] }> {
    return this.does(`scan ${prefix}`, () => {
      const keys = this.record.scan(prefix.toString("latin1")).sort().slice(Number(cursor));
      const page = keys.slice(0, count).map((key) => Buffer.from(key, "latin1"));
      return { cursor: keys.length > count ? cursor + BigInt(count) : 0n, keys: page };
    });
  }

  clear(prefix: Buffer): EngineClearing {
    const clearing = { removed: 0, step: () => Promise.resolve(true) };
    clearing.step = () =>
      this.does(`clear ${prefix}`, () => {
        const [first, second] = this.record.scan(prefix.toString("latin1")).sort();
        if (first === undefined) return true;
        this.changed(Buffer.from(first, "latin1"), this.record.delete(first));
        clearing.removed++;
        return second === undefined;
      });
    return clearing;
  }

  private does<Result>(what: string, work: () => Result): Promise<Result> {
    this.asked.push(what);
    const { failure } = this;
    const result = failure === null ? work() : null;
    const give = Promise.withResolvers<Result>();
    const settle = () => (failure === null ? give.resolve(result as Result) : give.reject(failure));
    if (this.isPrompt) settle();
    else this.held.push({ what, give: settle });
    return give.promise;
  }

  private found(key: Buffer): Found | null {
    const found: Collected | null = this.record.getWithMeta(key.toString("latin1"));
    if (found === null) return null;
    const { bytes, version, expiresAt, type } = found;
    return { payload: bytes, version, ttlMs: expiresAt - this.record.now, type, isForeign: false };
  }

  private versionOf(key: Buffer): number {
    return this.record.info(key.toString("latin1"))!.version;
  }

  private changed(key: Buffer, outcome: Outcome): Outcome {
    if (outcome === Outcome.DONE) this.changes.push(key.toString("latin1"));
    return outcome;
  }
}

/** Lets everything go on that waits for nothing but its turn. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}
