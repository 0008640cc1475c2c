/** The verbs, as callers have them. Each builds a request and says what its reply means. */
import { Flag, Op, Status } from "../protocol/wire";
import { invalid, valueBytes } from "./check";
import { type Reply, type RequestFields, textOf, unexpected } from "./codec";
import type { Compute } from "./compute";
import type { Connection } from "./connection";
import { CacheError } from "./errors";
import type { Entry, EntryInfo, Value } from "./entry";
import type { ConnectionEvents } from "./events";
import { JsonView } from "./json-view";
import type { Copy } from "./near/copies";
import { Near } from "./near/near";
import {
  type AnyOptions,
  checkOptions,
  type ComputeOptions,
  type DeleteOptions,
  type NearBounds,
  type PutOptions,
  type RequestOptions,
  type TtlOptions,
  type Verb,
  type WriteOptions,
} from "./options";
import { Streams } from "./streams";
import type { Change } from "./watch";

/** They change nothing, so they are asked again when a connection breaks. */
const READS: readonly number[] = [Op.GET, Op.INFO, Op.SCAN, Op.PING, Op.STATS];
const DISPOSE: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");

/**
 * A connected client.
 *
 * Every request can fail with `invalid-argument`, `timeout`, `aborted`, `overloaded`, `closed`, `unauthorized`, `forbidden`,
 * `busy` or `internal`, every one that names a key with `bad-key`, and every write with `disconnected`. The errors that a
 * single method has beside these stand there. CLIENT.md says for each what it means and what to do.
 *
 * Keys are text of 1 to 65,535 bytes as UTF-8; a server allows 1024 unless its --max-key says otherwise.
 */
export class Cache {
  /** What the client holds itself, with the option `near` of `connect`. */
  readonly near: Near;
  private readonly streams: Streams;

  /** Use `connect`. */
  constructor(
    private readonly connection: Connection,
    near: NearBounds | null,
  ) {
    this.streams = new Streams(connection, near);
    this.near = new Near(this.streams.near);
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
    return this.ask("get", { op: Op.GET, key }, options, (reply) =>
      reply.status === Status.VALUE ? reply.value : missed(reply),
    );
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
      const { value, version, ttlMs } = reply;
      return { bytes: value, text: textOf(value), version, ttlMs };
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
  many(keys: readonly string[], options?: RequestOptions): Promise<(string | null)[]> {
    return Promise.all(keys.map((key) => this.get(key, options)));
  }

  /**
   * Stores a value, under one condition or none. Text is stored as UTF-8. The bytes are copied at once, so they may change
   * afterwards. An expiry that the entry had before is gone, unless `ttlMs` gives a new one.
   * @param options.ttlMs the entry expires after so many milliseconds, a whole number from 1; without it, never
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
    const flags =
      Flag.PUT_RETURN_VERSION |
      (options.ifAbsent ? Flag.PUT_IF_ABSENT : 0) |
      (options.ifPresent ? Flag.PUT_IF_PRESENT : 0);
    return this.ask("put", { op: Op.PUT, flags, key, value: valueBytes(value) }, options, (reply) =>
      reply.status === Status.REFUSED ? null : Number(numberOf(reply)),
    );
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
   * Gives an entry a new time to live; its version stays.
   * @param options.ttlMs in milliseconds, a whole number from 1; without it the entry no longer expires
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
      for (const key of page.keys) yield textOf(key);
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
   * @param options.ttlMs the computed value expires after so many milliseconds; without it, never
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
    return this.streams.runs.getOrCompute(key, compute, options);
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
    return this.streams.watches.open(prefix, options);
  }

  /**
   * Times the way to the server and back, behind the requests in flight on this connection.
   * @returns milliseconds
   * @throws CacheError as every read
   * @example
   * (await cache.ping()) > 0; // true
   */
  async ping(options: RequestOptions = {}): Promise<number> {
    const start = performance.now();
    await this.ask("ping", { op: Op.PING }, options, valueOf);
    return performance.now() - start;
  }

  /**
   * Reads what the server counts: the object of `GET /stats`.
   * @throws CacheError as every read
   * @example
   * const { entries, hits, misses } = await cache.stats();
   * typeof entries; // "number"
   */
  async stats(options: RequestOptions = {}): Promise<Record<string, unknown>> {
    const text = textOf(await this.ask("stats", { op: Op.STATS }, options, valueOf));
    return JSON.parse(text) as Record<string, unknown>;
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
   * Calls back on `open`, `close` and `reconnecting`. What a listener throws becomes an uncaught error; the client goes on.
   * @returns a function that ends the listening
   * @throws CacheError `invalid-argument` for another name
   * @example
   * const stop = cache.on("close", ({ code, willReconnect }) => console.warn("closed", code, willReconnect));
   * cache.on("reconnecting", ({ attempt, delayMs }) => console.warn(`attempt ${attempt} in ${delayMs} ms`));
   * stop();
   */
  on<Name extends keyof ConnectionEvents>(
    name: Name,
    listener: (event: ConnectionEvents[Name]) => void,
  ): () => void {
    return this.connection.events.on(name, listener);
  }

  /**
   * Refuses new requests with `closed`, waits for the answers to requests in flight (at most `closeTimeoutMs`), and closes the
   * connection. Without one (while it is being made again) what waits fails with `closed`. Every call gives the same promise;
   * it always resolves, at most a second after `closeTimeoutMs`, whatever the server does.
   * @example
   * const saved = cache.put("name", "Breadbox");
   * await cache.close();
   * (await saved)! > 0; // true
   */
  close(): Promise<void> {
    return this.connection.close();
  }

  /**
   * For `await using`: closes the client at the end of the block.
   * @example
   * {
   *   await using scoped = await connect("ws://localhost:7171");
   *   await scoped.put("name", "Breadbox");
   * }
   */
  [DISPOSE](): Promise<void> {
    return this.close();
  }

  private async getText(key: string, options?: RequestOptions): Promise<string | null> {
    const { near } = this.streams;
    if (near.isOn) return near.textOf(await this.copy(key, options));
    const bytes = await this.getBytes(key, options);
    return bytes === null ? null : textOf(bytes);
  }

  /** Of a client with a near cache: a copy that is young enough, or the server's answer. */
  private copy(key: string, options: RequestOptions = {}): Copy | Promise<Copy> {
    checkOptions("get", options);
    return this.streams.near.read(key, options);
  }

  /** Throws what is wrong with the options; for async methods, whose promises then reject. */
  private ask<T>(
    verb: Verb,
    fields: RequestFields,
    options: AnyOptions,
    read: (reply: Reply) => T,
  ): Promise<T> {
    checkOptions(verb, options);
    fields.ttlMs = options.ttlMs;
    fields.version = options.ifVersion;
    const isRead = READS.includes(fields.op);
    if (!isRead) this.streams.wrote(fields.op, fields.key!);
    return this.connection.ask(fields, read, isRead, options);
  }
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

function valueOf(reply: Reply): Uint8Array {
  if (reply.status === Status.VALUE) return reply.value;
  throw unexpected(reply);
}

function pageOf(reply: Reply) {
  if (reply.status === Status.SCAN_PAGE) return reply;
  throw unexpected(reply);
}
