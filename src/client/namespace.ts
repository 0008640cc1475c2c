/** The verbs, as callers have them, on the keys under a prefix. Each builds a request and says what its reply means. */
import { Flag, Op, Status } from "../protocol/wire";
import { invalid, listOf, valueBytes } from "./check";
import { type Reply, type RequestFields, textOf, unexpected } from "./codec";
import type { Compute } from "./compute";
import type { Connection } from "./connection";
import { CacheError } from "./errors";
import type { Entry, EntryInfo, Value } from "./entry";
import { JsonView } from "./json-view";
import type { Copy } from "./near/copies";
import { Near } from "./near/near";
import {
  type AnyOptions,
  checkOptions,
  checkNamespace,
  type ComputeOptions,
  type DeleteOptions,
  type NamespaceOptions,
  type PutManyOptions,
  type PutOptions,
  type RequestOptions,
  type TtlOptions,
  type Verb,
  type WriteOptions,
} from "./options";
import { keyUnder, prefixUnder, type Scope } from "./scope";
import type { Streams } from "./streams";
import type { Change } from "./watch";

/** They change nothing, so they are asked again when a connection breaks. */
const READS: readonly number[] = [Op.GET, Op.INFO, Op.SCAN, Op.PING, Op.STATS];
/** They may give an entry a time to live. */
const WITH_TTL: readonly number[] = [Op.PUT, Op.TOUCH, Op.GETTOUCH, Op.ADD];
/** Their key is a prefix, and may be empty. */
const OF_PREFIXES: readonly number[] = [Op.SCAN, Op.CLEAR];

/**
 * The entries whose keys begin with a prefix, under the rest of their keys; of a Cache, which has no prefix, all entries.
 *
 * Every request can fail with `invalid-argument`, `timeout`, `aborted`, `overloaded`, `closed`, `unauthorized`, `forbidden`,
 * `busy` or `internal`, every one that names a key with `bad-key`, and every write with `disconnected`. The errors that a
 * single method has beside these stand there. CLIENT.md says for each what it means and what to do.
 *
 * Keys are text of 1 to 65,535 bytes as UTF-8, their prefix included; a server allows 1024 unless its --max-key says otherwise.
 */
export class Namespace {
  /** What the client holds itself, with the option `near` of `connect`. */
  readonly near: Near;

  /** Use `cache.namespace`. */
  constructor(
    protected readonly connection: Connection,
    private readonly streams: Streams,
    private readonly scope: Scope,
  ) {
    this.near = new Near(streams.near, scope.prefix);
  }

  /**
   * Reads a value as text. Bytes that are not UTF-8 become U+FFFD; `getBytes` gives them as they are.
   * @returns the text, or null when there is no entry
   * @throws CacheError as every read
   * @example
   * await cache.put("name", "Breadbox");
   * await cache.get("name"); // "Breadbox"
   * await cache.get("nothing"); // null
   */
  get(key: string, options?: RequestOptions): Promise<string | null> {
    // An async function would take twice as long for what is held.
    const held = options === undefined ? this.near.peek(key) : undefined;
    return held !== undefined ? Promise.resolve(held) : this.getText(key, options);
  }

  /**
   * Reads a value as bytes, which are the caller's own.
   * @returns the bytes, or null when there is no entry
   * @throws CacheError as every read
   * @example
   * await cache.put("bytes", new Uint8Array([0, 255]));
   * const bytes = await cache.getBytes("bytes");
   * [...bytes!]; // [0, 255]
   */
  async getBytes(key: string, options: RequestOptions = {}): Promise<Uint8Array | null> {
    const { near } = this.streams;
    if (near.isOn) return near.bytesOf(await this.copy(key, options));
    return this.ask("get", { op: Op.GET, key }, options, valueOrNull);
  }

  /**
   * Reads a value together with its version and its remaining time.
   * @returns the entry, `ttlMs` in milliseconds or null without expiry; null when there is no entry
   * @throws CacheError as every read
   * @example
   * const version = await cache.put("name", "Breadbox", { ttlMs: 60_000 });
   * const entry = await cache.getWithMeta("name");
   * entry!.text; // "Breadbox"
   * entry!.version === version; // true
   * entry!.ttlMs! <= 60_000; // true
   */
  async getWithMeta(key: string, options: RequestOptions = {}): Promise<Entry | null> {
    return this.ask("getWithMeta", { op: Op.GET, flags: Flag.GET_META, key }, options, (reply) => {
      if (reply.status !== Status.META_VALUE) return missed(reply);
      const { value, version, ttlMs, isStale } = reply;
      return { bytes: value, text: textOf(value), version, ttlMs, ...(isStale && { isStale }) };
    });
  }

