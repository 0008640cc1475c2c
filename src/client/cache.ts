/** The whole cache and its connection, as callers have them. */
import { Op, Status } from "../protocol/wire";
import { type Reply, textOf, unexpected } from "./codec";
import type { Connection } from "./connection";
import type { ConnectionEvents } from "./events";
import { parsed } from "./json-view";
import { Namespace } from "./namespace";
import type { NearBounds, RequestOptions } from "./options";
import { Streams } from "./streams";

const DISPOSE: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");

/** A client: all entries, and what concerns its connection. */
export class Cache extends Namespace {
  /** Use `connect`. */
  constructor(connection: Connection, near: NearBounds | null, ttlMs: number | null = null) {
    super(connection, new Streams(connection, near), { prefix: "", ttlMs });
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
   * @throws CacheError as every read; `not-json` when the server answers something else
   * @example
   * const { entries, hits, misses } = await cache.stats();
   * typeof entries; // "number"
   */
  async stats(options: RequestOptions = {}): Promise<Record<string, unknown>> {
    return parsed(textOf(await this.ask("stats", { op: Op.STATS }, options, valueOf)));
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
}

function valueOf(reply: Reply): Uint8Array {
  if (reply.status === Status.VALUE) return reply.value;
  throw unexpected(reply);
}
