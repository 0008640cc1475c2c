/** A worker with an origin, without sockets: the test is its clients, its origin and its tracker. */
import type { Commands, CommandsParts } from "../../src/commands/commands";
import { OriginCommands } from "../../src/origin/commands";
import { Gate } from "../../src/origin/gate";
import { FirstLevel } from "../../src/origin/l1";
import { SLOTS } from "../../src/origin/slots";
import { createTrustMemory, Trust } from "../../src/origin/trust";
import { FakeEngine } from "./fake-engine";
import { type Reply, replies } from "./frames";
import { LIMITS, NotedSocket, workerOver } from "./small-session";
import { SmallStore } from "./small-store";

const PREFIX = Buffer.from("bb:");
const MASTER = 0;

export interface SmallNodeOptions {
  staleMaxMs?: number;
  maxAgeMs?: number;
  /** For values on their way. */
  places?: number;
}

export class SmallNode {
  readonly copies = new SmallStore({ shardBytes: 1 << 22 });
  readonly trust: Trust;
  readonly firstLevel: FirstLevel;
  readonly gate: Gate;
  readonly commands: Commands;
  /** Calls that the collector was told of. */
  callsNoted = 0;
  private readonly worker: ReturnType<typeof workerOver>;

  constructor(
    readonly engine = new FakeEngine(),
    { staleMaxMs = 0, maxAgeMs = 1000, places = 128 }: SmallNodeOptions = {},
  ) {
    this.gate = new Gate({ places, timeoutMs: 250, clock: () => this.copies.now });
    const { store } = this.copies;
    const clock = () => this.copies.now;
    this.trust = new Trust(createTrustMemory(0), maxAgeMs);
    store.trust(this.trust);
    const options = { store, trust: this.trust, prefix: PREFIX, clock, staleMaxMs };
    this.firstLevel = new FirstLevel({ ...options, valueBytesMax: LIMITS.valueBytesMax });
    const make = (parts: CommandsParts) =>
      new OriginCommands(parts, {
        engine,
        firstLevel: this.firstLevel,
        gate: this.gate,
        garbage: { noteCall: () => void this.callsNoted++ },
        report: () => null as never,
      });
    this.worker = workerOver(this.copies, LIMITS, undefined, {}, make);
    this.commands = this.worker.commands;
    this.prove();
    for (let slot = 0; slot < SLOTS; slot++) this.trust.claim(MASTER, slot);
  }

  /** Its tracker has heard of the master just now. */
  prove(): void {
    this.trust.proven(MASTER, this.copies.now);
  }

  lose(): void {
    this.trust.lose(MASTER);
  }

  /** It is told of what the engine has changed. */
  tell(changes = this.engine.changes.splice(0)): void {
    for (const key of changes)
      this.firstLevel.sink.changed(Buffer.concat([PREFIX, Buffer.from(key, "latin1")]));
  }

  connect() {
    const socket = new NotedSocket();
    const session = this.worker.open(socket);
    const taken = () => socket.sent.splice(0);
    const got = (): Reply[] => taken().flatMap((data) => replies(data as Buffer));
    return { session, socket, taken, got };
  }
}
