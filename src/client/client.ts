/**
 * The client: `const cache = await connect("ws://localhost:7171")`. One persistent WebSocket; requests made in the same
 * turn of the event loop leave as one message, and each promise resolves as its reply arrives. Runs in browsers, Bun,
 * Deno and Node without dependencies.
 */
import { Flag, Op, Status } from "../protocol/wire";
import { invalid, type Value, valueBytes } from "./check";
import { type Reply, type RequestFields, textOf } from "./codec";
import { Connection, type ConnectionEvents } from "./connection";
import { CacheError } from "./errors";
import {
  checkDelete,
  checkPut,
  checkRequest,
  checkTtl,
  type ConnectOptions,
  type DeleteOptions,
  type PutOptions,
  type RequestOptions,
  settle,
  type TtlOptions,
  type WriteOptions,
} from "./options";

export { CacheError, type CacheErrorCode } from "./errors";
export type { Value } from "./check";
export type { ConnectionEvents, WebSocketClass, WebSocketLike } from "./connection";
export type {
  ConnectOptions,
  DeleteOptions,
  PutCondition,
  PutOptions,
  RequestOptions,
  TtlOptions,
  WriteOptions,
} from "./options";

export interface Entry {
  bytes: Uint8Array;
  /** The bytes as UTF-8. */
  text: string;
  version: number;
  /** Remaining ms; null without expiry. */
  ttlMs: number | null;
}

export interface EntryInfo {
  version: number;
  ttlMs: number | null;
  /** Bytes of the value. */
  length: number;
}

const DISPOSE: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");

/**
 * Connects to a server.
 * @param url ws:// or wss://, http:// or https://; the path /ws is added where there is none
 * @throws CacheError `refused` when no connection can be made
 */
export async function connect(url: string, options: ConnectOptions = {}): Promise<Cache> {
  const connection = new Connection(settle(url, options));
  await connection.connect();
  return new Cache(connection);
}

export class Cache {
  /** Use `connect`. */
  constructor(private readonly connection: Connection) {}

  /** The value as text, or null. */
  async get(key: string, options?: RequestOptions): Promise<string | null> {
    const bytes = await this.getBytes(key, options);
    return bytes === null ? null : textOf(bytes);
  }

  /** The value's bytes, or null. */
  async getBytes(key: string, options: RequestOptions = {}): Promise<Uint8Array | null> {
    checkRequest("get", options);
    const reply = await this.read({ op: Op.GET, key }, options);
    if (reply.status === Status.VALUE) return reply.value;
    return missed(reply);
  }

  /** The value with version and remaining time, or null. */
  async getWithMeta(key: string, options: RequestOptions = {}): Promise<Entry | null> {
    checkRequest("getWithMeta", options);
    const reply = await this.read({ op: Op.GET, flags: Flag.GET_META, key }, options);
    if (reply.status !== Status.META_VALUE) return missed(reply);
    const { value, version, ttlMs } = reply;
    return { bytes: value, text: textOf(value), version, ttlMs };
  }

  /** The values of many keys as text, null where there is none, in the order of the keys; sent as one message. */
  many(keys: readonly string[], options?: RequestOptions): Promise<(string | null)[]> {
    return Promise.all(keys.map((key) => this.get(key, options)));
  }

  /** Stores a value. Resolves with the new version, or null when a condition did not hold. */
  async put(key: string, value: Value, options: PutOptions = {}): Promise<number | null> {
    checkPut(options);
    const flags =
      Flag.PUT_RETURN_VERSION |
      (options.ifAbsent ? Flag.PUT_IF_ABSENT : 0) |
      (options.ifPresent ? Flag.PUT_IF_PRESENT : 0);
    const { ttlMs, ifVersion: version } = options;
    const fields = { op: Op.PUT, flags, key, value: valueBytes(value), ttlMs, version };
    const reply = await this.write(fields, options);
    if (reply.status === Status.NUMBER) return Number(reply.number);
    if (reply.status === Status.REFUSED) return null;
    throw unexpected(reply);
  }

  /** True when there was an entry (with that version, if one is given) and it is gone. */
  async delete(key: string, options: DeleteOptions = {}): Promise<boolean> {
    checkDelete(options);
    const reply = await this.write({ op: Op.DELETE, key, version: options.ifVersion }, options);
    if (reply.status === Status.REFUSED) return false;
    return done(reply);
  }

  /** Gives the entry a new time to live, or none without `ttlMs`. False when there is no entry. */
  async touch(key: string, options: TtlOptions = {}): Promise<boolean> {
    checkTtl("touch", options);
    return done(await this.write({ op: Op.TOUCH, key, ttlMs: options.ttlMs }, options));
  }