  /**
   * Reads many values as text, in one message where they fit. They are read one after the other and not at one moment:
   * writes of others may fall in between. When one fails, all of it does.
   * @returns text, or null where there is no entry, in the order of the keys
   * @throws CacheError as every read
   * @example
   * await cache.put("a", "1");
   * await cache.many(["a", "nothing"]); // ["1", null]
   */
  async many(keys: Iterable<string>, options?: RequestOptions): Promise<(string | null)[]> {
    return Promise.all(listOf("keys", keys).map((key) => this.get(key, options)));
  }

  /**
   * Tells whether there is an entry. As `info`, it asks the server and does not count as a read.
   * @throws CacheError as every read
   * @example
   * await cache.put("name", "Breadbox");
   * await cache.has("name"); // true
   * await cache.has("nothing"); // false
   */
  async has(key: string, options: RequestOptions = {}): Promise<boolean> {
    return (await this.info(key, options)) !== null;
  }

  /**
   * Stores a value, under one condition or none. Text is stored as UTF-8. The bytes are copied at once, so they may change
   * afterwards. An expiry that the entry had before is gone, unless `ttlMs` gives a new one.
   * @param options.ttlMs the entry expires after so many milliseconds, a whole number from 1; null: never; the namespace's without it
   * @param options.ifAbsent only if there is no entry
   * @param options.ifPresent only if there is one
   * @param options.ifVersion only if it has this version: compare and swap
   * @returns the new version, or null when the condition did not hold
   * @throws CacheError as every write; `invalid-argument` for conditions that contradict each other; `value-too-large`
   *   beyond the server's --max-value (8 MiB), or beyond `messageBytesMax`
   * @example
   * const first = await cache.put("page", "one", { ttlMs: 60_000 });
   * await cache.put("page", "two", { ifAbsent: true }); // null
   * await cache.put("page", "two", { ifVersion: first! });
   * await cache.get("page"); // "two"
   */
  async put(key: string, value: Value, options: PutOptions = {}): Promise<number | null> {
    const fields = { op: Op.PUT, flags: Flag.PUT_RETURN_VERSION, key, value: valueBytes(value) };
    return this.ask("put", fields, options, (reply) =>
      reply.status === Status.REFUSED ? null : Number(numberOf(reply)),
    );
  }

  /**
   * Stores many values, in one message where they fit, each as `put` does. They are stored one after the other and not at one
   * moment. When one fails, the call does, and others may have been stored.
   * @param entries pairs of key and value: a Map, or `Object.entries` of an object
   * @returns new versions, or null where the condition did not hold, in the order of the entries
   * @throws CacheError as `put`
   * @example
   * await cache.putMany(Object.entries({ a: "1", b: "2" }), { ttlMs: 60_000 });
   * await cache.many(["a", "b"]); // ["1", "2"]
   */
  async putMany(
    entries: Iterable<readonly [key: string, value: Value]>,
    options: PutManyOptions = {},
  ): Promise<(number | null)[]> {
    checkOptions("putMany", options);
    const pairs = listOf("entries", entries);
    if (!pairs.every(Array.isArray)) throw invalid("entries", "must be pairs of key and value");
    return Promise.all(pairs.map(([key, value]) => this.put(key, value, options)));
  }

  /**
   * Removes an entry.
   * @param options.ifVersion only if it has this version
   * @returns true when there was an entry (with that version), and it is gone
   * @throws CacheError as every write
   * @example
   * await cache.put("name", "Breadbox");
   * await cache.delete("name"); // true
   * await cache.delete("name"); // false
   */
  async delete(key: string, options: DeleteOptions = {}): Promise<boolean> {
    return this.ask("delete", { op: Op.DELETE, key }, options, (reply) =>
      reply.status === Status.REFUSED ? false : done(reply),
    );
  }

  /**
   * Removes many entries, in one message where they fit, one after the other. When one fails, the call does, and others may have
   * been removed.
   * @returns how many there were
   * @throws CacheError as every write
   * @example
   * await cache.putMany([["a", "1"], ["b", "2"]]);
   * await cache.deleteMany(["a", "b", "nothing"]); // 2
   */
  async deleteMany(keys: Iterable<string>, options: WriteOptions = {}): Promise<number> {
    checkOptions("deleteMany", options);
    const removed = await Promise.all(listOf("keys", keys).map((key) => this.delete(key, options)));
    return removed.filter(Boolean).length;
  }

