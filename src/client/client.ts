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
  const { cache, connection } = made(url, options);
  await connection.connect();
  return cache;
}

/**
 * As `connect`, but at once, though the server may not be there yet: the connection is made in the background, and tried again
 * until it can be. Requests wait for it within their `timeoutMs`; with `failFast` they fail with `not-connected` meanwhile.
 * The event `reconnecting` says why an attempt failed. A token that is not accepted ends the client: the event `close` says
 * so, and every request fails with `unauthorized`.
 * @throws CacheError `invalid-argument`
 * @example
 * const client = open("ws://localhost:7171");
 * client.on("reconnecting", ({ reason }) => console.warn(reason));
 * await client.put("name", "Breadbox");
 * await client.get("name"); // "Breadbox"
 * await client.close();
 */
export function open(url: string, options: ConnectOptions = {}): Cache {
  const { cache, connection } = made(url, options);
  connection.open();
  return cache;
}

function made(url: string, options: ConnectOptions): { cache: Cache; connection: Connection } {
  const settled = settle(url, options);
  const connection = new Connection(settled);
  return { cache: new Cache(connection, settled.near, settled.ttlMs), connection };
}
