/** The verbs, as callers have them. Each builds a request and says what its reply means. */
import { Flag, Op, Status } from "../protocol/wire";
import { invalid, valueBytes } from "./check";
import { type Reply, type RequestFields, textOf, unexpected } from "./codec";
import type { Connection } from "./connection";
import { CacheError } from "./errors";
import type { Entry, EntryInfo, Value } from "./entry";
import type { ConnectionEvents } from "./events";
import { JsonView } from "./json-view";
import {
  type AnyOptions,
  checkOptions,
  type DeleteOptions,
  type PutOptions,
  type RequestOptions,
  type TtlOptions,
  type Verb,
  type WriteOptions,
} from "./options";

/** They change nothing, so they are asked again when a connection breaks. */
const READS: readonly number[] = [Op.GET, Op.INFO, Op.SCAN, Op.PING, Op.STATS];
const DISPOSE: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");

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
    return this.ask("get", { op: Op.GET, key }, options, (reply) =>
      reply.status === Status.VALUE ? reply.value : missed(reply),
    );
  }

  /** The value with version and remaining time, or null. */
  async getWithMeta(key: string, options: RequestOptions = {}): Promise<Entry | null> {
    return this.ask("getWithMeta", { op: Op.GET, flags: Flag.GET_META, key }, options, (reply) => {
      if (reply.status !== Status.META_VALUE) return missed(reply);
      const { value, version, ttlMs } = reply;
      return { bytes: value, text: textOf(value), version, ttlMs };
    });
  }

  /** The values of many keys as text, null where there is none, in the order of the keys; sent as one message. */
  many(keys: readonly string[], options?: RequestOptions): Promise<(string | null)[]> {
    return Promise.all(keys.map((key) => this.get(key, options)));
  }

  /** Stores a value. Resolves with the new version, or null when a condition did not hold. */
  async put(key: string, value: Value, options: PutOptions = {}): Promise<number | null> {
    const flags =
      Flag.PUT_RETURN_VERSION |
      (options.ifAbsent ? Flag.PUT_IF_ABSENT : 0) |
      (options.ifPresent ? Flag.PUT_IF_PRESENT : 0);
    return this.ask("put", { op: Op.PUT, flags, key, value: valueBytes(value) }, options, (reply) =>
      reply.status === Status.REFUSED ? null : Number(numberOf(reply)),
    );
  }

  /** True when there was an entry (with that version, if one is given) and it is gone. */
  async delete(key: string, options: DeleteOptions = {}): Promise<boolean> {
    return this.ask("delete", { op: Op.DELETE, key }, options, (reply) =>
      reply.status === Status.REFUSED ? false : done(reply),
    );
  }

  /** Gives the entry a new time to live, or none without `ttlMs`. False when there is no entry. */
  async touch(key: string, options: TtlOptions = {}): Promise<boolean> {
    return this.ask("touch", { op: Op.TOUCH, key }, options, done);
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
    const value = i64Bytes(delta);
    const sum = await this.ask("add", { op: Op.ADD, key, value }, options, numberOf);
    const isExact = typeof delta === "bigint" || Number.isSafeInteger(Number(sum));
    if (!isExact) throw new CacheError("number-too-large", `the sum ${sum} is no exact number; add a bigint`);
    return (typeof delta === "bigint" ? sum : Number(sum)) as Amount extends bigint ? bigint : number;
  }

  /** Appends to a value. False when there is no entry. */
  async append(key: string, value: Value, options: WriteOptions = {}): Promise<boolean> {
    return this.ask("append", { op: Op.APPEND, key, value: valueBytes(value) }, options, done);
  }

  /** Version, remaining time and length, or null; not counted as a read. */
  async info(key: string, options: RequestOptions = {}): Promise<EntryInfo | null> {
    return this.ask("info", { op: Op.INFO, key }, options, (reply) => {
      if (reply.status !== Status.META) return missed(reply);
      const { version, ttlMs, length } = reply;
      return { version, ttlMs, length };
    });
  }

  /** All keys that start with a prefix: each that is there all the time at least once, some maybe twice. */
  async *scan(prefix = "", options: RequestOptions = {}): AsyncGenerator<string, void, undefined> {
    let cursor: Uint8Array = new Uint8Array(0);
    do {
      const page = await this.ask("scan", { op: Op.SCAN, key: prefix, value: cursor }, options, pageOf);
      for (const key of page.keys) yield textOf(key);
      cursor = page.cursor;
    } while (cursor.some((byte) => byte !== 0));
  }

  /** Removes the entries whose keys start with a prefix, all without one; resolves with their number. */
  async clear(prefix = "", options: WriteOptions = {}): Promise<number> {
    return Number(await this.ask("clear", { op: Op.CLEAR, key: prefix }, options, numberOf));
  }

  /** The time to the server and back, ms. */
  async ping(options: RequestOptions = {}): Promise<number> {
    const start = performance.now();
    await this.ask("ping", { op: Op.PING }, options, valueOf);
    return performance.now() - start;
  }

  /** What the server counts; the object of GET /stats. */
  async stats(options: RequestOptions = {}): Promise<Record<string, unknown>> {
    const text = textOf(await this.ask("stats", { op: Op.STATS }, options, valueOf));
    return JSON.parse(text) as Record<string, unknown>;
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
    return this.connection.events.on(name, listener);
  }

  /** Lets what is under way come to its end, then closes the connection. */
  close(): Promise<void> {
    return this.connection.close();
  }

  /** For `await using`. */
  [DISPOSE](): Promise<void> {
    return this.close();
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
    return this.connection.ask(fields, read, READS.includes(fields.op), options);
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
