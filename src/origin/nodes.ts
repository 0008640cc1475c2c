/**
 * One node as this worker sees it: its connection, the calls that wait for it, whether it answers, and what its clock shows.
 *
 *   CONNECTING ── signed in ──▶ UP ── connection ended ──▶ RESTING ── backoff ──▶ CONNECTING
 *        └───────────── failed ─────────────────────────────▲                     any ── close ──▶ CLOSED
 *
 * Calls of one turn of the event loop leave together, in the order in which they were made. Those that were not sent yet wait through all phases.
 */
import { type Address, type Endpoint, endpointText } from "./address";
import { byNumber, type Call, type Reply } from "./call";
import { Circuit, PROBE_AFTER_MS } from "./circuit";
import { Connection, type Library, type Outgoing, type Security } from "./connection";
import { CODE_LENGTH_MAX, faultOf, FaultKind, refusalText } from "./faults";
import { SCRIPTS } from "./scripts";

export const NodePhase = {
  CONNECTING: "connecting",
  UP: "up",
  RESTING: "resting",
  CLOSED: "closed",
} as const;
export type NodePhase = (typeof NodePhase)[keyof typeof NodePhase];

/** To connect and sign in may take so long. */
const CONNECT_MS_MAX = 2000;
/** Between two attempts; doubled each time. */
const BACKOFF_MS_MIN = 25;
const BACKOFF_MS_MAX = 1000;
/** A connection on which so many probes in a row were not answered is given up: nobody says when a path is gone. */
const SILENT_PROBES_MAX = 8;
const NO_CLIENT = "0";
/** Of our connections in CLIENT LIST. */
const CLIENT_NAME = "breadbox";

const LOADS: readonly Outgoing[] = Object.values(SCRIPTS).map(({ source }) => ({
  name: "SCRIPT",
  args: ["LOAD", source],
  answered: ignore,
}));
/** A reading of the node's clock that may be wrong by more than this is worse than one of before: this process, or the node, was busy. */
const CLOCK_ERROR_MS_MAX = 20;

export interface NodeContext {
  readonly library: Library;
  readonly address: Address;
  readonly security: Security;
  /** ms, monotonic */
  readonly clock: () => number;
  /** Also for a call that was late. */
  answered(node: Node, call: Call, error: Error | null, reply: Reply): void;
  /** It was to be sent, and a later call for its key was executed. */
  overtaken(node: Node, call: Call): void;
  /** It is up, or no more, or its circuit has changed. */
  changed(node: Node): void;
  /** Asks it a question of the worker's own; rejects when the answer is late. */
  ask(node: Node, name: string, ...args: string[]): Promise<Reply>;
}

