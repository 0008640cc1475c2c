/**
 * The verbs on the store of record: a Valkey or Redis Cluster, or a single server. Outcomes are those of the store (store/shard.ts); every verb ends within
 * --origin-timeout. Keys are without the namespace here.
 *
 * A verb rejects with OriginError: BUSY where the origin can't answer now (the message says whether a write may have happened), BAD_KEY for a key that
 * holds no string, VALUE_TOO_LARGE, INTERNAL.
 */
import { Outcome } from "../store/shard";
import { NO_TYPE, type ValueType } from "../store/value-type";
import { ANY_VERSION, Condition, TouchIf } from "../store/write";
import type { Log } from "../system/log";
import { type Address, AddressError, isNamespace } from "./address";
import type { Argument, Command, Reply } from "./call";
import { loadLibrary, type Security } from "./connection";
import { nodeHash, packPlace, type ScanPlace, unpackPlace } from "./cursor";
import { OriginError } from "./faults";
import type { Node } from "./nodes";
import { type Answer, Router } from "./router";
import { NEVER, PutFlag, type Script, SCRIPTS } from "./scripts";
import { slotOf } from "./slots";
import { Counts, type Verb } from "./counts";
import { type OriginState, StatusLog, statusOf } from "./status";
import { decode, encode, type Found, type Stored } from "./value";

export type { Found, OriginState };

export interface EngineOptions {
  readonly address: Address;
  /** What all keys begin with in the engine, without the colon (--origin-namespace). */
  readonly namespace: string;
  /** Deadline of each call (--origin-timeout). */
  readonly timeoutMs: number;
  readonly log: Log;
  /** Certificates to trust instead of the system's, PEM; for rediss:// only. */
  readonly ca?: string;
  /** A node has said that it does not own this slot, or not all of it any more (MOVED, ASK). */
  readonly onRedirect?: (slot: number) => void;
  /** Default: counts of its own. */
  readonly counts?: Counts;
}

/** What is to be stored, and when. */
export interface PutAsk {
  readonly payload: Buffer;
  /** Default Infinity: never. 0 and less: the entry is gone at once. */
  readonly ttlMs?: number;
  /** Default NO_TYPE. */
  readonly type?: ValueType;
  /** Default NONE. */
  readonly condition?: Condition;
  /** Default ANY_VERSION. */
  readonly ifVersion?: number;
  /** Leaves an entry that is there its expiry. */
  readonly keepsExpiry?: boolean;
  /** Wants the value that was there, whether it is replaced or not. */
  readonly returnsPrevious?: boolean;
}

export interface PutResult {
  readonly outcome: typeof Outcome.DONE | typeof Outcome.REFUSED;
  /** 0 unless DONE. */
  readonly version: number;
  /** Null where there was none, or nobody asked. */
  readonly previous: Found | null;
}

export interface AddResult {
  readonly outcome: typeof Outcome.DONE | typeof Outcome.NOT_A_NUMBER | typeof Outcome.OVERFLOW;
  /** 0 unless DONE, both. */
  readonly number: bigint;
  readonly version: number;
}

export interface AppendResult {
  readonly outcome: typeof Outcome.DONE | typeof Outcome.MISS | typeof Outcome.REFUSED;
  /** 0 unless DONE, both. */
  readonly version: number;
  /** Of the whole payload. */
  readonly length: number;
}

export interface ScanResult {
  /** 0 when the scan is done; below 2^63. */
  readonly cursor: bigint;
  /** Few or none does not mean that it is done; one may come twice. */
  readonly keys: Buffer[];
}

/** Keys that one step of a clear looks at, about. */
const CLEAR_COUNT = 500;
const SCAN_COUNT_MAX = 10_000;
/** The characters of MATCH that mean something. */
const GLOB = new Set(Buffer.from("*?[]^-\\"));
const BACKSLASH = 0x5c;
const ANYTHING = Buffer.from("*");

export class Engine {
  private readonly router: Router;
  private readonly counts: Counts;
  private readonly namespace: Buffer;

