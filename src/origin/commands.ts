/**
 * The verbs on a server with an origin. A read is answered from the first level where a copy of it may be served; everything else asks the
 * origin, and is executed again when the answer is there (commands/calls.ts). The store of this server holds copies and nothing
 * else; leases and watches are this server's own.
 */
import { type Access, scanPrefix } from "../commands/access";
import { Calls } from "../commands/calls";
import { type Clearing, StoreClearing } from "../commands/clearing";
import {
  type CommandsParts,
  Commands,
  type HashedKey,
  type LeaseAsk,
  type LeaseWish,
  NO_LEASE,
  NO_TYPE,
  Outcome,
  type ReadWish,
  type ScanPage,
  TouchIf,
  type ValueSink,
  type ValueType,
  type Write,
} from "../commands/commands";
import type { Garbage } from "../commands/garbage";
import type { OriginReport, StatsReport } from "../commands/report";
import { RequestError } from "../protocol/errors";
import { Op } from "../protocol/wire";
import type { Feed, Ticket } from "../streaming/feed";
import type { Clear, Engine, PutAsk, PutResult } from "./engine";
import type { Gate } from "./gate";
import type { FirstLevel, Guard } from "./l1";
import type { Found } from "./value";

/** What the commands ask of the origin. */
export type EngineVerbs = Pick<
  Engine,
  "get" | "put" | "delete" | "touch" | "add" | "append" | "getAndDelete" | "getAndTouch" | "scan"
> & { clear(prefix: Buffer): EngineClearing };
export type EngineClearing = Pick<Clear, "removed" | "step">;

/** Keys of one page of a scan. */
const SCAN_KEYS_MAX = 1000;
/** After so long a ticket asks again for a value that the origin could not be asked for. */
const ASK_AGAIN_MS = 1000;
/** A key that changes all the time is not asked for without end before a lease on it is given. */
const LEASE_FETCHES_MAX = 4;
const NEVER = Infinity;
const LONG_BYTES = 64 * 1024;
const NOTHING = Buffer.alloc(0);

/** What came of asking the origin for a key. */
interface Fetched {
  readonly found: Found | null;
  readonly guard: Guard;
}

/** A GET that is under way, for all who ask for its key meanwhile. */
interface Fetch {
  readonly guard: Guard;
  /** When it was sent, on the store's clock. */
  readonly at: number;
  readonly answer: Promise<Fetched>;
}

export interface OriginParts {
  readonly engine: EngineVerbs;
  readonly firstLevel: FirstLevel;
  /** For values on their way. */
  readonly gate: Gate;
  readonly garbage: Pick<Garbage, "noteCall">;
  /** For the stats. */
  readonly report: () => OriginReport;
}

export class OriginCommands extends Commands {
  private readonly engine: EngineVerbs;
  private readonly firstLevel: FirstLevel;
  private readonly gate: Gate;
  private readonly fetches = new Map<string, Fetch>();
  /** What the origin has answered to tickets that have to look at it. */
  private readonly answers = new WeakMap<Ticket, Fetched | "failed">();

  constructor(
    parts: CommandsParts,
    private readonly origin: OriginParts,
  ) {
    super(parts);
    const { engine, firstLevel, gate } = origin;
    this.engine = engine;
    this.gate = gate;
    this.firstLevel = firstLevel;
    this.streams.hearFrom(() => firstLevel.hasBecomeDeaf());
  }

  override report(): StatsReport {
    return { ...super.report(), origin: this.origin.report() };
  }

  override newCalls(keepsReads?: boolean): Calls {
    return new Calls(keepsReads);
  }

  override expect(access: Access, keys: readonly HashedKey[]): void {
    for (const key of keys) {
      this.check(access, Op.GET, key);
      if (!this.firstLevel.has(key)) this.fetch(key).catch(ignore);
    }
  }

  // Reads

  override get(access: Access, key: HashedKey, sink: ValueSink): boolean {
    this.check(access, Op.GET, key);
    if (this.isInFirstLevel(key)) return true;
    const { isRepeated, keepsReads } = this.myCalls;
    if (!isRepeated && (keepsReads ? this.getAndKeep(key, sink) : this.getHere(key, sink)))
      return this.counted(Op.GET, true);
    const fetched = this.fetchedOrStale(key, sink);
    this.tally.command(Op.GET);
    return fetched === null || this.deliver(fetched.found, sink);
  }

