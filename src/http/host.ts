/**
 * The Host that a request names. A page elsewhere can have its own name resolve to 127.0.0.1 (DNS rebinding) and would then
 * be of the server's own origin; so on a loopback address only loopback's names are answered, and those on the list.
 */
import { isLoopback } from "../system/loopback";
import { pathStart } from "./query";

const PORT = /:\d*$/;

export const HOST_MESSAGE =
  "Host: this name is not answered; use localhost or a loopback address, or start the server with --allow-host NAME";

export class Hosts {
  private readonly isChecked: boolean;
  private readonly names: ReadonlySet<string>;
  /** Beginning of the last URL that was allowed, up to its path: nearly always that of the next one, too. */
  private lastOrigin = "none";

  /** @param address what the server listens on; names are checked there if it is loopback, and wherever there is a list */
  constructor(address: string, allowed: readonly string[]) {
    this.isChecked = isLoopback(address) || allowed.length > 0;
    this.names = new Set([address.includes(":") ? `[${address}]` : address, ...allowed]);
  }

  /** Bun's `url` holds the Host; reading it there spares most requests the making of their headers. */
  allows(request: Request): boolean {
    if (!this.isChecked) return true;
    const { url } = request;
    if (url.startsWith(this.lastOrigin)) return true;
    const start = pathStart(url);
    const host = start === 0 ? request.headers.get("host") : url.slice(url.indexOf("//") + 2, start);
    // A request without a Host is no browser's.
    if (host === null) return true;
    if (!this.allowsName(host)) return false;
    if (start > 0) this.lastOrigin = url.slice(0, start + 1);
    return true;
  }

  /** @param host as in a Host header, with or without a port */
  allowsName(host: string): boolean {
    const name = host.toLowerCase().replace(PORT, "");
    return !this.isChecked || isLoopback(name) || this.names.has(name);
  }
}