  /**
   * Gives an entry a new time to live; its version stays.
   * @param options.ttlMs in milliseconds, a whole number from 1; null: it no longer expires; the namespace's without it
   * @returns false when there is no entry
   * @throws CacheError as every write
   * @example
   * await cache.put("session", "…", { ttlMs: 1000 });
   * await cache.touch("session", { ttlMs: 60_000 }); // true
   * await cache.touch("nothing", { ttlMs: 60_000 }); // false
   */
  async touch(key: string, options: TtlOptions = {}): Promise<boolean> {
    return this.ask("touch", { op: Op.TOUCH, key }, options, done);
  }

  /**
   * Reads a value as text and removes its entry, as one operation: of all who ask for a key at the same time, one gets the value.
   * With `retry`, an answer that is lost with its connection is the value's end.
   * @returns the text, or null when there is no entry
   * @throws CacheError as every write; `unknown-op` from a server that is older than the method
   * @example
   * await cache.put("code:42", "7316");
   * await cache.getAndDelete("code:42"); // "7316"
   * await cache.getAndDelete("code:42"); // null
   */
  async getAndDelete(key: string, options: WriteOptions = {}): Promise<string | null> {
    return textOrNull(await this.getBytesAndDelete(key, options));
  }

  /**
   * The same for bytes, which are the caller's own.
   * @returns the bytes, or null when there is no entry
   * @throws CacheError as `getAndDelete`
   * @example
   * await cache.put("bytes", new Uint8Array([0, 255]));
   * [...(await cache.getBytesAndDelete("bytes"))!]; // [0, 255]
   */
  async getBytesAndDelete(key: string, options: WriteOptions = {}): Promise<Uint8Array | null> {
    return this.ask("getAndDelete", { op: Op.GETDELETE, key }, options, valueOrNull);
  }

  /**
   * Reads a value as text and gives its entry a new time to live, as one operation; its version stays.
   * @param options.ttlMs in milliseconds, a whole number from 1; null: it no longer expires; the namespace's without it
   * @returns the text, or null when there is no entry
   * @throws CacheError as every write; `unknown-op` from a server that is older than the method
   * @example
   * await cache.put("session:42", "Ada", { ttlMs: 1000 });
   * await cache.getAndTouch("session:42", { ttlMs: 60_000 }); // "Ada"
   * await cache.getAndTouch("nothing", { ttlMs: 60_000 }); // null
   */
  async getAndTouch(key: string, options: TtlOptions = {}): Promise<string | null> {
    return textOrNull(await this.getBytesAndTouch(key, options));
  }

  /**
   * The same for bytes, which are the caller's own.
   * @returns the bytes, or null when there is no entry
   * @throws CacheError as `getAndTouch`
   * @example
   * await cache.put("bytes", new Uint8Array([0, 255]));
   * [...(await cache.getBytesAndTouch("bytes", { ttlMs: 60_000 }))!]; // [0, 255]
   */
  async getBytesAndTouch(key: string, options: TtlOptions = {}): Promise<Uint8Array | null> {
    return this.ask("getAndTouch", { op: Op.GETTOUCH, key }, options, valueOrNull);
  }

  /**
   * Adds to a counter. One that does not exist begins at 0. It is stored as decimal text.
   * @param delta a whole number, 1 by default; a bigint for sums beyond 2^53, and the sum is a bigint then, too
   * @param options.ttlMs in milliseconds; counts only if this creates the entry
   * @returns the sum
   * @throws CacheError as every write; `not-a-number` when the value is no whole number, or the sum would not fit 64 bits;
   *   `number-too-large` when a number was added and the sum is beyond 2^53: it was added all the same
   * @example
   * await cache.add("visits"); // 1
   * await cache.add("visits", 41); // 42
   * await cache.add("visits", 2n ** 60n); // 1152921504606847018n
   */
  async add<Amount extends number | bigint = number>(
    key: string,
    delta: Amount = 1 as Amount,
    options: TtlOptions = {},
  ): Promise<Amount extends bigint ? bigint : number> {
    const value = i64Bytes(delta);
    const sum = await this.ask("add", { op: Op.ADD, key, value }, options, numberOf);
    const isExact = typeof delta === "bigint" || Number.isSafeInteger(Number(sum));
    if (!isExact)
      throw new CacheError("number-too-large", `the sum ${sum} is no exact number; add a bigint`, true);
    return (typeof delta === "bigint" ? sum : Number(sum)) as Amount extends bigint ? bigint : number;
  }

  /**
   * Appends text or bytes to a value. Its expiry stays.
   * @returns false when there is no entry
   * @throws CacheError as every write; `value-too-large` when the whole value would be
   * @example
   * await cache.put("log", "one");
   * await cache.append("log", ", two"); // true
   * await cache.get("log"); // "one, two"
   */
  async append(key: string, value: Value, options: WriteOptions = {}): Promise<boolean> {
    return this.ask("append", { op: Op.APPEND, key, value: valueBytes(value) }, options, done);
  }