  override read(access: Access, key: HashedKey, wish: ReadWish, sink: ValueSink): Outcome {
    this.check(access, Op.GET, key);
    if (this.isInFirstLevel(key)) return Outcome.DONE;
    const { held, watches } = wish;
    const feed = watches ? this.watchingFeed() : null;
    const { isAhead, isRepeated } = this.myCalls;
    if (!isAhead && !isRepeated) {
      const outcome = this.store.shardFor(key).read(key, wish, sink, this.entryInfo, this.now);
      if (outcome !== Outcome.MISS) {
        if (feed !== null) this.streams.watched(feed, key);
        return this.counted(Op.GET, outcome);
      }
    }
    const fetched = this.fetchedOrStale(key, sink);
    this.tally.command(Op.GET);
    if (fetched === null) return Outcome.DONE;
    const { found, guard } = fetched;
    if (feed !== null) this.watchFrom(feed, key, guard);
    if (found === null) return Outcome.MISS;
    if (found.version !== held || found.isForeign) {
      this.deliver(found, sink);
      return Outcome.DONE;
    }
    this.noteInfo(found);
    return Outcome.CURRENT;
  }

  override info(access: Access, key: HashedKey): boolean {
    this.check(access, Op.INFO, key);
    if (this.isInFirstLevel(key)) return true;
    const { isRepeated, keepsReads } = this.myCalls;
    if (!isRepeated && (keepsReads ? this.infoAndKeep(key) : this.infoHere(key)))
      return this.counted(Op.INFO, true);
    const { found } = this.fetched(key);
    this.tally.command(Op.INFO);
    if (found !== null) this.noteInfo(found);
    return found !== null;
  }

  // Writes

  override putUntil(access: Access, key: HashedKey, write: Write): Outcome {
    this.checkPut(access, key, write);
    const { lease, watches, previous } = write;
    const feed = watches ? this.watchingFeed() : null;
    const isFill = lease !== NO_LEASE;
    if (isFill && !this.myCalls.isRepeated && !this.streams.isLeased(key, lease, this.now))
      return this.counted(Op.PUT, Outcome.REFUSED);
    const { result, guard } = this.written(
      key,
      (name) => this.storeValue(name, this.askOf(write)),
      write.length,
    );
    write.clear();
    this.tally.command(Op.PUT);
    if (previous !== null) this.deliver(result.previous, previous);
    this.lastVersion = result.version;
    if (feed !== null && result.outcome === Outcome.DONE) this.watchFrom(feed, key, guard);
    if (isFill) this.endLease(key, lease);
    return result.outcome;
  }

  override delete(access: Access, key: HashedKey, ifVersion: number): Outcome {
    this.check(access, Op.DELETE, key);
    const { result } = this.written(key, (name) => this.engine.delete(name, ifVersion));
    return this.counted(Op.DELETE, result);
  }

  override touchUntil(
    access: Access,
    key: HashedKey,
    expiresAt: number,
    touchIf: number = TouchIf.ALWAYS,
  ): Outcome {
    this.check(access, Op.TOUCH, key);
    const ttlMs = expiresAt - this.now;
    const { result } = this.written(key, (name) => this.engine.touch(name, ttlMs, touchIf));
    return this.counted(Op.TOUCH, result);
  }

  override tryAdd(access: Access, key: HashedKey, delta: bigint, ttlMs = NEVER): Outcome {
    this.check(access, Op.ADD, key);
    this.expiryAfter(ttlMs);
    const { result } = this.written(key, (name) => this.engine.add(name, delta, ttlMs));
    this.lastNumber = result.number;
    this.lastVersion = result.version;
    return this.counted(Op.ADD, result.outcome);
  }

