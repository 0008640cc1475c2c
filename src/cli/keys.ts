/** The keys that a subcommand is about: its arguments, or for - those that standard input lists, asked about a few at a time. */
import type { Terminal } from "./command";
import { Exit } from "./exit";
import { Output } from "./output";
import { LINE_BREAK, NULL_BYTE, records } from "./records";
import { CommandUsageError, type Option, type Parsed } from "./usage";

/** So many are asked about at once: enough to hide the way to the server, and few values that are held meanwhile. */
const KEYS_TOGETHER = 64;
/** The longest that the protocol can carry. */
const KEY_BYTES_MAX = 65_535;

export const NULL_OPTION: Option = {
  help: "with -: each key ends with a null byte, as scan --null prints them, and not with a line break",
};

export function isListed({ positionals }: Parsed): boolean {
  return positionals.length === 1 && positionals[0] === "-";
}

/** Throws where --null would say nothing: standard input lists no keys. */
export function checkNull(parsed: Parsed): void {
  if (parsed.values.null && !isListed(parsed))
    throw new CommandUsageError("--null is about the keys on standard input; - stands for them");
}

/**
 * Asks about every key, and reports the answers in the order of the keys.
 * @param report adds to the output; false for a miss
 * @returns the exit code
 */
export async function eachKey<Answer>(
  parsed: Parsed,
  terminal: Terminal,
  ask: (key: string) => Promise<Answer>,
  report: (key: string, answer: Answer, output: Output) => boolean,
): Promise<number> {
  const output = new Output(terminal);
  let code: number = Exit.OK;
  for await (const keys of keyGroups(parsed, terminal)) {
    const answers = await Promise.all(keys.map(ask));
    for (const [i, answer] of answers.entries()) {
      if (!report(keys[i]!, answer, output)) code = Exit.MISS;
      await output.writeIfLong();
    }
    await output.flush();
  }
  return code;
}

/** At most KEYS_TOGETHER in each group. */
async function* keyGroups(parsed: Parsed, terminal: Terminal): AsyncGenerator<string[], void, undefined> {
  if (!isListed(parsed) && parsed.positionals.includes("-"))
    throw new CommandUsageError("- stands for the keys on standard input, and alone");
  for await (const keys of isListed(parsed) ? listed(parsed, terminal) : [parsed.positionals])
    for (let at = 0; at < keys.length; at += KEYS_TOGETHER) yield keys.slice(at, at + KEYS_TOGETHER);
}

function listed({ values }: Parsed, terminal: Terminal) {
  const end = values.null ? NULL_BYTE : LINE_BREAK;
  return records(terminal.input(), { end, bytesMax: KEY_BYTES_MAX, what: "key" });
}

export function sayMissing(key: string, terminal: Terminal): void {
  terminal.say(`there is no entry ${JSON.stringify(key)}`);
}
