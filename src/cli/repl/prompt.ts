/**
 * The lines that a person types, one at a time.
 *
 *   idle ──read──▶ reading ──(a line, or the end of input)──▶ idle ──run──▶ running ──(done)──▶ idle
 *
 * Ctrl-C drops the line while one is read, and while one runs it ends that and drops those that wait. The terminal is
 * watched in every phase, so lines that come early wait in `ahead`; null is there when no more will come.
 * Invariant: while a line is read, none waits.
 */
import { createInterface, type Interface } from "node:readline";
import { confirmOn } from "../confirm";
import { HISTORY_LINES_MAX } from "./history";

type Phase =
  | { name: "idle" }
  | { name: "reading"; resolve: (line: string | null) => void }
  | { name: "running"; abort: AbortController };

export interface PromptOptions {
  /** The terminal. */
  input: NodeJS.ReadableStream;
  output: NodeJS.WritableStream;
  /** What stands before the line. */
  label: string;
  /** Lines to offer again, newest first. */
  history: readonly string[];
  /** What a beginning of a line may become, as readline takes it. */
  complete: (text: string) => Promise<[string[], string]>;
}

/** When so many lines wait, the terminal is not read on until one was taken. */
const LINES_AHEAD_MAX = 1000;
const IDLE: Phase = { name: "idle" };

export class Prompt {
  private phase: Phase = IDLE;
  private readonly ahead: (string | null)[] = [];
  private readonly lines: Interface;

  constructor(private readonly options: PromptOptions) {
    const { input, output } = options;
    this.lines = createInterface({
      input,
      output,
      terminal: true,
      prompt: options.label,
      history: [...options.history],
      historySize: HISTORY_LINES_MAX,
      removeHistoryDuplicates: true,
      completer: (text: string, done: (error: null, result: [string[], string]) => void) =>
        void this.complete(text).then((result) => done(null, result)),
    });
    this.lines.on("line", (line) => this.came(line));
    this.lines.on("close", () => this.came(null));
    this.lines.on("SIGINT", () => this.interrupt());
    // After Ctrl-Z. readline pauses the terminal, and expects to be told to go on.
    this.lines.on("SIGCONT", () => void this.lines.resume());
  }

  /** The next line; null at the end of the input. */
  read(): Promise<string | null> {
    const [line] = this.ahead;
    if (line !== undefined) {
      if (line !== null) this.ahead.shift();
      return Promise.resolve(line);
    }
    return new Promise((resolve) => {
      this.phase = { name: "reading", resolve };
      this.lines.prompt();
    });
  }

  /** Works on a line; the signal is that of Ctrl-C. */
  async run<Result>(work: (interrupted: AbortSignal) => Promise<Result>): Promise<Result> {
    const abort = new AbortController();
    this.phase = { name: "running", abort };
    try {
      return await work(abort.signal);
    } finally {
      this.phase = IDLE;
    }
  }

  /** Asks a question while a line runs. */
  async confirm(question: string, interrupted: AbortSignal): Promise<boolean> {
    const { history } = this.lines as Interface & { history: string[] };
    const before = [...history];
    const yes = await confirmOn(this.lines, question, interrupted);
    // readline has taken the answer for a line that may be wanted again.
    history.splice(0, history.length, ...before);
    return yes;
  }

  /** Says something that does not belong to a line, above the one that is being typed, and may change what stands before it. */
  tell(text: string, label = this.options.label): void {
    const isReading = this.phase.name === "reading";
    this.options.label = label;
    if (isReading) this.belowLine("");
    this.options.output.write(`${text}\n`);
    this.lines.setPrompt(label);
    if (isReading) this.lines.prompt(true);
  }

  /** No more lines are read. */
  close(): void {
    this.lines.close();
  }

  /** Throws what does not hold; for tests. */
  invariants(): void {
    if (this.phase.name === "reading" && this.ahead.length > 0) throw new Error("a line waits to be read");
    if (this.ahead.slice(0, -1).includes(null)) throw new Error("a line came after the end");
  }

  private came(line: string | null): void {
    if (this.phase.name === "reading") {
      const { resolve } = this.phase;
      this.phase = IDLE;
      if (line === null) {
        this.ahead.push(null);
        this.options.output.write("\n");
      }
      return resolve(line);
    }
    this.ahead.push(line);
    if (this.ahead.length === LINES_AHEAD_MAX) this.lines.pause();
  }

  private interrupt(): void {
    if (this.phase.name === "running") {
      this.ahead.splice(0, this.ahead.length, ...this.ahead.filter((line) => line === null));
      this.phase.abort.abort();
    } else if (this.phase.name === "reading") {
      this.lines.write(null, { ctrl: true, name: "e" });
      this.belowLine("^C");
      this.lines.write(null, { ctrl: true, name: "u" });
    }
  }

  /** Ends the rows of the line that is typed. readline goes up again as many before it draws the line anew. */
  private belowLine(mark: string): void {
    const { rows } = this.lines.getCursorPos();
    this.options.output.write(mark + "\n".repeat(rows + 1));
  }

  private async complete(text: string): Promise<[string[], string]> {
    return this.phase.name === "reading" ? this.options.complete(text) : [[], text];
  }
}
