/** A WebSocket server that answers what a test tells it to, when it tells it to. */
import type { Server, ServerWebSocket } from "bun";

export class ScriptedServer {
  private readonly messages: Buffer[] = [];
  private wake: (() => void) | null = null;
  private socket: ServerWebSocket | null = null;

  private constructor(private readonly server: Server<undefined>) {}

  static async start(): Promise<ScriptedServer> {
    let scripted: ScriptedServer;
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request, self) =>
        self.upgrade(request, { headers: { "Sec-WebSocket-Protocol": "breadbox.v1" } })
          ? undefined
          : new Response(null, { status: 400 }),
      websocket: {
        open: (socket) => void (scripted.socket = socket),
        message(_, message) {
          scripted.messages.push(Buffer.from(message as Buffer));
          scripted.wake?.();
        },
      },
    });
    scripted = new ScriptedServer(server as Server<undefined>);
    return scripted;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.server.port}`;
  }

  /** Closes the connection with a code. */
  close(code: number, reason: string): void {
    this.socket!.close(code, reason);
  }

  /** The next message from the client. */
  async message(): Promise<Buffer> {
    while (this.messages.length === 0) await new Promise<void>((resolve) => (this.wake = resolve));
    return this.messages.shift()!;
  }

  /** Sends replies as one message. */
  reply(...replies: Buffer[]): void {
    this.socket!.sendBinary(Buffer.concat(replies));
  }

  /** Breaks the connection off, without a word. */
  drop(): void {
    this.socket!.terminate();
  }

  value(text: string): Buffer {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(Buffer.byteLength(text));
    return Buffer.concat([Buffer.from([1]), length, Buffer.from(text)]);
  }

  number(number: bigint): Buffer {
    const bytes = Buffer.alloc(9, 5);
    bytes.writeBigInt64LE(number, 1);
    return bytes;
  }

  countRequests(message: Buffer): number {
    let count = 0;
    for (let at = 0; at < message.length; count++) {
      const flags = message[at + 1]!;
      const value = flags & 1 ? message.readUInt32LE(at + 4) + 4 : 0;
      at += 4 + message.readUInt16LE(at + 2) + value + (flags & 2 ? 8 : 0) + (flags & 4 ? 8 : 0);
    }
    return count;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stop(true);
  }
}
