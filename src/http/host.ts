/**
 * The Host that a request names. A page elsewhere can have its own name resolve to 127.0.0.1 (DNS rebinding) and would then
 * be of the server's own origin; so on a loopback address only loopback's names are answered, and those on the list.
 */
import { isLoopback } from "../loopback";
import { Header } from "./message/header-names";
import type { RequestHead } from "./message/head";

const PORT = /:\d*$/;

export const HOST_MESSAGE =
  "Host: this name is not answered; use localhost or a loopback address, or start the server with --allow-host NAME";

export class Hosts {
  private readonly isChecked: boolean;
  private readonly names: ReadonlySet<string>;
  /** The last one allowed: nearly always the next, too. */
  private last: Buffer | null = null;

  /** @param address what the server listens on; names are checked there if it is loopback, and wherever there is a list */
  constructor(address: string, allowed: readonly string[]) {
    this.isChecked = isLoopback(address) || allowed.length > 0;
    this.names = new Set([address.includes(":") ? `[${address}]` : address, ...allowed]);
  }

  /** A request without a Host is no browser's. */
  allows(request: RequestHead): boolean {
    if (!this.isChecked) return true;
    if (this.last !== null && request.authority === null && request.is(Header.HOST, this.last)) return true;
    const host = request.host();
    if (host === null) return true;
    const name = host.toLowerCase().replace(PORT, "");
    if (!isLoopback(name) && !this.names.has(name)) return false;
    if (request.authority === null) this.last = Buffer.from(host, "latin1");
    return true;
  }
}
