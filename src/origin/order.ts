/**
 * Keeps the calls for one key in the order in which they were made. They leave on one connection in that order, so only one that is taken back, in order
 * to be repeated, could come after a later one. Therefore a line that has such a call stops: nothing of it is sent until everything of it that is in
 * flight was answered; then what was taken back goes on, in order, with what has come meanwhile. A write of it before which a later call was executed
 * must not go on: it would undo what came after it. A read may.
 *
 * Invariant: a key has a line as long as a call that entered it is open.
 */
import type { Line } from "./call";

export class KeyOrder {
  private readonly lines = new Map<string, Line>();

  /** A call for the key begins. @returns null for a read that has no write before it: nothing depends on its order */
  enter(key: string, isWrite: boolean): Line | null {
    let line = this.lines.get(key);
    if (line === undefined) {
      if (!isWrite) return null;
      line = { key, open: 0, inFlight: 0, executed: -1, stopped: null, isDelayed: false };
      this.lines.set(key, line);
    }
    line.open++;
    return line;
  }

  /** The call ends, however it does. */
  leave(line: Line): void {
    if (--line.open === 0) this.lines.delete(line.key);
  }

  get size(): number {
    return this.lines.size;
  }

  invariants(): void {
    for (const [key, line] of this.lines) {
      if (line.key !== key || line.open < 1) throw new Error("a line of calls is open without a call");
      if (line.inFlight < 0) throw new Error("a line has more answers than calls");
      if (line.stopped === null && line.isDelayed) throw new Error("a line goes on and is delayed");
    }
  }
}
