/** A PUT whose head and half of its body have been read by the server, while the other half is still to come. */
import { connect, type Socket } from "node:net";

const GET = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
const PUT = "PUT /kv/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n";

export class SlowPut {
  private received = "";
  private readonly closed: Promise<void>;

  private constructor(private readonly socket: Socket) {
    this.closed = new Promise((resolve) => socket.on("close", () => resolve()));
    socket.on("data", (chunk) => (this.received += chunk));
    socket.on("error", () => {});
  }

  /**
   * Resolves when the server has begun with the PUT. A GET goes before it in the same packet, and a worker reads a whole
   * packet before it looks at anything else: when the GET has been answered, the PUT has been read as far as it goes.
   */
  static async begin({ port }: { port: number }): Promise<SlowPut> {
    const put = new SlowPut(connect({ port, host: "127.0.0.1", noDelay: true }));
    put.socket.write(`${GET}${PUT}12345`);
    while (!put.received.includes('{"status":"OK"}'))
      await new Promise((resolve, reject) => {
        put.socket.once("data", resolve);
        void put.closed.then(() => reject(new Error(`closed after ${put.received}`)));
      });
    put.received = "";
    return put;
  }

  /** Sends the rest; resolves, when the server has closed the connection, with what it answered. */
  async complete(): Promise<string> {
    this.socket.write("67890");
    await this.closed;
    return this.received;
  }

  abandon(): void {
    this.socket.destroy();
  }
}