  override append(access: Access, key: HashedKey, more: Write): Outcome {
    this.check(access, Op.APPEND, key);
    const { valueBytesMax } = this.limits;
    const { result } = this.written(
      key,
      (name) => this.engine.append(name, payloadOf(more), valueBytesMax),
      more.length,
    );
    more.clear();
    this.tally.command(Op.APPEND);
    this.lastVersion = result.version;
    this.lastLength = result.length;
    if (result.outcome === Outcome.REFUSED) throw this.appendError();
    return result.outcome;
  }

  override getAndDelete(access: Access, key: HashedKey, sink: ValueSink): boolean {
    this.check(access, Op.GETDELETE, key);
    const { result } = this.written(key, (name) => this.gate.pass(() => this.engine.getAndDelete(name)));
    return this.deliver(this.counted(Op.GETDELETE, result), sink);
  }

  override getAndTouchUntil(access: Access, key: HashedKey, sink: ValueSink, expiresAt: number): boolean {
    this.check(access, Op.GETTOUCH, key);
    const ttlMs = expiresAt - this.now;
    const { result } = this.written(key, (name) =>
      this.gate.pass(() => this.engine.getAndTouch(name, ttlMs)),
    );
    return this.deliver(this.counted(Op.GETTOUCH, result), sink);
  }

  // All keys with a prefix

  override scan(access: Access, asked: Buffer, cursor: bigint, keysMax = SCAN_KEYS_MAX): ScanPage {
    const prefix = Buffer.from(scanPrefix(access, asked));
    this.checkPrefix(access, Op.SCAN, prefix);
    const count = Math.min(keysMax, SCAN_KEYS_MAX);
    const start = () => this.engine.scan(prefix, cursor, count);
    const page = this.myCalls.next({ key: null, isWrite: false, start });
    return this.counted(Op.SCAN, page);
  }

  override clear(access: Access, prefix: Buffer): Clearing {
    this.admitPrefix(access, Op.CLEAR, prefix);
    const own = Buffer.from(prefix);
    return new OriginClearing(this, this.engine.clear(own), new StoreClearing(this.store, own));
  }

  // Leases: this server's own, on what the origin does not have

  override lease(wish: LeaseWish, key: HashedKey, ask: LeaseAsk, sink: ValueSink): Outcome {
    this.check(wish.access, Op.LEASE, key);
    const isKnown = !this.myCalls.isRepeated && this.firstLevel.has(key);
    const fetched = isKnown ? null : this.fetchedForLease(key);
    if (fetched === null || fetched.found === null || this.firstLevel.has(key))
      return super.lease(wish, key, ask, sink);
    this.tally.command(Op.LEASE);
    if (ask.watches) this.watchFrom(this.watchingFeed(), key, fetched.guard);
    this.deliver(fetched.found, sink);
    return Outcome.DONE;
  }

  /** What a ticket waits for may be in the origin: then it is due again when that has answered. */
  override settle(ticket: Ticket, sink: ValueSink): { outcome: Outcome; ask: LeaseAsk } {
    const key = this.keyOfBytes(ticket.key);
    if (this.firstLevel.has(key)) return super.settle(ticket, sink);
    const answer = this.answers.get(ticket);
    this.answers.delete(ticket);
    const ask = this.leaseAsk(ticket.wish.leaseMs, 0);
    if (answer === undefined || answer === "failed" || this.isOutdatedMiss(key, answer)) {
      this.streams.waitOn(ticket, answer === "failed" ? this.now + ASK_AGAIN_MS : NEVER);
      if (answer !== "failed") this.askFor(ticket, key);
      return { outcome: Outcome.PENDING, ask };
    }
    if (answer.found === null) return super.settle(ticket, sink);
    if (ticket.wish.watches) this.watchFrom(ticket.feed, key, answer.guard);
    this.streams.closeTicket(ticket);
    this.deliver(answer.found, sink);
    return { outcome: Outcome.DONE, ask };
  }

  /** Nothing that was read before counts any more, on any worker. */
  dropFirstLevel(): void {
    this.firstLevel.forgetUnderWay();
  }

  /** The calls of the request that is executed. */
  get myCalls(): Calls {
    if (this.calls === null) throw new Error("a command was executed for nobody: commands.calls is not set");
    return this.calls;
  }

  private getHere(key: HashedKey, sink: ValueSink): boolean {
    return this.store.shardFor(key).get(key, sink, this.now);
  }

