/** A WebSocket client over a bare TCP socket, so that a test decides what is read, when, and which bytes are sent. */
import { connect, type Socket } from "node:net";

export const HANDSHAKE = (path: string, headers = "") =>
  `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${headers}\r\n`;

export class RawSocket {
  readonly closed: Promise<void>;
  private received: Buffer = Buffer.alloc(0);
  private onMessage: ((payload: Buffer, opcode: number) => void) | null = null;

  private constructor(readonly socket: Socket) {
    this.closed = new Promise((resolve) => socket.on("close", () => resolve()));
    socket.on("error", () => {});
  }

  /** Resolves when the server has answered the upgrade. `headers`: further lines of it, each with its end. */
  static connect(port: number, headers = ""): Promise<RawSocket> {
    const socket = connect(port, "127.0.0.1");
    const raw = new RawSocket(socket);
    return new Promise((resolve, reject) => {
      let head = "";
      const onData = (chunk: Buffer) => {
        head += chunk.toString("latin1");
        if (!head.includes("\r\n\r\n")) return;
        socket.off("data", onData);
        socket.pause();
        if (head.startsWith("HTTP/1.1 101")) resolve(raw);
        else reject(new Error(head));
      };
      socket.on("data", onData);
      socket.on("close", () => reject(new Error("closed")));
      socket.write(HANDSHAKE("/ws", headers));
    });
  }

  /** Sends a whole binary message, unless another opcode is named; resolves when the kernel has taken it. */
  send(payload: Buffer, opcode = 2): Promise<void> {
    return this.write(frame(payload, opcode));
  }

  /** Bytes as they are. */
  write(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => this.socket.write(bytes, () => resolve()));
  }

  /** Begins to read; calls with every message's payload. */
  read(onMessage: (payload: Buffer, opcode: number) => void): void {
    this.onMessage = onMessage;
    this.socket.on("data", (chunk) => this.take(chunk as Buffer));
    this.socket.resume();
  }

  destroy(): void {
    this.socket.destroy();
  }

  private take(chunk: Buffer): void {
    this.received = this.received.length === 0 ? chunk : Buffer.concat([this.received, chunk]);
    let at = 0;
    for (;;) {
      const left = this.received.length - at;
      if (left < 2) break;
      const short = this.received[at + 1]! & 0x7f;
      const head = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (left < head) break;
      const length =
        short < 126
          ? short
          : short === 126
            ? this.received.readUInt16BE(at + 2)
            : Number(this.received.readBigUInt64BE(at + 2));
      if (left < head + length) break;
      this.onMessage!(this.received.subarray(at + head, at + head + length), this.received[at]! & 0x0f);
      at += head + length;
    }
    this.received = this.received.subarray(at);
  }
}

/** A final frame, masked with zeros as a client's must be masked. */
export function frame(payload: Buffer, opcode = 2): Buffer {
  const { length } = payload;
  const head = Buffer.alloc(length < 126 ? 6 : length < 65_536 ? 8 : 14);
  head[0] = 0x80 | opcode;
  if (length < 126) head[1] = 0x80 | length;
  else if (length < 65_536) {
    head[1] = 0x80 | 126;
    head.writeUInt16BE(length, 2);
  } else {
    head[1] = 0x80 | 127;
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([head, payload]);
}
