/** One WebSocket from its opening to its end. After `drop` nothing more comes from it. */
import { SUBPROTOCOL, SUBPROTOCOL_BEARER } from "../protocol/wire";

/** What the client needs of a WebSocket: the one of browsers, Bun, Deno, Node 22, or the `ws` package. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
  /** Ends it at once; of Bun and the ws package, which would wait half a minute for a peer that does not answer. */
  terminate?(): void;
  onopen: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
}

export type WebSocketClass = new (url: string, protocols?: string[]) => WebSocketLike;

/** What the runtime tells of an error; often nothing. */
export interface Trouble {
  code?: unknown;
  message?: string;
}

/** How a connection ended. */
export interface End {
  code: number;
  reason: string;
}

export interface SocketEvents {
  opened(): void;
  /** It did not open. */
  failed(trouble: Trouble): void;
  message(data: ArrayBuffer | string): void;
  /** It was open, and has ended. */
  ended(end: End): void;
}

/** Close code of a connection that ended without a close frame (RFC 6455, 7.1.5). */
export const ABNORMAL = 1006;
const NORMAL = 1000;
const ignore = () => {};

export class Socket {
  private readonly socket: WebSocketLike;

  /** Throws what the runtime's WebSocket throws, such as a browser's on ws: from a page of https:. */
  constructor(url: string, token: string | undefined, WebSocket: WebSocketClass, events: SocketEvents) {
    const protocols = [SUBPROTOCOL];
    if (token !== undefined) protocols.push(SUBPROTOCOL_BEARER + base64url(token));
    const socket = new WebSocket(url, protocols);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      socket.onerror = ignore;
      socket.onclose = ({ code, reason }) => events.ended({ code, reason });
      events.opened();
    };
    socket.onmessage = ({ data }) => events.message(data as ArrayBuffer | string);
    // An error tells more than the close that follows, which Node's own WebSocket leaves out.
    socket.onerror = (event) => events.failed((event.error as Trouble | undefined) ?? (event as Trouble));
    socket.onclose = () => events.failed({});
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    this.socket.send(bytes);
  }

  /** Bytes that wait for the network. */
  get unsentBytes(): number {
    return this.socket.bufferedAmount;
  }

  /** Sends a close frame; only `ended` follows, when the peer has answered it. */
  close(): void {
    this.socket.onmessage = null;
    this.socket.close(NORMAL, "");
  }

  /** Ends the connection at once, without waiting for the peer; no event follows. */
  drop(): void {
    const { socket } = this;
    socket.onopen = socket.onmessage = socket.onclose = null;
    // The ws package throws an error that nobody listens for.
    socket.onerror = ignore;
    if (socket.terminate === undefined) socket.close();
    else socket.terminate();
  }
}

function base64url(text: string): string {
  const bytes = new TextEncoder().encode(text);
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}
