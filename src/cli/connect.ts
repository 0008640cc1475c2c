/** The connection of one subcommand. */
import { connect } from "../client/client";
import type { WithCache } from "./command";
import { trustOf, webSocketTrusting } from "./tls";
import { DEFAULT_URL } from "./usage";

/** Connects as the options say, works, and closes. */
export const withConnection: WithCache = async ({ values }, work) => {
  const trust = trustOf(values["tls-ca"]);
  const cache = await connect(values.url ?? DEFAULT_URL, {
    ...(trust !== undefined && { WebSocket: webSocketTrusting(trust) }),
    ...(values.token !== undefined && { token: values.token }),
    ...(values.timeout !== undefined && { timeoutMs: values.timeout, connectTimeoutMs: values.timeout }),
  });
  try {
    return await work(cache);
  } finally {
    await cache.close();
  }
};