  /** Begins to connect; calls wait for that, each until its deadline. Throws AddressError for a namespace that can be none. */
  static async open(options: EngineOptions): Promise<Engine> {
    if (!isNamespace(options.namespace))
      throw new AddressError("the namespace has 1 to 64 letters, digits, dots, dashes and underscores");
    return new Engine(await loadLibrary(), options);
  }

  private constructor(library: ConstructorParameters<typeof Router>[0]["library"], options: EngineOptions) {
    const { address, namespace, timeoutMs, log, ca, counts = new Counts(), onRedirect } = options;
    this.counts = counts;
    const security: Security = { isTls: address.isTls, ...(ca !== undefined && { ca }) };
    const statusLog = new StatusLog(log);
    this.namespace = Buffer.from(`${namespace}:`);
    this.router = new Router({
      library,
      address,
      security,
      timeoutMs,
      clock: () => performance.now(),
      onRedirect: (slot) => {
        counts.redirect();
        onRedirect?.(slot);
      },
      onChange: () => statusLog.look(this.router.discovery),
    });
  }

  async get(key: Buffer): Promise<Found | null> {
    const { reply, node } = await this.run("get", this.plain("GET", key, false));
    if (reply === null) return null;
    const stored = decode(reply as Buffer);
    return stored.isForeign ? this.foundForeign(key, stored) : found(stored, node);
  }

  async put(key: Buffer, ask: PutAsk): Promise<PutResult> {
    const {
      payload,
      ttlMs = Infinity,
      type = NO_TYPE,
      condition = Condition.NONE,
      ifVersion = ANY_VERSION,
    } = ask;
    const flags =
      (ask.keepsExpiry ? PutFlag.KEEPS_EXPIRY : 0) | (ask.returnsPrevious ? PutFlag.RETURNS_PREVIOUS : 0);
    const args = [encode(payload, type), ttlText(ttlMs), String(condition), String(ifVersion), String(flags)];
    const { reply, node } = await this.run("put", this.scripted(SCRIPTS.put, key, args), payload.length);
    const [outcome, version, previous, expiry] = reply as [
      PutResult["outcome"],
      number,
      Buffer | null,
      number,
    ];
    return { outcome, version, previous: foundUntil(previous, expiry, node) };
  }

  /** @returns DONE, MISS, or REFUSED when the entry has another version */
  async delete(key: Buffer, ifVersion = ANY_VERSION): Promise<Outcome> {
    if (ifVersion !== ANY_VERSION) {
      const { reply } = await this.run("delete", this.scripted(SCRIPTS.delete, key, [String(ifVersion)]));
      return reply as Outcome;
    }
    const { reply } = await this.run("delete", this.plain("UNLINK", key, true));
    return reply === 1 ? Outcome.DONE : Outcome.MISS;
  }

  /**
   * @param ttlMs Infinity removes the expiry, 0 and less the entry
   * @param touchIf bits of TouchIf
   * @returns DONE, MISS, or REFUSED when the condition does not hold
   */
  async touch(key: Buffer, ttlMs: number, touchIf: number = TouchIf.ALWAYS): Promise<Outcome> {
    const { reply } = await this.run(
      "touch",
      this.scripted(SCRIPTS.touch, key, [ttlText(ttlMs), String(touchIf)]),
    );
    return reply as Outcome;
  }

  /**
   * @param delta an i64
   * @param ttlMs of an entry that is created
   */
  async add(key: Buffer, delta: bigint, ttlMs = Infinity): Promise<AddResult> {
    const { reply } = await this.run("add", this.scripted(SCRIPTS.add, key, [String(delta), ttlText(ttlMs)]));
    const [outcome, version, sum] = reply as [AddResult["outcome"], number, Buffer];
    return { outcome, version, number: BigInt(sum.toString("latin1") || 0) };
  }

