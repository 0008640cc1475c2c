/**
 * One worker's listeners on the common port: the newest accepts, those before it only serve the connections they have.
 * A listener keeps its certificate for good, so a new certificate gets a new listener.
 */
import type { Server } from "bun";
import type { TlsPair } from "../access/tls";
import type { Session } from "../ws/session";

type Listener = Server<Session>;

/** How long a listener that is replaced goes on accepting. */
const HANDOVER_MS = 5;

export class Listeners {
  private readonly all: Listener[];

  /** Listens. Throws when it cannot. */
  constructor(
    private readonly listen: (tls: TlsPair | null) => Listener,
    private tls: TlsPair | null,
  ) {
    this.all = [listen(tls)];
  }

  /**
   * Another listener takes the port with this certificate, unless it is the one in use. Connections that the kernel has queued
   * for the old listener and that it has not accepted are reset, unless net.ipv4.tcp_migrate_req is 1. So it gets a moment to accept
   * them. Throws when the certificate can't be used; then nothing has changed.
   */
  async take(pair: TlsPair): Promise<void> {
    if (pair.cert === this.tls?.cert && pair.key === this.tls.key) return;
    const old = this.all.at(-1)!;
    this.all.push(this.listen(pair));
    this.tls = pair;
    await new Promise((resolve) => setTimeout(resolve, HANDOVER_MS));
    void old.stop().then(() => this.all.splice(this.all.indexOf(old), 1));
  }

  /** Accepts no more connections; open ones stay. */
  stopAccepting(): void {
    void this.all.at(-1)!.stop();
  }

  /** HTTP requests that are not answered yet. */
  get pendingRequests(): number {
    return this.all.reduce((sum, { pendingRequests }) => sum + pendingRequests, 0);
  }

  /** Closes HTTP connections that wait for a next request. */
  closeIdle(): void {
    for (const listener of this.all) listener.closeIdleConnections();
  }

  /** Closes every connection that is left. */
  async close(): Promise<void> {
    await Promise.all(this.all.map((listener) => listener.stop(true)));
  }
}
