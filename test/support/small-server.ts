/** A worker's connections over sockets that are the test's own: it is the client and the kernel. */
import type { Socket } from "bun";
import { Throttle } from "../../src/access/throttle";
import { tokenOf } from "../../src/access/tokens";
import { Guard } from "../../src/http/guard";
import { Hosts } from "../../src/http/host";
import { Origins } from "../../src/http/origin";
import { HttpRequest } from "../../src/http/request";
import { Routes } from "../../src/http/routes";
import type { Connection } from "../../src/net/connection";
import type { Limits } from "../../src/protocol/limits";
import { Connections } from "../../src/worker/connections";
import { FrameHeader } from "../../src/ws/frames";
import { LIMITS, smallWorker } from "./small-session";
import { SmallStore } from "./small-store";

/** What the kernel does with a connection, and what became of it. */
export class KernelSocket {
  data!: Connection;
  /** Bytes that it takes before it is full. */
  room = Infinity;
  /** The peer is gone, and nobody has said so yet. */
  isDead = false;
  paused = false;
  /** Ours is said to be done: half of it, all of it, or broken off. */
  ended: "half" | "whole" | "cut" | null = null;
  readonly remoteAddress = "192.0.2.1";
  private readonly pieces: Buffer[] = [];
  /** Pieces that it was given at once. */
  writes = 0;

  constructor(private readonly connections: Connections) {
    connections.handlers.open!(this.asSocket);
  }

  get asSocket(): Socket<Connection> {
    return this as unknown as Socket<Connection>;
  }

  /** What the server has sent so far. */
  get received(): Buffer {
    return Buffer.concat(this.pieces);
  }

  get text(): string {
    return this.received.toString("latin1");
  }

  /** The client sends this, in one piece. */
  send(bytes: Buffer | string): void {
    this.connections.handlers.data!(this.asSocket, Buffer.from(bytes as string));
  }

  /** The client sends no more. */
  sendEnd(): void {
    this.connections.handlers.end!(this.asSocket);
  }

  /** The client reads so much. */
  take(byteCount: number): void {
    this.room += byteCount;
    this.connections.handlers.drain!(this.asSocket);
  }

  write(bytes: Buffer, at: number, length: number): number {
    if (this.ended !== null || this.isDead) return -1;
    const taken = Math.min(length, this.room);
    this.room -= taken;
    this.writes++;
    this.pieces.push(Buffer.from(bytes.subarray(at, at + taken)));
    return taken;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  shutdown(): void {
    this.ended = "half";
  }
  end(): void {
    this.close("whole");
  }
  terminate(): void {
    this.close("cut");
  }

  private close(how: "whole" | "cut"): void {
    if (this.ended === "whole" || this.ended === "cut") return;
    this.ended = how;
    this.connections.handlers.close!(this.asSocket);
  }
}

export interface SmallServerOptions {
  tokens?: string[];
  /** Of scoped tokens. */
  secrets?: string[];
  store?: SmallStore;
  limits?: Limits;
}

export function smallServer({
  tokens = [],
  secrets = [],
  store = new SmallStore({ shardBytes: 1 << 22 }),
  limits = LIMITS,
}: SmallServerOptions = {}) {
  const faults: unknown[] = [];
  const onFault = (error: unknown) => void faults.push(error);
  const worker = smallWorker(limits, store, onFault);
  const { commands, tally, intake } = worker;
  let ready = true;
  const credentials = { tokens: tokens.map((token) => tokenOf(token, "all")), secrets, tls: null };
  const routes = new Routes({
    commands,
    guard: new Guard(tokens.length + secrets.length === 0, credentials),
    throttle: new Throttle(100, () => 0),
    hosts: new Hosts("127.0.0.1", []),
    origins: new Origins(["https://ok.example"], false),
    protectMetrics: false,
    tally,
    version: "0",
    connectionsMax: 10,
    isReady: () => ready,
    onFault,
    newSession: worker.newSession,
  });
  const connections = new Connections(
    { routes, intake, request: new HttpRequest(), onFault },
    { intake, header: new FrameHeader(), messageBytesMax: limits.messageBytesMax },
    tally,
    onFault,
  );
  return {
    ...worker,
    connections,
    faults,
    connect: () => new KernelSocket(connections),
    stopServing: () => void (ready = false),
  };
}

/** What an HTTP client reads: answers one behind the other, by their own lengths. */
export interface HttpAnswer {
  status: number;
  head: string;
  body: string;
}

/** @param isHead which answers (by number) have no body, whatever their length */
export function httpAnswers(text: string, isHead: (number: number) => boolean = () => false): HttpAnswer[] {
  const answers: HttpAnswer[] = [];
  for (let at = 0; at < text.length;) {
    const end = text.indexOf("\r\n\r\n", at);
    if (end < 0) throw new Error(`half a head: ${text.slice(at)}`);
    const head = text.slice(at, end);
    const length = isHead(answers.length) ? 0 : Number(/\r\nContent-Length: (\d+)/.exec(head)?.[1] ?? 0);
    const body = text.slice(end + 4, end + 4 + length);
    if (body.length < length) throw new Error(`half a body behind ${head}`);
    answers.push({ status: Number(head.slice(9, 12)), head, body });
    at = end + 4 + length;
  }
  return answers;
}
