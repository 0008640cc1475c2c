/**
 * A server that speaks RESP and answers what the test says, for what a real one does only now and then: a clock that is wrong, a connection that ends
 * between a command and its answer, errors of a moment.
 */
import type { Socket, TCPSocketListener } from "bun";

/** Text is a simple reply or, with a minus in front, an error. */
export type FakeReply = string | number | Buffer | FakeReply[];
/** The connection ends. */
export const END = "end";
/** No answer, and none to anything behind it on the connection. */
export const SILENCE = "silence";
export const NIL = "nil";

/** What a command is answered with; undefined for what a healthy single server says. */
export type Answers = (name: string, args: readonly string[]) => FakeReply | undefined;

interface Peer {
  rest: string;
  isSilent: boolean;
}

export class FakeNode {
  /** Commands so far, in upper case, with their first argument. */
  readonly commands: string[] = [];
  answers: Answers = () => undefined;
  private readonly listener: TCPSocketListener<Peer>;
  private clients = 0;

  /** @param clockAheadMs what its clock is ahead of this machine's */
  constructor(private readonly clockAheadMs = 0) {
    this.listener = Bun.listen<Peer>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (socket) => void (socket.data = { rest: "", isSilent: false }),
        data: (socket, data) => this.receive(socket, data),
      },
    });
  }

  get url(): string {
    return `redis://127.0.0.1:${this.listener.port}`;
  }

  /** ms since 1970, by its own clock. */
  now(): number {
    return Date.now() + this.clockAheadMs;
  }

  close(): void {
    this.listener.stop(true);
  }

  private receive(socket: Socket<Peer>, data: Buffer): void {
    socket.data.rest += data.toString("latin1");
    for (;;) {
      const taken = takeCommand(socket.data.rest);
      if (taken === null) return;
      socket.data.rest = taken.rest;
      const [name, ...args] = taken.words;
      this.commands.push(`${name!.toUpperCase()} ${args[0] ?? ""}`.trim());
      const reply = this.answers(name!.toUpperCase(), args) ?? this.usual(name!.toUpperCase(), args);
      if (reply === END) return void socket.terminate();
      socket.data.isSilent ||= reply === SILENCE;
      if (!socket.data.isSilent) socket.write(bytesOf(reply));
    }
  }

  private usual(name: string, args: readonly string[]): FakeReply {
    if (name === "CLIENT") return args[0] === "ID" ? ++this.clients : 0;
    if (name === "SCRIPT") return Buffer.from("sha");
    if (name === "TIME") return this.time();
    if (name === "CLUSTER") return "-ERR This instance has cluster support disabled";
    return name === "PING" ? "PONG" : NIL;
  }

  private time(): FakeReply {
    const now = this.now();
    return [Math.floor(now / 1000), (now % 1000) * 1000].map((part) => Buffer.from(String(part)));
  }
}

/** `*2\r\n$3\r\nGET\r\n$1\r\nk\r\n` */
function takeCommand(text: string): { words: string[]; rest: string } | null {
  const head = /^\*(\d+)\r\n/.exec(text);
  if (head === null) return null;
  let at = head[0].length;
  const words: string[] = [];
  for (let left = Number(head[1]); left > 0; left--) {
    const length = /^\$(\d+)\r\n/.exec(text.slice(at, at + 20));
    if (length === null) return null;
    at += length[0].length;
    const end = at + Number(length[1]);
    if (text.length < end + 2) return null;
    words.push(text.slice(at, end));
    at = end + 2;
  }
  return { words, rest: text.slice(at) };
}

function bytesOf(reply: FakeReply): Buffer {
  if (typeof reply === "number") return Buffer.from(`:${reply}\r\n`);
  if (reply === NIL) return Buffer.from("$-1\r\n");
  if (typeof reply === "string") return Buffer.from(`${reply.startsWith("-") ? "" : "+"}${reply}\r\n`);
  if (Buffer.isBuffer(reply))
    return Buffer.concat([Buffer.from(`$${reply.length}\r\n`), reply, Buffer.from("\r\n")]);
  return Buffer.concat([Buffer.from(`*${reply.length}\r\n`), ...reply.map(bytesOf)]);
}