  private infoHere(key: HashedKey): boolean {
    return this.store.shardFor(key).info(key, this.entryInfo, this.now);
  }

  private getAndKeep(key: HashedKey, sink: ValueSink): boolean {
    const copy = new Copy(this.now);
    return this.getHere(key, copy) && this.deliver(this.kept(key, copy), sink);
  }

  private infoAndKeep(key: HashedKey): boolean {
    const copy = new Copy(this.now);
    if (!this.infoHere(key) || !this.getHere(key, copy)) return false;
    this.noteInfo(this.kept(key, copy));
    return true;
  }

  /** What was read of the first level, as an answer of the origin's: the request may be executed again. */
  private kept(key: HashedKey, found: Found): Found {
    return this.myCalls.record<Fetched>({ found, guard: this.firstLevel.guardOf(key) }).found!;
  }

  /** Of a request that is begun ahead: there is no call to make. */
  private isInFirstLevel(key: HashedKey): boolean {
    const { calls } = this;
    if (calls === null || !calls.isAhead) return false;
    calls.claim(key, false);
    return this.firstLevel.has(key);
  }

  /** What the origin has under a key. Throws SUSPENDED. */
  private fetched(key: HashedKey): Fetched {
    return this.myCalls.next({ key, isWrite: false, start: () => this.fetch(key), bytesOf: fetchedBytes });
  }

  /** The same again, a few times at most, where the key has changed since: nobody is to compute what somebody has just stored. */
  private fetchedForLease(key: HashedKey): Fetched {
    let fetched = this.fetched(key);
    for (let more = LEASE_FETCHES_MAX - 1; more > 0 && this.isOutdatedMiss(key, fetched); more--)
      fetched = this.fetched(key);
    return fetched;
  }

  private isOutdatedMiss(key: HashedKey, { found, guard }: Fetched): boolean {
    return found === null && this.firstLevel.hasChanged(key, guard);
  }

  /** The same; null where the origin cannot be asked, and a copy that may be old went to the sink. */
  private fetchedOrStale(key: HashedKey, sink: ValueSink): Fetched | null {
    try {
      return this.fetched(key);
    } catch (error) {
      const isDown = error instanceof RequestError && error.kind === "BUSY";
      if (isDown && this.firstLevel.readStale(key, sink)) return null;
      throw error;
    }
  }

  /**
   * Asks for a key, together with all who do so while nothing has changed. Not with one that asked so long ago that its answer may be too
   * old for this request: the origin, or this process, may have stood still meanwhile.
   */
  private fetch(key: HashedKey): Promise<Fetched> {
    this.origin.garbage.noteCall();
    const name = bytesOf(key);
    const id = name.toString("latin1");
    const guard = this.firstLevel.guardOf(key);
    const known = this.fetches.get(id);
    const isYoung = known !== undefined && this.now - known.at <= this.firstLevel.maxAgeMs;
    if (isYoung && known.guard.generation === guard.generation) return known.answer;
    const own = this.keyOfBytes(name);
    const answer = this.gate
      .pass(() => this.engine.get(name))
      .then((found) => ({ found, guard: this.firstLevel.answered(own, found, guard) }))
      .finally(() => {
        if (this.fetches.get(id)?.answer === answer) this.fetches.delete(id);
      });
    this.fetches.set(id, { guard, at: this.now, answer });
    return answer;
  }

  /** The result of a write to the origin, and what was known when it was sent. Throws SUSPENDED. */
  private written<Result>(
    key: HashedKey,
    send: (name: Buffer) => Promise<Result>,
    bytes = 0,
  ): { result: Result; guard: Guard } {
    const { myCalls } = this;
    myCalls.claim(key, true);
    return myCalls.next({ key, isWrite: true, bytes, start: () => this.send(key, send) });
  }

  /** Long values, and puts that are answered with one, take a place among those that are on their way. */
  private storeValue(name: Buffer, ask: PutAsk): Promise<PutResult> {
    const put = () => this.engine.put(name, ask);
    return ask.payload.length > LONG_BYTES || ask.returnsPrevious === true ? this.gate.pass(put) : put();
  }

