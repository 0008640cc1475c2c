/**
 * One connection of the load: sends a batch, checks each answer against its request, and says when all are there.
 *
 * Invariant: at most one batch is on its way, requests `at` to `end` of it unanswered.
 */
import type { Socket } from "bun";
import type { Answers, Protocol, Reader } from "./protocols/protocol";
import type { Requests } from "./requests";
import { type Values, VALUE_BYTES } from "./values";

/** What all lanes of a target have seen. */
export interface Tally {
  done: number;
  hits: number;
  puts: number;
  /** Gets without a value: of keys that were all stored, so each is a fault. */
  misses: number;
  /** Answers of another kind or value than the request's. */
  wrong: number;
  refused: number;
  /** What went wrong first, for people. */
  problem: string | null;
}

export function newTally(): Tally {
  return { done: 0, hits: 0, puts: 0, misses: 0, wrong: 0, refused: 0, problem: null };
}

export interface LaneEvents {
  /** The batch is answered; the lane may send again. */
  answered(lane: Lane): void;
  broken(reason: string): void;
}

export class Lane implements Answers {
  private at = 0;
  private end = 0;
  private requests: Requests | null = null;
  private readonly reader: Reader;
  /** The beginning of a reply whose rest has not come. */
  private rest: Buffer | null = null;
  /** What the kernel has not taken of the batch. */
  private unsent: Buffer | null = null;
  private socket!: Socket;
  private closed = false;

  private constructor(
    protocol: Protocol,
    private readonly values: Values,
    private readonly tally: Tally,
    private readonly events: LaneEvents,
  ) {
    this.reader = protocol.newReader();
  }

  /** Connects; resolves once requests may be sent. */
  static async open(
    port: number,
    protocol: Protocol,
    values: Values,
    tally: Tally,
    events: LaneEvents,
  ): Promise<Lane> {
    const lane = new Lane(protocol, values, tally, events);
    const { handshake } = protocol;
    let head = "";
    let accept: () => void;
    let refuse: (error: Error) => void;
    const accepted = new Promise<void>((resolve, reject) => {
      accept = resolve;
      refuse = reject;
    });
    lane.socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open(socket) {
          if (handshake === undefined) accept();
          else socket.write(handshake.request);
        },
        data(socket, chunk) {
          if (handshake === undefined) return lane.receive(chunk);
          head += chunk.toString("latin1");
          if (!head.includes("\r\n\r\n")) return;
          if (!handshake.isAccepted(head)) return refuse(new Error(`refused: ${head}`));
          socket.reload({ socket: lane.handlers() });
          accept();
        },
        drain: () => lane.flush(),
        close: () => refuse(new Error("closed while connecting")),
      },
    });
    await accepted;
    lane.socket.reload({ socket: lane.handlers() });
    return lane;
  }

  /** Sends batch `n` of the requests. */
  send(requests: Requests, n: number): void {
    this.requests = requests;
    this.at = n * requests.batchSize;
    this.end = Math.min(this.at + requests.batchSize, requests.indices.length);
    this.unsent = requests.batches[n]!;
    this.flush();
  }

  close(): void {
    this.closed = true;
    this.socket.end();
  }

  value(view: DataView, at: number, length: number): void {
    const index = this.next(1);
    if (index < 0) return;
    if (length === VALUE_BYTES && this.values.matches(view, at, index)) this.tally.hits++;
    else this.fault("wrong", `key ${index} has a value of ${length} bytes that is not its own`);
  }

  miss(): void {
    const index = this.next(1);
    if (index >= 0) this.fault("misses", `key ${index} is missing`);
  }

  stored(): void {
    if (this.next(0) >= 0) this.tally.puts++;
  }

  refused(reason: string): void {
    this.at++;
    this.tally.done++;
    this.fault("refused", reason);
  }

  /** The key that the oldest request asked for; -1 when it is a request of another kind. */
  private next(isGet: 0 | 1): number {
    if (this.at >= this.end) throw new Error("an answer that nobody asked for");
    const { indices, gets } = this.requests!;
    const at = this.at++;
    this.tally.done++;
    if (gets[at] === isGet) return indices[at]!;
    this.fault("wrong", `key ${indices[at]}: the answer of a ${isGet ? "get" : "put"} to the other`);
    return -1;
  }

  private fault(kind: "wrong" | "misses" | "refused", problem: string): void {
    this.tally[kind]++;
    this.tally.problem ??= problem;
  }

  private handlers() {
    return {
      data: (_socket: Socket, chunk: Buffer) => this.receive(chunk),
      drain: () => this.flush(),
      close: () => this.breakOff("the server closed the connection"),
    };
  }

  private receive(chunk: Buffer): void {
    const bytes = this.rest === null ? chunk : Buffer.concat([this.rest, chunk]);
    try {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const read = this.reader.read(bytes, view, this);
      this.rest = read === bytes.length ? null : Buffer.from(bytes.subarray(read));
    } catch (error) {
      return this.breakOff((error as Error).message);
    }
    if (this.at === this.end && this.requests !== null) {
      this.requests = null;
      this.events.answered(this);
    }
  }

  private flush(): void {
    if (this.unsent === null) return;
    const written = this.socket.write(this.unsent as Buffer<ArrayBuffer>);
    this.unsent = written >= this.unsent.length ? null : this.unsent.subarray(Math.max(0, written));
  }

  private breakOff(reason: string): void {
    if (this.closed) return;
    this.close();
    this.events.broken(reason);
  }
}
