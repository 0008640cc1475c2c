/** A WebSocket to the server for tests: what comes in is kept in order, and can be waited for. */
import { isPush, type PushFrame, pushes, type Reply, replies } from "./frames";

export class WireClient {
  readonly socket: WebSocket;
  readonly closed: Promise<{ code: number; reason: string }>;
  private readonly messages: (Buffer | string)[] = [];
  private readonly pending: Reply[] = [];
  /** Pushes that came in while replies were waited for, oldest first. */
  readonly pushed: PushFrame[] = [];
  readonly pushedText: string[] = [];
  private readonly waiting: (() => void)[] = [];
  private over = false;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", (event) => {
      this.messages.push(
        typeof event.data === "string" ? event.data : Buffer.from(event.data as ArrayBuffer),
      );
      this.wake();
    });
    this.closed = new Promise((resolve) =>
      socket.addEventListener("close", (event) => {
        this.over = true;
        this.wake();
        resolve({ code: event.code, reason: event.reason });
      }),
    );
  }

  /** Resolves when the connection is open; rejects when it is refused. */
  static connect(
    url: string,
    options: {
      protocols?: string[];
      headers?: Record<string, string>;
      tls?: { rejectUnauthorized: boolean };
    } = {},
  ): Promise<WireClient> {
    const socket = new WebSocket(url, options as never);
    const client = new WireClient(socket);
    return new Promise((resolve, reject) => {
      socket.addEventListener("open", () => resolve(client));
      void client.closed.then(({ code, reason }) => reject(new Error(`not connected: ${code} ${reason}`)));
    });
  }

  send(...requests: Buffer[]): void {
    this.socket.send(Buffer.concat(requests) as Buffer<ArrayBuffer>);
  }

  sendText(text: string): void {
    this.socket.send(text);
  }

  /** The next message as it came. */
  async message(): Promise<Buffer | string> {
    while (this.messages.length === 0) await this.news();
    return this.messages.shift()!;
  }

  /** The next reply, whichever message it comes in. */
  async reply(): Promise<Reply> {
    while (this.pending.length === 0) await this.takeNext();
    return this.pending.shift()!;
  }

  /** The next push, whichever message it comes in. Replies that come before stay to be asked for. */
  async push(): Promise<PushFrame> {
    while (this.pushed.length === 0) await this.takeNext();
    return this.pushed.shift()!;
  }

  /** Takes a message apart, at once if one is there. Somebody else may take it. */
  private async takeNext(): Promise<void> {
    const message = this.messages.shift();
    if (message === undefined) return this.news();
    if (typeof message !== "string") this.take(message);
    else if (message.startsWith('{"push":')) this.pushedText.push(message);
    else throw new Error(`text came instead of a frame: ${message}`);
    this.wake();
  }

  private news(): Promise<void> {
    if (this.over) throw new Error("the connection was closed");
    return new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  private take(message: Buffer): void {
    if (isPush(message)) this.pushed.push(...pushes(message));
    else this.pending.push(...replies(message));
  }

  /** Sends requests in one message and waits for as many replies. */
  async ask(...requests: Buffer[]): Promise<Reply[]> {
    this.send(...requests);
    const answers: Reply[] = [];
    for (const _ of requests) answers.push(await this.reply());
    return answers;
  }

  /** Sends JSON and waits for the JSON that answers it. */
  async askJson(value: unknown): Promise<any> {
    this.sendText(JSON.stringify(value));
    const message = await this.message();
    if (typeof message !== "string") throw new Error("a binary message came instead of text");
    return JSON.parse(message);
  }

  close(): void {
    this.socket.close();
  }
}
