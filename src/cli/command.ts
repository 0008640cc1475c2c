/** What a subcommand is, and what it is given. */
import type { Options, Parsed } from "./usage";

/** Standard output does not take what is written: nobody reads it any more (EPIPE), or the disk is full. */
export class OutputError extends Error {
  override name = "OutputError";
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export interface Terminal {
  /** Writes bytes or text to standard output; resolves when they are taken, rejects with an OutputError. */
  write(data: string | Uint8Array): Promise<void>;
  /** A line on standard error. */
  say(text: string): void;
  /** All of standard input. */
  readInput(): Promise<Uint8Array>;
  /** Whether standard output, or standard error, is a terminal. */
  readonly isInteractive: boolean;
  readonly saysToTerminal: boolean;
  /** Aborted by Ctrl-C. */
  readonly interrupted: AbortSignal;
}

export interface Command {
  summary: string;
  /** Arguments after the name. */
  synopsis: string;
  examples: string[];
  options: Options;
  /** Fewest and most arguments. */
  positionals: [min: number, max: number];
  /** @returns the exit code */
  run(parsed: Parsed, terminal: Terminal): Promise<number>;
}
