/**
 * One TCP or TLS connection to a server of the origin, as few words: it opens, bytes come, it has ended. `ended` is called once, with the reason,
 * unless we close it; nothing is called after either.
 */
import type { Socket, TLSOptions } from "bun";
import type { Endpoint } from "./address";

export interface SocketHandlers {
  opened(): void;
  /** @param bytes nobody writes them again */
  received(bytes: Uint8Array): void;
  ended(reason: string): void;
}

export interface OriginSocket {
  /** Sends all of it, or ends the connection: what is sent here is little, and waits for its answer. */
  write(bytes: Uint8Array): void;
  close(): void;
}

export type Connect = (endpoint: Endpoint, handlers: SocketHandlers) => OriginSocket;

/** @param tls null: without; the certificate and its name are verified, unless these options say otherwise */
export function connector(tls: TLSOptions | null): Connect {
  // Bun takes options without any value for none, and would speak in the clear.
  const options = tls === null ? null : { rejectUnauthorized: true, ...tls };
  return (endpoint, handlers) => new BunSocket(endpoint, options, handlers);
}

/** `host:port`, also where the host is an IPv6 address, with brackets or without. Null where it is none. */
export function parseEndpoint(address: string): Endpoint | null {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, Math.max(0, colon)).replace(/^\[(.*)\]$/, "$1");
  const port = Number(address.slice(colon + 1));
  return host !== "" && Number.isInteger(port) && port > 0 && port < 65_536 ? { host, port } : null;
}

class BunSocket implements OriginSocket {
  private socket: Socket | null = null;
  private isOver = false;

  constructor(
    { host, port }: Endpoint,
    tls: TLSOptions | null,
    private readonly handlers: SocketHandlers,
  ) {
    Bun.connect({
      hostname: host,
      port,
      ...(tls !== null && { tls }),
      socket: {
        open: (socket) => {
          this.socket = socket;
          if (this.isOver) socket.terminate();
          else if (tls === null) handlers.opened();
        },
        handshake: (_socket, isGood, error) => {
          if (this.isOver) return;
          if (isGood) handlers.opened();
          else this.end(`TLS: ${error?.message ?? "the handshake failed"}`);
        },
        data: (_socket, bytes) => {
          if (!this.isOver) handlers.received(bytes);
        },
        close: () => this.end("the connection was closed"),
        error: (_socket, error) => this.end(error.message),
      },
    }).catch((error: Error) => this.end(error.message));
  }

  write(bytes: Uint8Array): void {
    if (!this.isOver && this.socket!.write(bytes) < bytes.length) this.end("it takes no more bytes");
  }

  close(): void {
    this.isOver = true;
    this.socket?.terminate();
  }

  private end(reason: string): void {
    if (this.isOver) return;
    this.close();
    this.handlers.ended(reason);
  }
}
