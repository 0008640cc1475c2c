/**
 * One worker's listeners on the common port: the newest accepts, those before it have stopped. A listener keeps its
 * certificate for good, so a new certificate gets a new listener.
 */
import type { TCPSocketListener } from "bun";
import type { TlsPair } from "../access/tls";
import type { Connection } from "../net/connection";

export type Listener = TCPSocketListener<Connection>;

/** How long a listener that is replaced goes on accepting. */
const HANDOVER_MS = 5;

export class Listeners {
  private newest: Listener;

  /** Listens. Throws when it cannot. */
  constructor(
    private readonly listen: (tls: TlsPair | null) => Listener,
    private tls: TlsPair | null,
  ) {
    this.newest = listen(tls);
  }

  /**
   * Another listener takes the port with this certificate, unless it is the one in use. Connections that the kernel took
   * for the old listener and it has not are reset, unless net.ipv4.tcp_migrate_req is 1: so it is given a moment to take
   * them. Throws when the certificate can't be used; then nothing has changed.
   */
  async take(pair: TlsPair): Promise<void> {
    if (pair.cert === this.tls?.cert && pair.key === this.tls.key) return;
    const old = this.newest;
    this.newest = this.listen(pair);
    this.tls = pair;
    await new Promise((resolve) => setTimeout(resolve, HANDOVER_MS));
    old.stop();
  }

  /** Accepts no more; what there is goes on. */
  stopAccepting(): void {
    this.newest.stop();
  }
}