  /** @param valueBytesMax REFUSED when the whole would be longer */
  async append(key: Buffer, more: Buffer, valueBytesMax: number): Promise<AppendResult> {
    const command = this.scripted(SCRIPTS.append, key, [more, String(valueBytesMax)]);
    const { reply } = await this.run("append", command, more.length);
    const [outcome, version, length] = reply as [AppendResult["outcome"], number, number];
    return { outcome, version, length };
  }

  /** A foreign value's expiry is not told: it is gone. */
  async getAndDelete(key: Buffer): Promise<Found | null> {
    const { reply, node } = await this.run("getAndDelete", this.plain("GETDEL", key, true));
    return reply === null ? null : found(decode(reply as Buffer), node);
  }

  /** The value with the expiry that it had; ttlMs as touch has it. */
  async getAndTouch(key: Buffer, ttlMs: number): Promise<Found | null> {
    const command = this.scripted(SCRIPTS.getAndTouch, key, [ttlText(ttlMs)]);
    const { reply, node } = await this.run("getAndTouch", command);
    if (reply === null) return null;
    const [value, expiry] = reply as [Buffer, number];
    return foundUntil(value, expiry, node);
  }

  /**
   * One page of the keys that start with a prefix. Keys that are there all the time come at least once, unless slots move meanwhile.
   * @param cursor 0 at first, then the last page's
   * @param count how many keys to look at, about; not how many come
   */
  async scan(prefix: Buffer, cursor: bigint, count: number): Promise<ScanResult> {
    return await this.scanFor("scan", prefix, cursor, count);
  }

  /** Begins to remove the keys that start with a prefix; an empty one is everything of the namespace. */
  clear(prefix: Buffer): Clear {
    const scan = (cursor: bigint) => this.scanFor("clear", prefix, cursor, CLEAR_COUNT);
    return new Clear(scan, (key) => this.delete(key));
  }

  state(): OriginState {
    return { ...statusOf(this.router.discovery), ...this.counts.report() };
  }

  /** Takes no calls any more; resolves when those that are open have ended, which takes --origin-timeout at most. */
  close(): Promise<void> {
    return this.router.close();
  }

  invariants(): void {
    this.router.invariants();
  }

  private async run(verb: Verb, command: Command, bytes = 0): Promise<Answer> {
    return await this.counted(verb, bytes, this.router.execute(command));
  }

  private async counted(verb: Verb, bytes: number, answering: Promise<Answer>): Promise<Answer> {
    const { traffic } = this.counts;
    this.counts.call(verb);
    const start = traffic.begin(bytes);
    try {
      const answer = await answering;
      traffic.sent(bytesOf(answer.reply));
      return answer;
    } catch (error) {
      if (error instanceof OriginError) this.counts.error(error.failure);
      throw error;
    } finally {
      traffic.end(start);
    }
  }

  private plain(name: string, key: Buffer, isWrite: boolean): Command {
    const fullKey = this.keyOf(key);
    return this.command(name, fullKey, [fullKey], isWrite);
  }

  private scripted(script: Script, key: Buffer, args: Argument[]): Command {
    const fullKey = this.keyOf(key);
    return this.command("EVALSHA", fullKey, [script.sha, "1", fullKey, ...args], true);
  }

  private command(name: string, fullKey: Buffer, args: Argument[], isWrite: boolean): Command {
    const line = this.router.order.enter(fullKey.toString("latin1"), isWrite);
    return { name, args, slot: slotOf(fullKey, 0, fullKey.length), isWrite, line };
  }

  private keyOf(key: Buffer): Buffer {
    return Buffer.concat([this.namespace, key]);
  }

  /** Only the key itself says when a foreign value expires. */
  private async foundForeign(key: Buffer, stored: Stored): Promise<Found | null> {
    const { reply } = await this.router.execute(this.plain("PTTL", key, false));
    const ttlMs = reply as number;
    if (ttlMs === -2) return null;
    const { payload, version, type } = stored;
    return { payload, version, type, isForeign: true, ttlMs: ttlMs < 0 ? Infinity : Math.max(1, ttlMs) };
  }

