/** One line of the prompt, or of a script, as a subcommand over the connection that all lines share. */
import type { Cache } from "../../client/client";
import type { Terminal } from "../command";
import { Exit } from "../exit";
import { type Program, run, summariesOf, summaryLines } from "../program";
import { CommandUsageError } from "../usage";
import { VERBS } from "../verbs";
import { wordsOf } from "./words";

/** A longer value comes from a file. */
export const LINE_BYTES_MAX = 1 << 20;
const HELP = `Commands:

${summaryLines([
  ...summariesOf(VERBS),
  ["help", "this text; help COMMAND tells more"],
  ["quit", "ends, and so does Ctrl-D"],
])}

Words are quoted as in a shell, with '…', "…", $'…\\n…' and \\; nothing else has a meaning. A line that begins with # is a comment.
Ctrl-C ends what runs. Tab completes commands, options and keys.
`;

/** What lines may ask for. */
export function programOver(cache: Cache, speaker: string): Program {
  const withCache: Program["withCache"] = (_, work) => work(cache);
  return {
    commands: VERBS,
    prefix: "",
    speaker,
    texts: { help: HELP, "?": HELP },
    environment: {},
    withCache,
  };
}

/** A line's terminal has no standard input, since lines come from there. */
export function inputless(): never {
  throw new CommandUsageError("standard input has the lines here; a value may come from --file");
}

/**
 * Runs a line, whose output ends with a line break.
 * @param ends bytes after which there is no need for one
 * @returns the exit code; null where it asks to end
 */
export async function runLine(
  line: string,
  program: Program,
  terminal: Terminal,
  ends: readonly number[],
): Promise<number | null> {
  let words: string[];
  try {
    if (Buffer.byteLength(line) > LINE_BYTES_MAX)
      throw new CommandUsageError(`a line has at most ${LINE_BYTES_MAX} bytes; a value may come from --file`);
    words = wordsOf(line);
  } catch (error) {
    if (!(error instanceof CommandUsageError)) throw error;
    terminal.say(program.speaker + error.message);
    return Exit.USAGE;
  }
  if (words.length === 0) return Exit.OK;
  if (words.length === 1 && ["quit", "exit"].includes(words[0]!)) return null;
  let last: number | null = ends[0]!;
  const write = (data: string | Uint8Array) => {
    last = (typeof data === "string" ? data.codePointAt(data.length - 1) : data.at(-1)) ?? null;
    return terminal.write(data);
  };
  const code = await run(program, words, { ...terminal, write });
  const isOpen = last === null || !ends.includes(last);
  if (isOpen && code !== Exit.OUTPUT && code !== Exit.PIPE) await terminal.write("\n");
  return code;
}
