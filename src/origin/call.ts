/**
 * One command on its way to a node and back, with its deadline. It is settled once: by its answer, by an error, or by the deadline.
 *
 *   WAITING ⇄ SENT ──▶ SETTLED        back to WAITING when it is certain that it was not executed, or it is a read
 */

export type Argument = string | Buffer;
/** Text comes as bytes. */
export type Reply = Buffer | number | null | Reply[];

export const CallPhase = { WAITING: 0, SENT: 1, SETTLED: 2 } as const;
export type CallPhase = (typeof CallPhase)[keyof typeof CallPhase];

/** The open calls for one key, of which the first was a write; see order.ts. */
export interface Line {
  readonly key: string;
  open: number;
  /** Sent and not answered, also those that were late. */
  inFlight: number;
  /** Number of the latest call that was executed, or may have been. */
  executed: number;
  /** Calls that wait because one was taken back; null while the line goes on. */
  stopped: Call[] | null;
  /** What was taken back is to be tried again later, not at once. */
  isDelayed: boolean;
}

/** What is to be executed, and where. */
export interface Command {
  readonly name: string;
  readonly args: readonly Argument[];
  /** -1: the command has no key. */
  readonly slot: number;
  readonly isWrite: boolean;
  /** Its place among the calls for its key. */
  readonly line: Line | null;
}

export class Call {
  phase: CallPhase = CallPhase.WAITING;
  /** Repeats because of redirects and missing scripts. */
  repeats = 0;
  /** ASKING goes before it, for the next time only. */
  isAsking = false;
  /** Where a node has sent it, for the next time only. */
  target = "";
  /** Where it waits or was sent to; empty while nobody is known to own its slot. */
  nodeName = "";

  /**
   * @param number grows from call to call
   * @param deadline ms on the monotonic clock
   * @param settled told once, with the answer or with what went wrong
   */
  constructor(
    readonly command: Command,
    readonly number: number,
    readonly deadline: number,
    private readonly settled: (error: Error | null, reply: Reply) => void,
  ) {}

  get isOpen(): boolean {
    return this.phase !== CallPhase.SETTLED;
  }

  /** Whether it must not leave any more, because a later call for its key was executed. */
  get isOvertaken(): boolean {
    const { line, isWrite } = this.command;
    return isWrite && line !== null && line.executed > this.number;
  }

  send(nodeName: string): void {
    this.phase = CallPhase.SENT;
    this.nodeName = nodeName;
    this.isAsking = false;
    if (this.command.line !== null) this.command.line.inFlight++;
  }

  /** It was executed, or nobody knows. */
  executed(): void {
    const { line } = this.command;
    if (line !== null && line.executed < this.number) line.executed = this.number;
  }

  /** It was not executed, or may be executed twice. Where its line stops, true: then it waits there. */
  takeBack(isDelayed: boolean): boolean {
    this.phase = CallPhase.WAITING;
    const { line } = this.command;
    if (line === null) return false;
    line.stopped ??= [];
    line.isDelayed ||= isDelayed;
    return this.waitsInLine();
  }

  /** Whether its line stands still; then it waits there. */
  waitsInLine(): boolean {
    const { line } = this.command;
    if (line === null || line.stopped === null) return false;
    line.stopped.push(this);
    return true;
  }

  resolve(reply: Reply): void {
    this.settle(null, reply);
  }

  reject(error: Error): void {
    this.settle(error, null);
  }

  private settle(error: Error | null, reply: Reply): void {
    if (this.phase === CallPhase.SETTLED) return;
    this.phase = CallPhase.SETTLED;
    this.settled(error, reply);
  }
}

/** For sorting calls into the order in which they were made. */
export function byNumber(a: Call, b: Call): number {
  return a.number - b.number;
}