  /**
   * Looks at an entry without its value. It does not count as a read, so it does not keep the entry from being evicted.
   * @returns version, remaining milliseconds (null without expiry) and bytes of the value; null when there is no entry
   * @throws CacheError as every read
   * @example
   * await cache.put("name", "Breadbox");
   * (await cache.info("name"))!.length; // 8
   */
  async info(key: string, options: RequestOptions = {}): Promise<EntryInfo | null> {
    return this.ask("info", { op: Op.INFO, key }, options, (reply) => {
      if (reply.status !== Status.META) return missed(reply);
      const { version, ttlMs, length } = reply;
      return { version, ttlMs, length };
    });
  }

  /**
   * Goes through all keys that begin with a prefix, in no order, a page of up to 1000 at a time. A key that is there all the
   * time comes at least once; one that is written meanwhile may come twice, or not at all.
   * @param options.timeoutMs for each page
   * @throws CacheError as every read, while it is iterated
   * @example
   * await cache.put("user:1", "Ada");
   * await cache.put("user:2", "Grace");
   * const keys = new Set<string>();
   * for await (const key of cache.scan("user:")) keys.add(key);
   * [...keys].sort(); // ["user:1", "user:2"]
   */
  async *scan(prefix = "", options: RequestOptions = {}): AsyncGenerator<string, void, undefined> {
    let cursor: Uint8Array = new Uint8Array(0);
    do {
      const page = await this.ask("scan", { op: Op.SCAN, key: prefix, value: cursor }, options, pageOf);
      for (const key of page.keys) yield textOf(key).slice(this.scope.prefix.length);
      cursor = page.cursor;
    } while (cursor.some((byte) => byte !== 0));
  }

  /**
   * Removes all entries whose keys begin with a prefix, or all of them without one.
   * @returns how many were removed
   * @throws CacheError as every write
   * @example
   * await cache.put("user:1", "Ada");
   * await cache.put("page:1", "…");
   * await cache.clear("user:"); // 1
   */
  async clear(prefix = "", options: WriteOptions = {}): Promise<number> {
    return Number(await this.ask("clear", { op: Op.CLEAR, key: prefix }, options, numberOf));
  }

  /**
   * Reads a value as text; where there is none, computes and stores it, while everybody else who asks for it, here or in
   * other clients, waits for that value.
   * @param compute gives the value; called once for all who wait
   * @param options.ttlMs the computed value expires after so many milliseconds; null: never; the namespace's without it
   * @param options.leaseMs how long others wait for it (10,000 ms, at most 60,000); what is computed later is returned but
   *   not stored
   * @param options.earlyMs an entry that expires within so many milliseconds is computed anew by one caller, behind the
   *   callers' backs: all of them get the old value until the new one is there
   * @param options.timeoutMs from the call to the value; `leaseMs` and `timeoutMs` of `connect` together by default
   * @returns the value, also where it could not be stored; the event `uncached` tells of that
   * @throws CacheError as every read; what `compute` throws, to those who waited for it; `invalid-argument` when it gives no value
   * @example
   * const page = await cache.getOrCompute("page:1", async () => "rendered", { ttlMs: 60_000 });
   * page; // "rendered"
   * await cache.get("page:1"); // "rendered"
   * await cache.getOrCompute("page:1", () => "not called"); // "rendered"
   */
  async getOrCompute(key: string, compute: Compute, options: ComputeOptions = {}): Promise<string> {
    checkOptions("getOrCompute", options);
    if (typeof compute !== "function") throw invalid("compute", "must be a function that gives the value");
    const settled = { ...options, ttlMs: this.ttlOf(options) };
    return this.streams.runs.getOrCompute(keyUnder(this.scope.prefix, key), compute, settled);
  }

  /**
   * Tells every change under a prefix, or of all keys without one, from the first `next` on: what this client asks after
   * that sees the cache as it is then or later. After a change may have been missed, for example because the connection
   * broke, `reset` names the prefix of which everything may have changed. The iteration ends with the loop, when its signal
   * is aborted, and when the client is closed.
   * @param options.timeoutMs for the server's first answer
   * @throws CacheError as every read, while it is iterated; `busy` when the server has as many watches as it may have
   * @example
   * setTimeout(() => cache.put("user:42:name", "Ada"));
   * for await (const change of cache.watch("user:42:")) {
   *   change.reset ?? change.key; // "user:42:name"
   *   break;
   * }
   */
  watch(prefix = "", options: RequestOptions = {}): AsyncIterableIterator<Change, undefined, undefined> {
    const { scope, streams } = this;
    return streams.watches.open(prefixUnder(scope.prefix, prefix), options, scope.prefix.length);
  }

