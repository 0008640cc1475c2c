/**
 * One command on its way to a node and back, with its deadline. It is settled once: by its answer, by an error, or by the deadline.
 *
 *   WAITING ⇄ SENT ──▶ SETTLED        back to WAITING when it is certain that it was not executed, or it is a read
 */
import type { Line } from "./order";
import type { Script } from "./scripts";

export type Argument = string | Buffer;
/** Text comes as bytes. */
export type Reply = Buffer | number | null | Reply[];

export const CallPhase = { WAITING: 0, SENT: 1, SETTLED: 2 } as const;
export type CallPhase = (typeof CallPhase)[keyof typeof CallPhase];

/** What is to be executed, and where. */
export interface Command {
  readonly name: string;
  readonly args: readonly Argument[];
  /** -1: the command has no key. */
  readonly slot: number;
  readonly isWrite: boolean;
  /** What EVALSHA names, for a node that does not have it. */
  readonly script: Script | null;
  /** Its place among the calls for its key. */
  readonly line: Line | null;
}

export class Call {
  phase: CallPhase = CallPhase.WAITING;
  /** Repeats because of redirects and missing scripts. */
  repeats = 0;
  /** ASKING goes before it, for the next time only. */
  isAsking = false;
  /** SCRIPT LOAD goes before it, for the next time only. */
  loadsScript = false;
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

  /** Whether it must not leave any more, because a later call for its key has. */
  get isOvertaken(): boolean {
    const { line, isWrite } = this.command;
    return isWrite && line !== null && line.lastSent > this.number;
  }

  send(nodeName: string): void {
    this.phase = CallPhase.SENT;
    this.nodeName = nodeName;
    this.isAsking = false;
    this.loadsScript = false;
    const { line } = this.command;
    if (line !== null && line.lastSent < this.number) line.lastSent = this.number;
  }

  /** It was not executed, or may be executed twice. */
  takeBack(): void {
    this.phase = CallPhase.WAITING;
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
