/** A small client of one Redis or Valkey server for tests: commands in, replies out, in order. No redirects, no reconnecting. */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

export type Argument = string | number | Uint8Array;
/** A bulk string is text here; `bytes` gives it as a Buffer. */
export type EngineReply = string | number | null | Buffer | EngineReply[];

/** An error that the server answered. */
export class EngineError extends Error {
  override name = "EngineError";
}

/** The connection ended before the answer came. */
export class ConnectionLost extends Error {
  override name = "ConnectionLost";
}

interface Waiting {
  readonly asBytes: boolean;
  resolve(reply: EngineReply): void;
  reject(error: Error): void;
}

export interface EngineAddress {
  readonly port: number;
  /** The certificate to trust, where the server speaks TLS. */
  readonly ca?: string;
}

export class EngineClient {
  private readonly socket: Socket;
  private readonly waiting: Waiting[] = [];
  private received: Buffer = Buffer.alloc(0);
  private isOver = false;

  constructor({ port, ca }: EngineAddress) {
    const address = { port, host: "127.0.0.1" };
    this.socket = ca === undefined ? connectTcp(address) : connectTls({ ...address, ca });
    this.socket.on("data", (bytes) => this.take(bytes as Buffer));
    this.socket.on("error", () => {});
    this.socket.on("close", () => this.end());
  }

  get isOpen(): boolean {
    return !this.isOver;
  }

  command(...args: Argument[]): Promise<EngineReply> {
    return this.send(args, false);
  }

  /** The same with bulk strings as Buffers. */
  bytes(...args: Argument[]): Promise<EngineReply> {
    return this.send(args, true);
  }

  close(): void {
    this.socket.destroy();
    this.end();
  }

  private send(args: Argument[], asBytes: boolean): Promise<EngineReply> {
    if (this.isOver) return Promise.reject(new ConnectionLost("the connection is closed"));
    this.socket.write(encode(args));
    return new Promise((resolve, reject) => this.waiting.push({ asBytes, resolve, reject }));
  }

  private take(bytes: Buffer): void {
    this.received = this.received.length === 0 ? bytes : Buffer.concat([this.received, bytes]);
    while (this.waiting.length > 0) {
      const reader = new ReplyReader(this.received, this.waiting[0]!.asBytes);
      const reply = reader.read();
      if (reply === undefined) return;
      this.received = this.received.subarray(reader.at);
      const { resolve, reject } = this.waiting.shift()!;
      if (reply instanceof EngineError) reject(reply);
      else resolve(reply);
    }
  }

  private end(): void {
    this.isOver = true;
    for (const { reject } of this.waiting.splice(0)) reject(new ConnectionLost("the connection ended"));
  }
}

function encode(args: readonly Argument[]): Buffer {
  const parts = args.flatMap((arg) => {
    const bytes = typeof arg === "object" ? arg : Buffer.from(String(arg));
    return [Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n")];
  });
  return Buffer.concat([Buffer.from(`*${args.length}\r\n`), ...parts]);
}

/** Reads one reply of RESP2; undefined where it is not there whole. */
class ReplyReader {
  at = 0;

  constructor(
    private readonly bytes: Buffer,
    private readonly asBytes: boolean,
  ) {}

  read(): EngineReply | EngineError | undefined {
    const end = this.bytes.indexOf("\r\n", this.at);
    if (end < 0) return undefined;
    const type = String.fromCharCode(this.bytes[this.at]!);
    const line = this.bytes.toString("utf8", this.at + 1, end);
    this.at = end + 2;
    if (type === "+") return line;
    if (type === "-") return new EngineError(line);
    if (type === ":") return Number(line);
    const length = Number(line);
    if (length < 0) return null;
    if (type === "$") return this.readBulk(length);
    if (type === "*") return this.readArray(length);
    throw new Error(`a reply of type ${type}`);
  }

  private readBulk(length: number): string | Buffer | undefined {
    const start = this.at;
    this.at += length + 2;
    if (this.at > this.bytes.length) return undefined;
    return this.asBytes
      ? Buffer.from(this.bytes.subarray(start, start + length))
      : this.bytes.toString("utf8", start, start + length);
  }

  /** An error within an array, as EXEC has them, is its text. */
  private readArray(length: number): EngineReply | undefined {
    const items: EngineReply[] = [];
    while (items.length < length) {
      const item = this.read();
      if (item === undefined) return undefined;
      items.push(item instanceof EngineError ? item.message : item);
    }
    return items;
  }
}