  private async send<Result>(key: HashedKey, send: (name: Buffer) => Promise<Result>) {
    this.origin.garbage.noteCall();
    const name = bytesOf(key);
    const own = this.keyOfBytes(name);
    this.firstLevel.sending(own);
    const guard = this.firstLevel.guardOf(own);
    try {
      return { result: await send(name), guard };
    } finally {
      this.firstLevel.sent(own);
    }
  }

  /** Told of changes from now on; and at once where there may have been one since the value was asked for, or one would not be told. */
  private watchFrom(feed: Feed, key: HashedKey, guard: Guard): void {
    const shard = this.store.shardFor(key);
    shard.watch(key);
    this.streams.watched(feed, key);
    if (!this.firstLevel.isWatched(key, guard)) shard.invalidate(key, this.now);
  }

  private askFor(ticket: Ticket, key: HashedKey): void {
    const answered = (answer: Fetched | "failed") => {
      this.answers.set(ticket, answer);
      this.streams.makeDue(ticket);
    };
    this.fetch(key).then(answered, () => answered("failed"));
  }

  private deliver(found: Found | null, sink: ValueSink): boolean {
    if (found === null) return false;
    const { payload, version, ttlMs, type } = found;
    const { valueBytesMax } = this.limits;
    if (payload.length > valueBytesMax)
      throw new RequestError(
        "VALUE_TOO_LARGE",
        `value: ${payload.length} bytes in the origin, at most ${valueBytesMax} are allowed (--max-value)`,
      );
    const at = sink.begin(payload.length, version, this.now + ttlMs);
    payload.copy(sink.bytes as Buffer, at);
    sink.takeType?.(type);
    return true;
  }

  private noteInfo({ payload, version, ttlMs, type }: Found): void {
    const { entryInfo } = this;
    entryInfo.version = version;
    entryInfo.expiresAt = this.now + ttlMs;
    entryInfo.valueLength = payload.length;
    entryInfo.type = type;
  }

  private askOf(write: Write): PutAsk {
    const { type, condition, ifVersion, keepsExpiry, previous, expiresAt } = write;
    const ttlMs = expiresAt - this.now;
    return {
      payload: payloadOf(write),
      ...{ type, condition, ifVersion, keepsExpiry, ttlMs },
      returnsPrevious: previous !== null,
    };
  }

  /** One that is begun ahead is counted in its turn. */
  private counted<Result>(op: Op, result: Result): Result {
    if (!this.myCalls.isAhead) this.tally.command(op);
    return result;
  }
}

/** A copy that was read, in the form of the origin's answers. */
class Copy implements ValueSink, Found {
  bytes: Buffer = NOTHING;
  version = 0;
  ttlMs = Infinity;
  type: ValueType = NO_TYPE;
  readonly isForeign = false;

  constructor(private readonly now: number) {}

  get payload(): Buffer {
    return this.bytes;
  }

  begin(length: number, version: number, expiresAt: number): number {
    this.bytes = Buffer.allocUnsafe(length);
    this.version = version;
    this.ttlMs = expiresAt - this.now;
    return 0;
  }

  takeType(type: ValueType): void {
    this.type = type;
  }
}

/** First in the origin, then here, where it also tells who watches. */
class OriginClearing implements Clearing {
  private isGone = false;

  constructor(
    private readonly commands: OriginCommands,
    private readonly origin: EngineClearing,
    private readonly copies: StoreClearing,
  ) {}

  get removed(): number {
    return this.origin.removed;
  }

  step(now: number): boolean {
    const { myCalls } = this.commands;
    if (!this.isGone) {
      this.isGone = myCalls.next({ key: null, isWrite: true, start: () => this.origin.step() });
      myCalls.proceed();
      if (this.isGone) this.commands.dropFirstLevel();
      return false;
    }
    return this.copies.step(now);
  }
}

function fetchedBytes({ found }: Fetched): number {
  return found?.payload.length ?? 0;
}

function bytesOf({ bytes, start, end }: HashedKey): Buffer {
  return Buffer.from(bytes.subarray(start, end));
}

function payloadOf({ value, start, end }: Write): Buffer {
  return Buffer.from(value.subarray(start, end));
}

function ignore(): void {}
