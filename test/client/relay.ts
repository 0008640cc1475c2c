/** Passes bytes between a client and the server, so that a test decides when they pass and when the connection breaks. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

export class Relay {
  /** Bytes that came from the server so far. */
  bytesToClient = 0;
  private readonly sockets = new Set<Socket>();
  private isHeld = false;

  private constructor(
    private readonly server: Server,
    private readonly serverPort: number,
  ) {
    server.on("connection", (client) => this.join(client));
  }

  /** To a server on this machine. */
  static to(serverPort: number): Promise<Relay> {
    const server = createServer();
    const relay = new Relay(server, serverPort);
    return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(relay)));
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Nothing passes any more, and nobody is told: the connections are half-open. */
  hold(): void {
    this.isHeld = true;
    for (const socket of this.sockets) socket.pause();
  }

  /** What was held passes, in its order. */
  release(): void {
    this.isHeld = false;
    for (const socket of this.sockets) socket.resume();
  }

  /** Ends the connections that there are. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  close(): void {
    this.server.close();
    this.cut();
  }

  private join(client: Socket): void {
    const upstream = connect(this.serverPort, "127.0.0.1");
    upstream.on("data", (chunk) => void (this.bytesToClient += chunk.length));
    this.pass(client, upstream);
    this.pass(upstream, client);
  }

  private pass(from: Socket, to: Socket): void {
    this.sockets.add(from);
    from.on("data", (chunk) => {
      if (!to.write(chunk)) from.pause();
    });
    to.on("drain", () => {
      if (!this.isHeld) from.resume();
    });
    from.on("error", () => {});
    from.on("close", () => {
      this.sockets.delete(from);
      to.destroy();
    });
    if (this.isHeld) from.pause();
  }
}
