/**
 * The client: `const cache = await connect("ws://localhost:7171")`. One persistent WebSocket; requests made in the same
 * turn of the event loop leave as one message, and each promise resolves as its reply arrives. Runs in browsers, Bun,
 * Deno and Node without dependencies.
 */
import { Cache } from "./cache";
import { Connection } from "./connection";
import { type ConnectOptions, settle } from "./options";

export { Cache } from "./cache";
export type { Entry, EntryInfo, Value } from "./entry";
export { CacheError, type CacheErrorCode } from "./errors";
export type { ConnectionEvents } from "./events";
export { JsonView } from "./json-view";
export type {
  ConnectOptions,
  DeleteOptions,
  PutCondition,
  PutOptions,
  RequestOptions,
  TtlOptions,
  WriteOptions,
} from "./options";
export type { WebSocketClass, WebSocketLike } from "./socket";

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
