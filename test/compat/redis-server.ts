/** Redis itself, on a socket of its own, to be asked what it answers: in the form of Upstash's REST API, with texts in base64. */
import type { Socket, Subprocess } from "bun";
import { temporaryPath } from "../support/temporary";

type Result = null | number | string | Result[];
export type Answer = { result: Result } | { error: string };

const READY = "ready to accept connections";

export class RedisServer {
  private unread = Buffer.alloc(0);
  private readonly waiting: ((answer: Answer) => void)[] = [];

  private constructor(
    private readonly child: Subprocess,
    private readonly socket: Socket,
  ) {}

  static async start(): Promise<RedisServer> {
    const path = temporaryPath(`redis-${crypto.randomUUID()}`);
    const child = Bun.spawn(["redis-server", "--port", "0", "--unixsocket", path, "--save", ""], {
      stdout: "pipe",
      stderr: "inherit",
    });
    await untilReady(child.stdout);
    const data = (_: Socket, bytes: Buffer) => server.read(bytes);
    const server: RedisServer = new RedisServer(child, await Bun.connect({ unix: path, socket: { data } }));
    return server;
  }

  ask(command: readonly string[]): Promise<Answer> {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    this.waiting.push(resolve);
    const parts = command.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`);
    const request = Buffer.from(`*${parts.length}\r\n${parts.join("")}`);
    if (this.socket.write(request) < request.length) throw new Error("the socket did not take all");
    return promise;
  }

  async stop(): Promise<void> {
    this.socket.end();
    this.child.kill();
    await this.child.exited;
  }

  private read(bytes: Buffer): void {
    this.unread = Buffer.concat([this.unread, bytes]);
    for (let found = answerIn(this.unread); found !== null; found = answerIn(this.unread)) {
      this.unread = this.unread.subarray(found.end);
      this.waiting.shift()!(found.answer);
    }
  }
}

async function untilReady(output: ReadableStream<Uint8Array>): Promise<void> {
  let log = "";
  const decoder = new TextDecoder();
  for await (const piece of output) {
    log += decoder.decode(piece, { stream: true });
    if (log.includes(READY)) return;
  }
  throw new Error(`redis-server ended:\n${log}`);
}

/** The reply that the bytes begin with (RESP2), and where it ends; null where it is not whole. */
function answerIn(bytes: Buffer): { answer: Answer; end: number } | null {
  const end = bytes.indexOf("\r\n");
  if (bytes[0] === 0x2d)
    return end < 0 ? null : { answer: { error: bytes.toString("utf8", 1, end) }, end: end + 2 };
  const found = resultAt(bytes, 0);
  return found === null ? null : { answer: { result: found.result }, end: found.end };
}

function resultAt(bytes: Buffer, start: number): { result: Result; end: number } | null {
  const lineEnd = bytes.indexOf("\r\n", start);
  if (lineEnd < 0) return null;
  const kind = String.fromCharCode(bytes[start]!);
  const line = bytes.toString("utf8", start + 1, lineEnd);
  const end = lineEnd + 2;
  if (kind === "+") return { result: line === "OK" ? line : btoa(line), end };
  if (kind === ":") return { result: Number.isSafeInteger(Number(line)) ? Number(line) : line, end };
  const length = Number(line);
  if (length < 0) return { result: null, end };
  if (kind === "*") return arrayAt(bytes, end, length);
  if (bytes.length < end + length + 2) return null;
  return { result: bytes.toString("base64", end, end + length), end: end + length + 2 };
}

function arrayAt(bytes: Buffer, start: number, length: number): { result: Result; end: number } | null {
  const result: Result[] = [];
  let end = start;
  while (result.length < length) {
    const item = resultAt(bytes, end);
    if (item === null) return null;
    result.push(item.result);
    end = item.end;
  }
  return { result, end };
}
