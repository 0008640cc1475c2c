/** Loads of bench:origin: batches, one after the other on each lane, to a Breadbox node over a WebSocket or to the cluster itself. */
import { Cluster as ClusterClient } from "iovalkey";
import { keyPicker, seededRandom } from "../../src/cli/bench/pick";
import { Status } from "../../src/protocol/wire";
import { request } from "../support/frames";

export const BATCH = 64;
const OP = { GET: 1, PUT: 2 } as const;
const VALUE_HEAD_BYTES = 5;

export interface Batch {
  readonly keys: readonly string[];
  /** Where the request is a read; else a write. */
  readonly reads: readonly boolean[];
  /** As frames. */
  readonly frames: Buffer;
}

export interface Lane {
  /** Resolves when every request of the batch is answered; rejects when one is refused. */
  ask(batch: Batch): Promise<void>;
  close(): void;
}

export const keyOf = (index: number) => `key:${String(index).padStart(9, "0")}`;

export function batchOf(keys: readonly string[], reads: readonly boolean[], value: Buffer): Batch {
  const frames = keys.map((key, i) =>
    reads[i]! ? request({ op: OP.GET, key }) : request({ op: OP.PUT, key, value }),
  );
  return { keys, reads, frames: Buffer.concat(frames) };
}

/** `count` batches of reads, or writes, of the keys numbered from `from` on. */
export function sequentialBatches(from: number, count: number, isRead: boolean, value: Buffer): Batch[] {
  return Array.from({ length: count }, (_, batch) => {
    const keys = Array.from({ length: BATCH }, (_, i) => keyOf(from + batch * BATCH + i));
    return batchOf(keys, Array<boolean>(BATCH).fill(isRead), value);
  });
}

/** Batches by Zipf's law. */
export function zipfBatches(
  count: number,
  { keys, skew, writeShare, seed }: { keys: number; skew: number; writeShare: number; seed: number },
  value: Buffer,
): Batch[] {
  const pick = keyPicker(keys, skew, seed);
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => {
    const picked = Array.from({ length: BATCH }, () => keyOf(pick()));
    return batchOf(
      picked,
      picked.map(() => random() >= writeShare),
      value,
    );
  });
}

/** One connection to a node. */
export class NodeLane implements Lane {
  private left = 0;
  private waiting: { resolve: () => void; reject: (error: Error) => void } | null = null;

  private constructor(private readonly socket: WebSocket) {
    socket.binaryType = "nodebuffer";
    socket.addEventListener("message", ({ data }) => this.receive(data as unknown as Buffer));
    socket.addEventListener("close", () => this.waiting?.reject(new Error("the connection was closed")));
  }

  static open(url: string): Promise<NodeLane> {
    const socket = new WebSocket(url);
    const lane = new NodeLane(socket);
    return new Promise((resolve, reject) => {
      socket.addEventListener("open", () => resolve(lane));
      socket.addEventListener("error", () => reject(new Error(`${url} cannot be connected`)));
    });
  }

  ask({ keys, frames }: Batch): Promise<void> {
    this.left = keys.length;
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.socket.send(frames as Buffer<ArrayBuffer>);
    });
  }

  close(): void {
    this.waiting = null;
    this.socket.close();
  }

  private receive(message: Buffer): void {
    for (let at = 0; at < message.length; this.left--) {
      const status = message[at];
      if (status === Status.VALUE) at += VALUE_HEAD_BYTES + message.readUInt32LE(at + 1);
      else if (status === Status.OK || status === Status.MISS) at++;
      else return this.waiting?.reject(new Error(`a request was refused (${status})`));
    }
    if (this.left === 0) this.waiting?.resolve();
  }
}

/** The cluster without a node before it: the client that nodes use, which sends the commands of one turn together to each master. */
export class ClusterLane implements Lane {
  private constructor(
    private readonly client: ClusterClient,
    private readonly value: Buffer,
  ) {}

  static async open(ports: readonly number[], value: Buffer): Promise<ClusterLane> {
    const nodes = ports.map((port) => ({ host: "127.0.0.1", port }));
    const client = new ClusterClient(nodes, { enableAutoPipelining: true });
    await new Promise<void>((resolve) => client.on("ready", () => resolve()));
    return new ClusterLane(client, value);
  }

  async ask({ keys, reads }: Batch): Promise<void> {
    await Promise.all(
      keys.map((key, i) =>
        // Values of this form are none of a node's, so their keys are others.
        reads[i]! ? this.client.getBuffer(`alone:${key}`) : this.client.set(`alone:${key}`, this.value),
      ),
    );
  }

  close(): void {
    this.client.disconnect();
  }
}

/** Every lane sends its next batch when the last one is answered, for so long; how many requests were answered. */
export async function keepBusy(
  lanes: readonly Lane[],
  batches: readonly Batch[],
  ms: number,
): Promise<number> {
  const end = performance.now() + ms;
  let turn = 0;
  let answered = 0;
  await Promise.all(
    lanes.map(async (lane) => {
      while (performance.now() < end) {
        await lane.ask(batches[turn++ % batches.length]!);
        answered += BATCH;
      }
    }),
  );
  return answered;
}

/** All batches once. */
export async function sendAll(lanes: readonly Lane[], batches: readonly Batch[]): Promise<void> {
  let next = 0;
  await Promise.all(
    lanes.map(async (lane) => {
      while (next < batches.length) await lane.ask(batches[next++]!);
    }),
  );
}
