/**
 * Brings every call to the node that owns its slot, and its answer back, within the deadline. What is repeated is decided here and nowhere else:
 *
 *   what the node or the connection says                     a read             a write
 *   MOVED, ASK, NOSCRIPT                                     at once, as the node says
 *   CLUSTERDOWN, LOADING, TRYAGAIN, BUSY                     after PARK_MS
 *   not sent yet, and the node is gone                       waits for whoever owns the slot next
 *   connection ended while in flight                         after PARK_MS      fails: it may have happened
 *   deadline passed                                          fails              fails: may have happened, if it was sent
 *
 * Of calls for one key the order is kept, see order.ts: a write that would come after a later call fails instead.
 *
 * Invariant: an open call waits at a node or in its line, is parked, or is in flight.
 */
import type { Address } from "./address";
import { byNumber, Call, CallPhase, type Command, type Line, type Reply } from "./call";
import type { Library, Security } from "./connection";
import { Deadlines, OPEN_CALLS_MAX } from "./deadlines";
import { Discovery } from "./discovery";
import { type Fault, FaultKind, faultOf, finalError, MAY_HAVE_HAPPENED, OriginError } from "./faults";
import type { Node } from "./nodes";
import { KeyOrder } from "./order";

/** Before a call that a node could not answer for now is tried again. */
const PARK_MS = 10;
/** Redirects and missing scripts of one call. */
const REPEATS_MAX = 16;
const NO_SLOT = -1;

export interface RouterOptions {
  readonly library: Library;
  readonly address: Address;
  readonly security: Security;
  readonly timeoutMs: number;
  /** ms, monotonic */
  readonly clock: () => number;
  readonly onRedirect: (slot: number) => void;
  /** A node is up, or no more, or somebody else owns something. */
  readonly onChange: () => void;
}

/** An answer, and who gave it. */
export interface Answer {
  readonly reply: Reply;
  readonly node: Node;
}

export class Router {
  readonly order = new KeyOrder();
  readonly discovery: Discovery;
  private readonly deadlines: Deadlines;
  private parked: Call[] = [];
  private parkedLines: Line[] = [];
  private parkTimer: ReturnType<typeof setTimeout> | null = null;
  private calls = 0;
  private closing: Promise<void> | null = null;

  constructor(private readonly options: RouterOptions) {
    const { library, address, security, clock } = options;
    this.deadlines = new Deadlines(clock, (late) => this.expire(late));
    const context = {
      library,
      address,
      security,
      clock,
      answered: (node: Node, call: Call, error: Error | null, reply: Reply) =>
        this.answered(node, call, error, reply),
      overtaken: (_: Node, call: Call) => this.overtaken(call),
      changed: (node: Node) => this.changed(node),
      ask: (node: Node, name: string, ...args: string[]) => this.ask(node, name, ...args),
    };
    this.discovery = new Discovery(address, context, () => this.reassign());
  }

  /** Calls that are open. */
  get open(): number {
    return this.deadlines.size;
  }

  /** Rejects with OriginError. */
  execute(command: Command): Promise<Answer> {
    return this.begin(command, (call) => this.dispatch(call));
  }

  /** A command of no key to one node; it is not repeated. Rejects with OriginError. */
  executeAt(node: Node, name: string, args: Command["args"]): Promise<Answer> {
    const command = { name, args, slot: NO_SLOT, isWrite: false, line: null };
    return this.begin(command, (call) => this.give(node, call));
  }

