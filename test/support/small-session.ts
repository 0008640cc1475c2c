/** A session over a small store with a socket that only takes notes: the test is the client, and the kernel. */
import { ANYBODY } from "../../src/commands/access";
import { BinaryCommands } from "../../src/commands/binary";
import { Commands, type CommandsParts } from "../../src/commands/commands";
import { JsonCommands } from "../../src/commands/json";
import { Garbage } from "../../src/commands/garbage";
import { Quota } from "../../src/commands/quota";
import { createTallyMemory, streamCounts, Tally } from "../../src/commands/tally";
import { Traffic, TRAFFIC_CELLS } from "../../src/commands/traffic";
import { Turns } from "../../src/commands/turns";
import type { Limits } from "../../src/protocol/limits";
import { Intake } from "../../src/protocol/request";
import { ReplyWriter } from "../../src/protocol/reply";
import { Session, type Socket } from "../../src/ws/session";
import { SmallStore } from "./small-store";
import type { Store } from "../../src/store/store";
import type { StreamsOptions } from "../../src/streaming/streams";
import { rethrow, smallStreams } from "./small-streams";

export const LIMITS: Limits = {
  keyBytesMax: 100,
  valueBytesMax: 100_000,
  messageBytesMax: 1 << 20,
  batchRequestsMax: 60_000,
};

/** A session that checks its state after everything that comes to it from outside. */
class CheckedSession extends Session {
  override receive(message: Buffer | string): void {
    super.receive(message);
    this.invariants();
  }
  override drained(): void {
    super.drained();
    this.invariants();
  }
  override finish(code: number, reason: string): void {
    super.finish(code, reason);
    this.invariants();
  }
  override cut(): void {
    super.cut();
    this.invariants();
  }
  override shed(): void {
    super.shed();
    this.invariants();
  }
}

/** Everything that one worker has, over a store of one shard; faults are thrown at the test. */
export function smallWorker(
  limits: Limits = LIMITS,
  store = new SmallStore({ shardBytes: 1 << 22 }),
  onFault: (error: unknown) => void = rethrow,
) {
  return { ...workerOver(store, limits, onFault), store };
}

/** The same over any store. @param shared of the streams of all workers, and which one this is; none but this where absent */
export function workerOver(
  store: { readonly store: Store; readonly now: number },
  limits: Limits = LIMITS,
  onFault: (error: unknown) => void = rethrow,
  shared: Partial<Pick<StreamsOptions, "memory" | "worker">> = {},
  makeCommands = (parts: CommandsParts): Commands => new Commands(parts),
) {
  const tally = new Tally(createTallyMemory(1), 0);
  const facts = { version: "0", workers: 1, connectionsMax: 1, startedAt: 0 };
  const clock = () => store.now;
  const streams = smallStreams(store.store, { clock, counts: streamCounts(tally), onFault, ...shared });
  const commands = makeCommands({ store: store.store, streams, limits, tally, clock, facts });
  const reply = new ReplyWriter(1024);
  const fills = new ReplyWriter(1024);
  const intake = new Intake();
  const turns = new Turns();
  const garbage = new Garbage(() => 1);
  const quota = new Quota(1 << 28);
  const onOverflow = () => {};
  /** What the sessions count, by a clock that the test sets, ms. The first message is timed. */
  const traffic = { frames: new Float64Array(TRAFFIC_CELLS), texts: new Float64Array(TRAFFIC_CELLS), ms: 1 };
  const frames = new Traffic(traffic.frames, () => traffic.ms);
  const texts = new Traffic(traffic.texts, () => traffic.ms);
  const binary = (access = ANYBODY) => new BinaryCommands(commands, reply, access, onFault);
  const json = (access = ANYBODY) => new JsonCommands(commands, access, onFault);
  const open = (socket: Socket, access = ANYBODY) => {
    const session = new CheckedSession(access, {
      commands,
      streams,
      reply,
      fills,
      intake,
      turns,
      garbage,
      quota,
      frames,
      texts,
      onOverflow,
      onFault,
    });
    session.open(socket);
    return session;
  };
  return { streams, tally, commands, quota, intake, reply, traffic, binary, json, open };
}

export class NotedSocket implements Socket {
  readonly sent: (Buffer | string)[] = [];
  /** Bytes that the kernel does not take, of what was sent last; as long as it is above 0 every send is buffered. */
  buffered = 0;
  paused = false;
  pings = 0;
  closed: { code: number; reason: string } | "terminated" | null = null;

  constructor(public kernelTakes = true) {}

  sendBinary(data: Uint8Array): number {
    return this.take(Buffer.from(data));
  }
  sendText(data: string): number {
    return this.take(data);
  }
  getBufferedAmount(): number {
    return this.buffered;
  }
  ping(): void {
    this.pings++;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  close(code: number, reason: string): void {
    this.closed = { code, reason };
  }
  terminate(): void {
    this.closed = "terminated";
    this.buffered = 0;
  }

  private take(data: Buffer | string): number {
    this.sent.push(data);
    if (this.kernelTakes) return data.length;
    this.buffered += data.length;
    return -1;
  }
}
