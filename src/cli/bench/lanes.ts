/**
 * Connections of a bench, each a lane of messages: `send` a batch of key indices, hear how each was answered. A lane of
 * WebSocket frames checks values where they lie in the reply; one of HTTP sends one request a message.
 */
import { Op, Status, SUBPROTOCOL, SUBPROTOCOL_BEARER } from "../../protocol/wire";
import { fillValue, keyText, type Plan } from "./plan";

export interface Batch {
  indices: Uint32Array;
  /** 1 where the request is a get. */
  gets: Uint8Array;
  sentAt: number;
}

export interface Tally {
  hits: number;
  misses: number;
  puts: number;
  errors: number;
  wrong: number;
}

export interface Lane {
  send(batch: Batch): void;
  close(): void;
}

type OnAnswered = (batch: Batch, lane: Lane) => void;
type OnBroken = (reason: string) => void;

export function openLane(
  plan: Plan,
  tally: Tally,
  onAnswered: OnAnswered,
  onBroken: OnBroken,
): Promise<Lane> {
  return plan.protocol === "ws"
    ? SocketLane.open(plan, tally, onAnswered, onBroken)
    : Promise.resolve(new HttpLane(plan, tally, onAnswered, onBroken));
}

const GET_HEAD_BYTES = 4;
const PUT_HEAD_BYTES = 8;

class SocketLane implements Lane {
  private readonly inFlight: Batch[] = [];
  /** Position in the oldest batch. */
  private answered = 0;
  private readonly expected: Buffer;

  private constructor(
    private readonly socket: WebSocket,
    private readonly plan: Plan,
    private readonly tally: Tally,
    private readonly onAnswered: OnAnswered,
  ) {
    this.expected = Buffer.alloc(plan.valueBytes);
  }

  static open(plan: Plan, tally: Tally, onAnswered: OnAnswered, onBroken: OnBroken): Promise<Lane> {
    const protocols = [SUBPROTOCOL];
    if (plan.token !== undefined)
      protocols.push(SUBPROTOCOL_BEARER + Buffer.from(plan.token).toString("base64url"));
    const trust = plan.trust === undefined ? {} : { tls: plan.trust };
    const socket = new WebSocket(plan.url, { protocols, ...trust });
    socket.binaryType = "nodebuffer";
    const lane = new SocketLane(socket, plan, tally, onAnswered);
    return new Promise((resolve, reject) => {
      socket.onopen = () => resolve(lane);
      socket.onmessage = (event) => lane.receive(event.data as Buffer);
      socket.onclose = ({ code, reason }) => {
        const text = `the connection was closed (${code}${reason ? ` ${reason}` : ""})`;
        reject(new Error(text));
        onBroken(text);
      };
    });
  }

  send(batch: Batch): void {
    this.inFlight.push(batch);
    batch.sentAt = Bun.nanoseconds();
    this.socket.send(this.encode(batch) as Buffer<ArrayBuffer>);
  }

  close(): void {
    this.socket.onclose = null;
    this.socket.close();
  }

  private encode({ indices, gets }: Batch): Buffer {
    const { valueBytes } = this.plan;
    const keyBytes = keyText(0).length;
    const putCount = gets.reduce((count, isGet) => count - isGet, gets.length);
    const bytes = Buffer.allocUnsafe(
      indices.length * keyBytes +
        (indices.length - putCount) * GET_HEAD_BYTES +
        putCount * (PUT_HEAD_BYTES + valueBytes),
    );
    let at = 0;
    for (let i = 0; i < indices.length; i++) {
      const index = indices[i]!;
      const isGet = gets[i] === 1;
      bytes[at] = isGet ? Op.GET : Op.PUT;
      bytes[at + 1] = isGet ? 0 : 1;
      bytes.writeUInt16LE(keyBytes, at + 2);
      at += GET_HEAD_BYTES;
      if (!isGet) at = bytes.writeUInt32LE(valueBytes, at);
      at += bytes.write(keyText(index), at, "latin1");
      if (!isGet) {
        fillValue(bytes, at, valueBytes, index);
        at += valueBytes;
      }
    }
    return bytes;
  }

  private receive(message: Buffer): void {
    for (let at = 0; at < message.length;) {
      const batch = this.inFlight[0]!;
      at = this.check(message, at, batch.indices[this.answered]!, batch.gets[this.answered] === 1);
      if (++this.answered < batch.indices.length) continue;
      this.inFlight.shift();
      this.answered = 0;
      this.onAnswered(batch, this);
    }
  }

  /** Counts the reply at `at`; returns where the next begins. */
  private check(message: Buffer, at: number, index: number, isGet: boolean): number {
    const { tally } = this;
    const status = message[at]!;
    if (status === Status.VALUE && isGet) {
      const length = message.readUInt32LE(at + 1);
      fillValue(this.expected, 0, this.plan.valueBytes, index);
      const start = at + 5;
      const right =
        length === this.plan.valueBytes &&
        message.compare(this.expected, 0, length, start, start + length) === 0;
      if (right) tally.hits++;
      else tally.wrong++;
      return start + length;
    }
    if (status === Status.MISS && isGet) tally.misses++;
    else if (status === Status.OK && !isGet) tally.puts++;
    else tally.errors++;
    return status < 0x80 ? at + 1 : at + 3 + message.readUInt16LE(at + 1);
  }
}

class HttpLane implements Lane {
  private readonly expected: Buffer;
  private readonly init: BunFetchRequestInit;

  constructor(
    private readonly plan: Plan,
    private readonly tally: Tally,
    private readonly onAnswered: OnAnswered,
    private readonly onBroken: OnBroken,
  ) {
    this.expected = Buffer.alloc(plan.valueBytes);
    this.init = {
      headers: plan.token === undefined ? {} : { Authorization: `Bearer ${plan.token}` },
      ...(plan.trust !== undefined && { tls: plan.trust }),
    };
  }

  send(batch: Batch): void {
    batch.sentAt = Bun.nanoseconds();
    this.requestAll(batch).then(
      () => this.onAnswered(batch, this),
      (error: Error) => this.onBroken(error.message),
    );
  }

  close(): void {}

  private async requestAll({ indices, gets }: Batch): Promise<void> {
    for (let i = 0; i < indices.length; i++) {
      const index = indices[i]!;
      const url = `${this.plan.url}/kv/${keyText(index)}`;
      fillValue(this.expected, 0, this.plan.valueBytes, index);
      if (gets[i] === 1) await this.get(url);
      else await this.put(url);
    }
  }

  private async get(url: string): Promise<void> {
    const response = await fetch(url, this.init);
    const value = Buffer.from(await response.arrayBuffer());
    if (response.status === 404) this.tally.misses++;
    else if (response.status !== 200) this.tally.errors++;
    else if (value.equals(this.expected)) this.tally.hits++;
    else this.tally.wrong++;
  }

  private async put(url: string): Promise<void> {
    const body = Buffer.from(this.expected) as Buffer<ArrayBuffer>;
    const response = await fetch(url, { ...this.init, method: "PUT", body });
    await response.arrayBuffer();
    if (response.status === 204) this.tally.puts++;
    else this.tally.errors++;
  }
}
