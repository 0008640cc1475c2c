/** Why a connection could not be made. */
import { CacheError } from "./errors";
import type { Trouble, WebSocketClass } from "./socket";

interface Target {
  url: string;
  token: string | undefined;
  WebSocket: WebSocketClass;
}

export async function causeOf({ url }: Target, _: Trouble): Promise<CacheError> {
  return new CacheError(
    "refused",
    `no connection to ${url}: nobody listens there, or it refused the token or the origin`,
  );
}