export class Node {
  readonly name: string;
  readonly circuit: Circuit;
  phase: NodePhase = NodePhase.CONNECTING;
  /** Why it is not up; null while it is. */
  reason: string | null = "is being connected";
  /** Calls that were sent and not answered, late ones too. */
  inFlight = 0;
  /** When a call was given to it last. */
  usedAt: number;
  private queue: Call[] = [];
  private connection: Connection | null = null;
  /** What the node's clock is ahead of ours, ms. */
  private ahead = 0;
  /** How wrong that may be, ms. */
  private aheadError = Infinity;
  /** The node's number of our last connection. */
  private clientId = NO_CLIENT;
  private backoffMs = 0;
  private silentProbes = 0;
  private isFlushDue = false;
  private needsScripts = false;
  private connectTimer: ReturnType<typeof setTimeout> | undefined;
  private probeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly endpoint: Endpoint,
    private readonly context: NodeContext,
  ) {
    this.name = endpointText(endpoint);
    this.circuit = new Circuit(context.clock);
    this.usedAt = context.clock();
    this.connect();
  }

  get isUp(): boolean {
    return this.phase === NodePhase.UP;
  }

  get isHealthy(): boolean {
    return this.isUp && this.circuit.isClosed;
  }

  /** Calls that were not sent yet. */
  get waiting(): number {
    return this.queue.length;
  }

  /** Whole ms that the node's clock is ahead of this process's. */
  get clockAheadMs(): number {
    return Math.round(this.ahead - performance.timeOrigin) || 0;
  }

  /** What is left until a time on the node's clock. */
  ttlUntil(expiresAt: number): number {
    if (expiresAt === Infinity) return Infinity;
    return Math.max(1, Math.round(expiresAt - this.ahead - this.context.clock()));
  }

  /** It leaves at the end of this turn, or when the node is up. */
  enqueue(call: Call): void {
    call.nodeName = this.name;
    this.usedAt = this.context.clock();
    this.queue.push(call);
    this.flushSoon();
  }

  /** Gives up the calls that were not sent yet. */
  takeWaiting(): Call[] {
    const waiting = this.queue.filter((call) => call.isOpen);
    this.queue = [];
    return waiting;
  }

  /** It has lost a script, then probably all: they go before what is sent next. */
  loadScripts(): void {
    this.needsScripts = true;
  }

  /** A call was late, or the connection failed. */
  failed(): void {
    if (!this.circuit.failed()) return;
    this.probeLater();
    this.context.changed(this);
  }

  /** Asks the node for its time. Its answer is as exact as half of what it took. */
  async measureClock(): Promise<void> {
    const { clock } = this.context;
    const sent = clock();
    const [seconds, micros] = ((await this.context.ask(this, "TIME")) as Buffer[]).map(Number);
    this.setClock(seconds! * 1000 + micros! / 1000, sent);
  }

  close(): void {
    clearTimeout(this.connectTimer);
    clearTimeout(this.probeTimer);
    this.phase = NodePhase.CLOSED;
    this.connection?.end();
    this.connection = null;
  }

  invariants(): void {
    this.circuit.invariants();
    const { phase, connection, reason } = this;
    if (phase === NodePhase.UP && (connection === null || reason !== null))
      throw new Error("a node is up without a connection");
    if (phase === NodePhase.CONNECTING && connection === null) throw new Error("nobody connects to a node");
    if (phase === NodePhase.RESTING && (connection !== null || reason === null))
      throw new Error("a node rests and is connected");
    if (this.inFlight < 0) throw new Error("a node has answered more than it was asked");
  }

  private connect(): void {
    this.phase = NodePhase.CONNECTING;
    const { library, security } = this.context;
    const connection = new Connection(library, this.endpoint, security, {
      opened: () => void this.signIn(connection),
      ended: (reason) => this.lost(connection, reason ?? "has ended the connection"),
    });
    this.connection = connection;
    this.connectTimer = setTimeout(() => this.drop(connection, "does not answer"), CONNECT_MS_MAX);
  }

  private async signIn(connection: Connection): Promise<void> {
    try {
      await this.introduce(connection);
    } catch (error) {
      const { code, kind } = faultOf(error as Error);
      if (kind === FaultKind.LOST) return;
      return this.drop(
        connection,
        refusalText(code) ?? `refuses to be used (${code.slice(0, CODE_LENGTH_MAX)})`,
      );
    }
    if (connection !== this.connection) return;
    clearTimeout(this.connectTimer);
    this.phase = NodePhase.UP;
    this.reason = null;
    this.backoffMs = 0;
    this.silentProbes = 0;
    this.circuit.proven();
    clearTimeout(this.probeTimer);
    this.context.changed(this);
    this.flushSoon();
  }

  /**
   * Signs in, ends the connection before this one, loads the scripts and reads the clock. What the node has received on the old connection and not
   * executed yet would otherwise come after what is sent on the new one.
   */
  private async introduce(connection: Connection): Promise<void> {
    const { username, password } = this.context.address;
    const { clock } = this.context;
    const calls: Promise<Reply>[] = [];
    if (password !== null)
      calls.push(connection.call("AUTH", ...(username === null ? [] : [username]), password));
    calls.push(connection.call("CLIENT", "ID"), connection.call("CLIENT", "SETNAME", CLIENT_NAME));
    if (this.clientId !== NO_CLIENT) calls.push(connection.call("CLIENT", "KILL", "ID", this.clientId));
    for (const { source } of Object.values(SCRIPTS)) calls.push(connection.call("SCRIPT", "LOAD", source));
    const replies = await Promise.all(calls);
    this.clientId = String(replies[password === null ? 0 : 1]);
    const sent = clock();
    const [seconds, micros] = ((await connection.call("TIME")) as Buffer[]).map(Number);
    this.setClock(seconds! * 1000 + micros! / 1000, sent);
  }

  /** A reading is wrong by half of what it took at most. */
  private setClock(nodeMs: number, sent: number): void {
    const now = this.context.clock();
    const error = (now - sent) / 2;
    if (error > CLOCK_ERROR_MS_MAX && error > this.aheadError) return;
    this.ahead = nodeMs - (sent + now) / 2;
    this.aheadError = error;
  }

  private drop(connection: Connection, reason: string): void {
    if (connection !== this.connection) return;
    this.lost(connection, reason);
    connection.end();
  }

  private lost(connection: Connection, reason: string): void {
    if (connection !== this.connection) return;
    clearTimeout(this.connectTimer);
    this.connection = null;
    this.phase = NodePhase.RESTING;
    this.reason = reason;
    this.connectTimer = setTimeout(() => this.connect(), this.backoffMs);
    this.backoffMs = Math.min(BACKOFF_MS_MAX, Math.max(BACKOFF_MS_MIN, this.backoffMs * 2));
    this.failed();
    this.context.changed(this);
  }

  private probeLater(): void {
    clearTimeout(this.probeTimer);
    this.probeTimer = setTimeout(() => void this.probe(), PROBE_AFTER_MS);
  }

  /** A node that is not connected is probed by connecting. */
  private async probe(): Promise<void> {
    if (!this.isUp) return;
    if (!this.circuit.takeProbe()) return this.circuit.isClosed ? undefined : this.probeLater();
    const { connection } = this;
    try {
      await this.context.ask(this, "PING");
      this.silentProbes = 0;
      this.circuit.proven();
      this.context.changed(this);
    } catch {
      if (++this.silentProbes >= SILENT_PROBES_MAX && connection !== null)
        this.drop(connection, "does not answer");
      else this.failed();
    }
  }

  private flushSoon(): void {
    if (this.isFlushDue || !this.isUp || this.queue.length === 0) return;
    this.isFlushDue = true;
    setImmediate(() => {
      this.isFlushDue = false;
      this.flush();
    });
  }

  private flush(): void {
    const { connection } = this;
    // A connection that has just ended is told soon; until then the calls stay here.
    if (!this.isUp || connection === null || !connection.isWritable) return;
    const calls = this.queue.sort(byNumber);
    this.queue = [];
    const outgoing: Outgoing[] = [];
    if (this.needsScripts) outgoing.push(...LOADS);
    this.needsScripts = false;
    for (const call of calls) if (call.isOpen) this.load(call, outgoing);
    if (outgoing.length > 0) connection.send(outgoing);
  }

  private load(call: Call, outgoing: Outgoing[]): void {
    if (call.waitsInLine()) return;
    if (call.isOvertaken) return this.context.overtaken(this, call);
    const { name, args } = call.command;
    if (call.isAsking) outgoing.push({ name: "ASKING", args: [], answered: ignore });
    call.send(this.name);
    this.inFlight++;
    outgoing.push({
      name,
      args,
      answered: (error, reply) => {
        this.inFlight--;
        this.context.answered(this, call, error, reply);
      },
    });
  }
}

/** Whether what goes before a call was executed shows in the call's own answer. */
function ignore(): void {}
