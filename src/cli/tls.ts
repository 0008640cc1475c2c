/** Trust in a server's certificate beyond the authorities that the system knows: --tls-ca, for one's own. */
import { readFileSync } from "node:fs";
import type { WebSocketClass } from "../client/client";
import { CommandUsageError } from "./usage";

/** The certificates of --tls-ca, as the options of fetch and WebSocket have them; undefined without that flag. */
export function trustOf(file: string | undefined): { ca: string } | undefined {
  if (file === undefined) return undefined;
  try {
    return { ca: readFileSync(file, "utf8") };
  } catch (error) {
    throw new CommandUsageError(`--tls-ca: ${(error as Error).message}`);
  }
}

/** The WebSocket of this runtime, with that trust. */
export function webSocketTrusting(trust: { ca: string }): WebSocketClass {
  return class extends WebSocket {
    constructor(url: string, protocols: string[] = []) {
      super(url, { protocols, tls: trust });
    }
  } as WebSocketClass;
}