  /**
   * Makes a view of the same entries whose values are of one type, stored as JSON.
   * @example
   * const users = cache.json<{ name: string }>();
   * await users.put("user:1", { name: "Ada" });
   * await users.get("user:1"); // { name: "Ada" }
   */
  json<T>(): JsonView<T> {
    return new JsonView<T>(this);
  }

  /**
   * Makes a view of the entries whose keys begin with a prefix, with the same methods. Its keys are what comes after the prefix,
   * in what it is given and in what it tells. It shares the connection, the near cache and their bounds.
   * @param prefix may end with any character; "" with another `ttlMs` is all entries with that
   * @param options.ttlMs of writes that say none; null: they never expire; that of this cache or namespace without it
   * @throws CacheError `invalid-argument`
   * @example
   * const sessions = cache.namespace("session:", { ttlMs: 1_800_000 });
   * await sessions.put("42", "Ada");
   * await sessions.get("42"); // "Ada"
   * await cache.get("session:42"); // "Ada"
   * await sessions.namespace("4").get("2"); // "Ada"
   */
  namespace(prefix: string, options: NamespaceOptions = {}): Namespace {
    checkNamespace(prefix, options);
    const { scope } = this;
    const { ttlMs = scope.ttlMs } = options;
    return new Namespace(this.connection, this.streams, { prefix: scope.prefix + prefix, ttlMs });
  }

  private async getText(key: string, options?: RequestOptions): Promise<string | null> {
    const { near } = this.streams;
    if (near.isOn) return near.textOf(await this.copy(key, options));
    return textOrNull(await this.getBytes(key, options));
  }

  /** Of a client with a near cache: a copy that is young enough, or the server's answer. */
  private copy(key: string, options: RequestOptions = {}): Copy | Promise<Copy> {
    checkOptions("get", options);
    return this.streams.near.read(keyUnder(this.scope.prefix, key), options);
  }

  /** Null: for ever. */
  private ttlOf({ ttlMs = this.scope.ttlMs }: AnyOptions): number | null {
    return ttlMs;
  }

  /** Throws what is wrong with the options; for async methods, whose promises then reject. */
  protected ask<T>(
    verb: Verb,
    fields: RequestFields,
    options: AnyOptions,
    read: (reply: Reply) => T,
  ): Promise<T> {
    checkOptions(verb, options);
    const { prefix } = this.scope;
    const { op, key = "" } = fields;
    fields.key = OF_PREFIXES.includes(op) ? prefixUnder(prefix, key) : keyUnder(prefix, key);
    fields.flags = (fields.flags ?? 0) | conditionFlags(options);
    if (WITH_TTL.includes(op)) fields.ttlMs = this.ttlOf(options) ?? undefined;
    fields.version = options.ifVersion;
    const isRead = READS.includes(op);
    if (!isRead) this.streams.wrote(op, fields.key);
    return this.connection.ask(fields, read, isRead, options);
  }
}

function conditionFlags({ ifAbsent, ifPresent }: AnyOptions): number {
  return (ifAbsent ? Flag.PUT_IF_ABSENT : 0) | (ifPresent ? Flag.PUT_IF_PRESENT : 0);
}

/** A number to add as 8 bytes, two's complement. */
function i64Bytes(delta: number | bigint): Uint8Array {
  if (typeof delta !== "bigint" && !Number.isSafeInteger(delta))
    throw invalid("delta", "must be a whole number; beyond 2^53 a bigint");
  const amount = BigInt(delta);
  if (BigInt.asIntN(64, amount) !== amount) throw invalid("delta", "must fit 64 bits");
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, amount, true);
  return bytes;
}

function textOrNull(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : textOf(bytes);
}

function valueOrNull(reply: Reply): Uint8Array | null {
  return reply.status === Status.VALUE ? reply.value : missed(reply);
}

function missed(reply: Reply): null {
  if (reply.status === Status.MISS) return null;
  throw unexpected(reply);
}

function done(reply: Reply): boolean {
  if (reply.status === Status.OK) return true;
  if (reply.status === Status.MISS) return false;
  throw unexpected(reply);
}

function numberOf(reply: Reply): bigint {
  if (reply.status === Status.NUMBER) return reply.number;
  throw unexpected(reply);
}

function pageOf(reply: Reply) {
  if (reply.status === Status.SCAN_PAGE) return reply;
  throw unexpected(reply);
}
