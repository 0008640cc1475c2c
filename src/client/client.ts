/**
 * The client: `const cache = await connect("ws://localhost:7171")`. One persistent WebSocket; requests made in the same
 * turn of the event loop leave as one message, and each promise resolves as its reply arrives. Runs in browsers, Bun,
 * Deno and Node without dependencies.
 */
import { Cache } from "./cache";
import { Connection } from "./connection";
import { type ConnectOptions, settle } from "./options";

export { Cache } from "./cache";
export type { Compute } from "./compute";
export type { Entry, EntryInfo, Value } from "./entry";
export { CacheError, type CacheErrorCode } from "./errors";
export type { ConnectionEvents } from "./events";
export { JsonView } from "./json-view";
export { Namespace } from "./namespace";
export type { Near, NearStats } from "./near/near";
export type {
  ComputeOptions,
  ConnectOptions,
  DeleteOptions,
  NamespaceOptions,
  NearOptions,
  PutCondition,
  PutManyOptions,
  PutOptions,
  RequestOptions,
  TtlOptions,
  WriteOptions,
} from "./options";
export type { WebSocketClass, WebSocketLike } from "./socket";
export type { Change } from "./watch";

/**
 * Connects to a server. The connection is made again when it breaks, until `close` or until the token is not accepted.
 * @param url ws:// or wss:// (http:// and https:// mean the same); the path /ws is added where there is none
 * @param options times in milliseconds, sizes in bytes; the defaults stand with each
 * @throws CacheError when the first connection can't be made: `invalid-argument`, `refused`, `untrusted`, `unauthorized`,
 *   `forbidden`, `busy`, or `timeout` after `connectTimeoutMs`
 * @example
 * const client = await connect("ws://localhost:7171", { timeoutMs: 2000 });
 * await client.put("name", "Breadbox");
 * await client.get("name"); // "Breadbox"
 * await client.close();
 */
export async function connect(url: string, options: ConnectOptions = {}): Promise<Cache> {
  const settled = settle(url, options);
  const connection = new Connection(settled);
  const cache = new Cache(connection, settled.near, settled.ttlMs);
  await connection.connect();
  return cache;
}
