/**
 * Masters that a test plays by hand, and time that it makes pass. A connection's commands are there to be looked at, and answered whenever
 * the test says so.
 */
import type { Connect, OriginSocket, SocketHandlers } from "../../src/origin/socket";
import type { Timing } from "../../src/origin/tracking";

export class FakeTime implements Timing {
  time = 1_000_000;
  private readonly timers = new Set<{ due: number; then: () => void }>();

  now = () => this.time;

  after = (ms: number, then: () => void) => {
    const timer = { due: this.time + ms, then };
    this.timers.add(timer);
    return () => void this.timers.delete(timer);
  };

  /** In ms from now, of all timers that are set, the next first. */
  get dues(): number[] {
    return [...this.timers].map(({ due }) => due - this.time).sort((a, b) => a - b);
  }

  /** Lets time pass, timer by timer. */
  pass(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const next = [...this.timers].filter(({ due }) => due <= end).sort((a, b) => a.due - b.due)[0];
      if (next === undefined) break;
      this.time = Math.max(this.time, next.due);
      this.fire(next);
    }
    this.time = end;
  }

  /** The event loop stands still for so long, and then turns: each timer that is due fires once, late. */
  stall(ms: number): void {
    this.time += ms;
    for (const timer of [...this.timers].filter(({ due }) => due <= this.time)) this.fire(timer);
  }

  private fire(timer: { due: number; then: () => void }): void {
    if (this.timers.delete(timer)) timer.then();
  }
}

export class FakeConnection implements OriginSocket {
  /** Commands that came and were not taken, each as its words. */
  readonly commands: string[][] = [];
  isOpen = false;
  isClosed = false;

  constructor(
    readonly address: string,
    private readonly handlers: SocketHandlers,
  ) {}

  open(): void {
    this.isOpen = true;
    this.handlers.opened();
  }

  write(bytes: Uint8Array): void {
    const words = Buffer.from(bytes).toString("latin1").split("\r\n");
    for (let at = 0; words[at]!.startsWith("*");) {
      const count = Number(words[at]!.slice(1));
      this.commands.push(Array.from({ length: count }, (_, index) => words[at + 2 + 2 * index]!));
      at += 1 + 2 * count;
    }
  }

  close(): void {
    this.isClosed = true;
  }

  /** What the master sends. */
  send(text: string): void {
    this.handlers.received(Buffer.from(text, "latin1"));
  }

  end(reason: string): void {
    this.handlers.ended(reason);
  }

  /** Takes what was asked; the test expects it to be a number of commands. */
  take(): string[][] {
    return this.commands.splice(0);
  }

  /** Opens, and answers HELLO and CLIENT TRACKING. */
  greet(mode: "cluster" | "standalone" = "cluster"): void {
    this.open();
    const [hello, tracking] = this.take();
    if (hello![0] !== "HELLO" || tracking![1] !== "TRACKING") throw new Error("this is no greeting");
    this.send(`${helloAnswer(mode)}+OK\r\n`);
  }

  /** Answers a beat. @param exists the answer to EXISTS, if it was asked */
  answer(nodes: string, exists = ":0\r\n"): void {
    const asked = this.take().map(([name]) => name);
    this.send(bulk(nodes) + (asked.includes("EXISTS") ? exists : ""));
  }

  invalidate(...keys: string[]): void {
    this.send(`>2\r\n$10\r\ninvalidate\r\n*${keys.length}\r\n${keys.map(bulk).join("")}`);
  }

  invalidateAll(): void {
    this.send(">2\r\n$10\r\ninvalidate\r\n_\r\n");
  }
}

/** All connections that were made, in order. */
export class FakeNetwork {
  readonly connections: FakeConnection[] = [];

  connect: Connect = ({ host, port }, handlers) => {
    const connection = new FakeConnection(`${host}:${port}`, handlers);
    this.connections.push(connection);
    return connection;
  };

  /** The newest to this address. */
  to(address: string): FakeConnection {
    const found = this.connections.findLast((connection) => connection.address === address);
    if (found === undefined) throw new Error(`nobody connected to ${address}`);
    return found;
  }
}

export interface FakeNode {
  readonly address: string;
  readonly flags?: string;
  readonly epoch?: number;
  readonly slots?: string;
}

/** CLUSTER NODES, as the one at `self` says it. */
export function nodesText(self: string, nodes: readonly FakeNode[]): string {
  return nodes
    .map(({ address, flags = "master", epoch = 1, slots = "" }) => {
      const own = address === self ? "myself," : "";
      return `id-${address} ${address}@1 ${own}${flags} - 0 0 ${epoch} connected${slots === "" ? "" : ` ${slots}`}\n`;
    })
    .join("");
}

export function bulk(text: string): string {
  return `$${Buffer.byteLength(text, "latin1")}\r\n${text}\r\n`;
}

export function helloAnswer(mode: string, role = "master"): string {
  return `%3\r\n+proto\r\n:3\r\n+mode\r\n+${mode}\r\n+role\r\n+${role}\r\n`;
}