  /** Takes no calls any more; resolves when those that are open have ended, each by its own deadline. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  invariants(): void {
    this.discovery.invariants();
    this.deadlines.invariants();
    this.order.invariants();
    if (this.parked.some((call) => call.isOpen) && this.parkTimer === null)
      throw new Error("calls are parked, and nobody comes back for them");
  }

  private async end(): Promise<void> {
    await this.deadlines.drained();
    if (this.parkTimer !== null) clearTimeout(this.parkTimer);
    this.discovery.close();
  }

  private begin(command: Command, start: (call: Call) => void): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const { deadlines, order, options } = this;
      const call: Call = new Call(
        command,
        this.calls++,
        options.clock() + options.timeoutMs,
        (error, reply) => {
          deadlines.remove(call);
          if (command.line !== null) order.leave(command.line);
          if (error === null) resolve({ reply, node: this.discovery.nodes.get(call.nodeName)! });
          else reject(error);
        },
      );
      if (this.closing !== null)
        return call.reject(new OriginError("closing", "origin: the server is shutting down"));
      if (deadlines.isFull)
        return call.reject(
          new OriginError("full", `origin: ${OPEN_CALLS_MAX} calls wait for answers already; try again`),
        );
      deadlines.add(call);
      start(call);
    });
  }

  /** The worker's own question, also to a node that is not trusted now. */
  private ask(node: Node, name: string, ...args: string[]): Promise<Reply> {
    const command = { name, args, slot: NO_SLOT, isWrite: false, line: null };
    return this.begin(command, (call) => node.enqueue(call)).then(({ reply }) => reply);
  }

  /** To where it belongs, unless calls for its key wait. */
  private dispatch(call: Call): void {
    if (!call.waitsInLine()) this.route(call);
  }

  private route(call: Call): void {
    const { discovery } = this;
    const { slot } = call.command;
    const name = slot === NO_SLOT ? call.nodeName : call.target;
    const sentTo = discovery.nodes.get(name) ?? null;
    call.target = "";
    if (sentTo === null) call.isAsking = false;
    const node = sentTo ?? (slot === NO_SLOT ? null : discovery.nodeFor(slot));
    if (node !== null) return this.give(node, call);
    if (discovery.problem !== null)
      return call.reject(new OriginError("refused", `origin: ${discovery.problem}`));
    if (discovery.isDown) return call.reject(this.unreachable());
    this.park(call);
  }

  private give(node: Node, call: Call): void {
    if (node.circuit.isClosed) return node.enqueue(call);
    const what = `origin: ${node.name} ${node.reason ?? "does not answer"}`;
    call.reject(new OriginError("circuit", `${what}; nothing was ${done(call)}, try again later`));
  }

  private park(call: Call): void {
    call.nodeName = "";
    this.parked.push(call);
    this.unparkLater();
  }

  private parkLine(line: Line): void {
    this.parkedLines.push(line);
    this.unparkLater();
  }

  private unparkLater(): void {
    this.parkTimer ??= setTimeout(() => {
      this.parkTimer = null;
      this.unpark();
    }, PARK_MS);
  }

  private unpark(): void {
    const lines = this.parkedLines;
    const calls = this.parked;
    this.parkedLines = [];
    this.parked = [];
    for (const line of lines) {
      line.isDelayed = false;
      this.goOn(line);
    }
    for (const call of calls.sort(byNumber)) if (call.isOpen) this.dispatch(call);
  }

  /** There is another table: what was not sent yet goes where it belongs now, in its order. */
  private reassign(): void {
    const { nodes } = this.discovery;
    this.parked.push(...[...nodes.values()].flatMap((node) => node.takeWaiting()));
    this.unpark();
    this.options.onChange();
  }

  private answered(node: Node, call: Call, error: Error | null, reply: Reply): void {
    const { line } = call.command;
    if (line !== null) line.inFlight--;
    if (call.phase === CallPhase.SENT) this.settle(node, call, error, reply);
    if (line !== null && line.inFlight === 0) this.goOn(line);
  }

  /** What was taken back of a line goes on now, or after a while. */
  private goOn(line: Line): void {
    const { stopped } = line;
    if (stopped === null) return;
    if (line.isDelayed) return this.parkLine(line);
    line.stopped = null;
    for (const call of stopped.sort(byNumber)) if (call.isOpen) this.route(call);
  }