  private async scanFor(verb: Verb, prefix: Buffer, cursor: bigint, count: number): Promise<ScanResult> {
    const place = this.placeFrom(unpackPlace(cursor));
    if (place === null) return { cursor: 0n, keys: [] };
    const { slot, nodeCursor, node } = place;
    const match = Buffer.concat([this.namespace, escaped(prefix), ANYTHING]);
    const looks = String(Math.min(Math.max(1, count), SCAN_COUNT_MAX));
    const args = [String(nodeCursor), "MATCH", match, "COUNT", looks, "TYPE", "string"];
    const { reply } = await this.counted(verb, 0, this.router.executeAt(node, "SCAN", args));
    const [next, keys] = reply as [Buffer, Buffer[]];
    return {
      cursor: this.cursorAfter(slot, node, BigInt(next.toString("latin1"))),
      keys: keys.map((key) => key.subarray(this.namespace.length)),
    };
  }

  /** Where a scan goes on now; null behind the last master. */
  private placeFrom(place: ScanPlace): { slot: number; nodeCursor: bigint; node: Node } | null {
    const { table } = this.router.discovery;
    if (table === null)
      throw new OriginError("unreachable", "origin: who owns what is not known now; try again");
    const slot = table.firstSlots().find((first) => first >= place.slot);
    if (slot === undefined) return null;
    const node = this.router.discovery.nodeFor(slot)!;
    const isSame = slot === place.slot && place.nodeHash === nodeHash(node.name);
    return { slot, node, nodeCursor: isSame ? place.nodeCursor : 0n };
  }

  private cursorAfter(slot: number, node: Node, nodeCursor: bigint): bigint {
    if (nodeCursor === 0n) {
      const next = this.router.discovery.table!.firstSlots().find((first) => first > slot);
      return next === undefined ? 0n : packPlace({ slot: next, nodeHash: 0, nodeCursor: 0n })!;
    }
    const packed = packPlace({ slot, nodeHash: nodeHash(node.name), nodeCursor });
    if (packed === null)
      throw new OriginError("refused", `origin: ${node.name} has too many keys to be scanned`, "INTERNAL");
    return packed;
  }
}

/** A clear, a step at a time, so that others are served in between. */
export class Clear {
  /** Entries removed so far. */
  removed = 0;
  private cursor = 0n;

  constructor(
    private readonly scan: (cursor: bigint) => Promise<ScanResult>,
    private readonly remove: (key: Buffer) => Promise<Outcome>,
  ) {}

  /** Goes on; true when it is done. After an error the same step may be tried again. */
  async step(): Promise<boolean> {
    const { cursor, keys } = await this.scan(this.cursor);
    const removals = await Promise.allSettled(keys.map(this.remove));
    for (const removal of removals)
      if (removal.status === "fulfilled" && removal.value === Outcome.DONE) this.removed++;
    const failed = removals.find((removal) => removal.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    this.cursor = cursor;
    return cursor === 0n;
  }
}

function found(stored: Stored, node: Node): Found {
  const { payload, version, type, isForeign } = stored;
  return { payload, version, type, isForeign, ttlMs: node.ttlUntil(stored.expiresAt) };
}

/** @param expiry as scripts give it: of the key, 0 for never */
function foundUntil(value: Buffer | null, expiry: number, node: Node): Found | null {
  if (value === null) return null;
  return found({ ...decode(value), expiresAt: expiry === 0 ? Infinity : expiry }, node);
}

/** A time to live as scripts take it. */
function ttlText(ttlMs: number): string {
  return ttlMs === Infinity ? NEVER : String(Math.min(Math.ceil(ttlMs), Number.MAX_SAFE_INTEGER));
}

function escaped(prefix: Buffer): Buffer {
  return Buffer.from([...prefix].flatMap((byte) => (GLOB.has(byte) ? [BACKSLASH, byte] : [byte])));
}

function bytesOf(reply: Reply): number {
  if (Buffer.isBuffer(reply)) return reply.length;
  return Array.isArray(reply) ? reply.reduce<number>((sum, part) => sum + bytesOf(part), 0) : 0;
}
