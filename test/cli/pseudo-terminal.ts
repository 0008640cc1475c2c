/** A program at a terminal of its own: what a person types, and what the screen shows. */
export class PseudoTerminal {
  /** All that was written to it so far, what was typed included where the terminal echoes it. */
  screen = "";
  /** The exit code, once all that was written to it has come. */
  readonly exited: Promise<number>;
  private readonly child;
  private readonly changed = new Set<() => void>();
  private readonly over = Promise.withResolvers<void>();
  private ended = false;
  /** What `shows` has looked at already. */
  private seen = 0;

  constructor(command: string[], env: Record<string, string>) {
    const decoder = new TextDecoder();
    this.child = Bun.spawn(command, {
      env: { ...process.env, TERM: "xterm", ...env },
      terminal: {
        cols: 120,
        rows: 40,
        data: (_, bytes) => this.grow(decoder.decode(bytes, { stream: true })),
        exit: () => this.end(),
      },
    });
    this.exited = Promise.all([this.child.exited, this.over.promise]).then(([code]) => code);
  }

  type(text: string): void {
    this.child.terminal!.write(text);
  }

  /** What Ctrl-C is while the program does not read the keyboard itself. */
  interrupt(): void {
    this.child.kill("SIGINT");
  }

  /** Resolves when it shows the text, after what was waited for before; rejects when it ends without. */
  shows(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const at = this.screen.indexOf(text, this.seen);
        if (at < 0 && !this.ended) return;
        this.changed.delete(look);
        if (at < 0) return reject(new Error(`ended without ${JSON.stringify(text)}:\n${this.screen}`));
        this.seen = at + text.length;
        resolve();
      };
      this.changed.add(look);
      look();
    });
  }

  private grow(text: string): void {
    this.screen += text;
    for (const look of [...this.changed]) look();
  }

  private end(): void {
    this.ended = true;
    this.over.resolve();
    for (const look of [...this.changed]) look();
  }
}