  private settle(node: Node, call: Call, error: Error | null, reply: Reply): void {
    if (error === null) {
      node.circuit.answered();
      call.executed();
      return call.resolve(reply);
    }
    const fault = faultOf(error);
    if (fault.kind !== FaultKind.LOST) node.circuit.answered();
    if (call.command.slot === NO_SLOT) return this.rejectPinned(node, call, error, fault);
    switch (fault.kind) {
      case FaultKind.MOVED:
      case FaultKind.ASK:
        return this.redirect(node, call, fault);
      case FaultKind.NO_SCRIPT:
        node.loadScripts();
        return this.repeatAt(node, call);
      case FaultKind.LATER:
        this.discovery.lookSoon();
        return this.repeatLater(call);
      case FaultKind.LOST:
        return this.lost(node, call);
      case FaultKind.FINAL:
        if (fault.code === "READONLY") this.discovery.lookSoon();
        return call.reject(finalError(fault, node.endpoint));
    }
  }

  private lost(node: Node, call: Call): void {
    if (!call.command.isWrite) return this.repeatLater(call);
    call.executed();
    call.reject(
      new OriginError("lost", `origin: ${node.name} has ended the connection; ${MAY_HAVE_HAPPENED}`),
    );
  }

  private redirect(node: Node, call: Call, { kind, slot, endpoint }: Fault): void {
    const to = endpoint!.host === "" ? { ...endpoint!, host: node.endpoint.host } : endpoint!;
    if (kind === FaultKind.MOVED) this.discovery.moved(slot, to);
    call.isAsking = kind === FaultKind.ASK;
    this.options.onRedirect(slot);
    this.repeatAt(this.discovery.nodeAt(to), call);
  }

  private repeatAt(node: Node, call: Call): void {
    if (++call.repeats > REPEATS_MAX) {
      const text = `origin: was sent from node to node ${REPEATS_MAX} times; nothing was ${done(call)}, try again`;
      return call.reject(new OriginError("unreachable", text));
    }
    call.target = node.name;
    if (!call.takeBack(false)) this.route(call);
  }

  private repeatLater(call: Call): void {
    if (!call.takeBack(true)) this.park(call);
  }

  /** A question to one node alone: its own errors go to who asked, so that it can tell them apart. */
  private rejectPinned(node: Node, call: Call, error: Error, fault: Fault): void {
    const isPassing = fault.kind === FaultKind.LOST || fault.kind === FaultKind.LATER;
    if (isPassing)
      call.reject(
        new OriginError("lost", `origin: ${node.name} could not answer (${fault.code}); try again`),
      );
    else call.reject(fault.code === "NO_CLUSTER" ? error : finalError(fault, node.endpoint));
  }

  private overtaken(call: Call): void {
    const text =
      "origin: could not be executed in its turn, and a later request for the key was; nothing was written, try again";
    call.reject(new OriginError("overtaken", text));
  }

  private changed(node: Node): void {
    if (!node.circuit.isClosed) for (const call of node.takeWaiting()) this.give(node, call);
    this.discovery.lookSoon();
    this.options.onChange();
  }

  private expire(late: Call[]): void {
    const silent = new Set<Node>();
    for (const call of late) {
      const node = this.discovery.nodes.get(call.nodeName);
      if (node !== undefined && (call.phase === CallPhase.SENT || !node.isUp)) silent.add(node);
      call.reject(this.lateError(call, node));
    }
    for (const node of silent) node.failed();
  }

  private lateError(call: Call, node: Node | undefined): OriginError {
    const within = `within ${this.options.timeoutMs} ms (--origin-timeout)`;
    if (!call.command.isWrite) return new OriginError("timeout", `origin: no answer ${within}; try again`);
    if (call.phase === CallPhase.SENT)
      return new OriginError("timeout", `origin: no answer ${within}; ${MAY_HAVE_HAPPENED}`);
    const why = node?.reason ? `${node.name} ${node.reason}` : "nobody serves the key's slot";
    return new OriginError(
      "unreachable",
      `origin: not sent ${within}: ${why}; nothing was written, try again`,
    );
  }

  private unreachable(): OriginError {
    const reasons = [...this.discovery.nodes.values()].map(
      ({ name, reason }) => `${name} ${reason ?? "does not answer"}`,
    );
    return new OriginError("unreachable", `origin: cannot be reached: ${reasons.slice(0, 3).join("; ")}`);
  }
}

function done(call: Call): string {
  return call.command.isWrite ? "written" : "read";
}
