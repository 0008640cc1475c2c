/** A server that speaks WebSocket's handshake, and beyond that does what a test makes it do to each connection, in their order. */
import type { ServerWebSocket } from "bun";

export interface Behaviour {
  opened?(socket: ServerWebSocket): void;
  received?(socket: ServerWebSocket, message: Buffer): void;
}

export class HostileServer {
  /** Connections that were opened so far. */
  opened = 0;
  private readonly server;
  private readonly behaviours = new Map<ServerWebSocket, Behaviour>();

  /** The last behaviour is that of all further connections. */
  constructor(behaviours: readonly Behaviour[]) {
    const next = () => behaviours[Math.min(this.opened++, behaviours.length - 1)]!;
    this.server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request, server) =>
        server.upgrade(request, { headers: { "Sec-WebSocket-Protocol": "breadbox.v1" } })
          ? undefined
          : new Response(null, { status: 400 }),
      websocket: {
        open: (socket) => {
          const behaviour = next();
          this.behaviours.set(socket, behaviour);
          behaviour.opened?.(socket);
        },
        message: (socket, message) =>
          this.behaviours.get(socket)!.received?.(socket, Buffer.from(message as Buffer)),
      },
    });
  }

  get url(): string {
    return `ws://127.0.0.1:${this.server.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stop(true);
  }
}