  /**
   * Adds to a counter, that begins at 0; resolves with the sum. A number's sum must stay below 2^53 (`number-too-large`),
   * a bigint's within 64 bits (`not-a-number`). `ttlMs` counts only if this creates the entry.
   */
  async add<Amount extends number | bigint = number>(
    key: string,
    delta: Amount = 1 as Amount,
    options: TtlOptions = {},
  ): Promise<Amount extends bigint ? bigint : number> {
    checkTtl("add", options);
    const value = i64Bytes(delta);
    const reply = await this.write({ op: Op.ADD, key, value, ttlMs: options.ttlMs }, options);
    if (reply.status !== Status.NUMBER) throw unexpected(reply);
    if (typeof delta === "bigint") return reply.number as Amount extends bigint ? bigint : number;
    const sum = Number(reply.number);
    if (!Number.isSafeInteger(sum))
      throw new CacheError("number-too-large", `the sum ${reply.number} is no exact number; add a bigint`);
    return sum as Amount extends bigint ? bigint : number;
  }

  /** Appends to a value. False when there is no entry. */
  async append(key: string, value: Value, options: WriteOptions = {}): Promise<boolean> {
    checkRequest("append", options);
    return done(await this.write({ op: Op.APPEND, key, value: valueBytes(value) }, options));
  }

  /** Version, remaining time and length, or null; not counted as a read. */
  async info(key: string, options: RequestOptions = {}): Promise<EntryInfo | null> {
    checkRequest("info", options);
    const reply = await this.read({ op: Op.INFO, key }, options);
    if (reply.status !== Status.META) return missed(reply);
    return { version: reply.version, ttlMs: reply.ttlMs, length: reply.length };
  }

  /** All keys that start with a prefix: each that is there all the time at least once, some maybe twice. */
  async *scan(prefix = "", options: RequestOptions = {}): AsyncGenerator<string, void, undefined> {
    checkRequest("scan", options);
    let cursor = new Uint8Array(0);
    do {
      const reply = await this.read({ op: Op.SCAN, key: prefix, value: cursor }, options);
      if (reply.status !== Status.SCAN_PAGE) throw unexpected(reply);
      for (const key of reply.keys) yield textOf(key);
      cursor = reply.cursor as Uint8Array<ArrayBuffer>;
    } while (cursor.some((byte) => byte !== 0));
  }

  /** Removes the entries whose keys start with a prefix, all without one; resolves with their number. */
  async clear(prefix = "", options: WriteOptions = {}): Promise<number> {
    checkRequest("clear", options);
    const reply = await this.write({ op: Op.CLEAR, key: prefix }, options);
    if (reply.status !== Status.NUMBER) throw unexpected(reply);
    return Number(reply.number);
  }

  /** The time to the server and back, ms. */
  async ping(options: RequestOptions = {}): Promise<number> {
    checkRequest("ping", options);
    const start = performance.now();
    await this.read({ op: Op.PING }, options);
    return performance.now() - start;
  }

  /** What the server counts; the object of GET /stats. */
  async stats(options: RequestOptions = {}): Promise<Record<string, unknown>> {
    checkRequest("stats", options);
    const reply = await this.read({ op: Op.STATS }, options);
    if (reply.status !== Status.VALUE) throw unexpected(reply);
    return JSON.parse(textOf(reply.value)) as Record<string, unknown>;
  }

  /** A view that stores values of one type as JSON. */
  json<T>(): JsonView<T> {
    return new JsonView<T>(this);
  }

  /** Calls back on `open`, `close` and `reconnecting`; returns what ends that. */
  on<Name extends keyof ConnectionEvents>(
    name: Name,
    listener: (event: ConnectionEvents[Name]) => void,
  ): () => void {
    return this.connection.on(name, listener);
  }

  /** Lets what is under way come to its end, then closes the connection. */
  close(): Promise<void> {
    return this.connection.close();
  }

  /** For `await using`. */
  [DISPOSE](): Promise<void> {
    return this.close();
  }

  private read(fields: RequestFields, { timeoutMs, signal }: RequestOptions): Promise<Reply> {
    return this.connection.ask(fields, { isRead: true, timeoutMs, signal });
  }

  private write(fields: RequestFields, { timeoutMs, signal, retry }: WriteOptions): Promise<Reply> {
    return this.connection.ask(fields, { isRead: false, timeoutMs, signal, retry });
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

/** The same entries, with values of type T stored as JSON text. */
export class JsonView<T> {
  constructor(private readonly cache: Cache) {}

  async get(key: string, options?: RequestOptions): Promise<T | null> {
    const text = await this.cache.get(key, options);
    return text === null ? null : (JSON.parse(text) as T);
  }

  async getWithMeta(
    key: string,
    options?: RequestOptions,
  ): Promise<(Omit<Entry, "bytes" | "text"> & { value: T }) | null> {
    const entry = await this.cache.getWithMeta(key, options);
    if (entry === null) return null;
    return { value: JSON.parse(entry.text) as T, version: entry.version, ttlMs: entry.ttlMs };
  }

  /** As Cache.put. Throws `invalid-argument` for what JSON cannot say (undefined, functions). */
  async put(key: string, value: T, options?: PutOptions): Promise<number | null> {
    const text = JSON.stringify(value) as string | undefined;
    if (text === undefined) throw invalid("value", "JSON cannot express it");
    return this.cache.put(key, text, options);
  }
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

function unexpected(reply: Reply): CacheError {
  return new CacheError("protocol", `reply of status ${reply.status} does not answer this request`);
}
