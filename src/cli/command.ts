/** What a subcommand is, and what it is given. */
import type { Cache } from "../client/client";
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
  /** Standard input, as it arrives. Throws a CommandUsageError where it belongs to somebody else. */
  input(): AsyncIterable<Uint8Array>;
  /** Asks a question of yes or no, of which Ctrl-C is a no; null where there is nobody to ask. */
  readonly confirm: ((question: string) => Promise<boolean>) | null;
  /** Whether standard input, output, and error are a terminal. */
  readonly hasKeyboard: boolean;
  readonly isInteractive: boolean;
  readonly saysToTerminal: boolean;
  /** Aborted by Ctrl-C. */
  readonly interrupted: AbortSignal;
}

/** Works with a connected cache: on the command line with one of its own, as the options say; at the prompt with the prompt's. */
export type WithCache = <T>(parsed: Parsed, work: (cache: Cache) => Promise<T>) => Promise<T>;

export interface Command {
  summary: string;
  /** Arguments after the name. */
  synopsis: string;
  examples: string[];
  options: Options;
  /** Fewest and most arguments. */
  positionals: [min: number, max: number];
  /** How many of the first arguments are keys, or begin some (0). */
  keys?: number;
  /** Whether an argument is a value, which the prompt's history leaves out of its file (false). */
  hasValue?: boolean;
  /** @returns the exit code */
  run(parsed: Parsed, terminal: Terminal, withCache: WithCache): Promise<number>;
}
