/**
 * Keeps the calls for one key in the order in which they were made. They leave on one connection in that order; only a call that has to be repeated
 * could come after one that was made later. A read may. A write must not: it would undo what came after it.
 *
 * Invariant: a key has a line as long as a call that entered it is open; the line knows the latest of them that was sent.
 */

/** The open calls for a key, of which the first was a write. */
export interface Line {
  readonly key: string;
  open: number;
  lastSent: number;
}

export class KeyOrder {
  private readonly lines = new Map<string, Line>();

  /** A call for the key begins. @returns null for a read that has no write before it: nothing depends on its order */
  enter(key: string, isWrite: boolean): Line | null {
    let line = this.lines.get(key);
    if (line === undefined) {
      if (!isWrite) return null;
      line = { key, open: 0, lastSent: -1 };
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
    for (const [key, line] of this.lines)
      if (line.key !== key || line.open < 1) throw new Error("a line of calls is open without a call");
  }
}
