/** The command line: its subcommands, and what `breadbox` does without one. */
import { version } from "../../package.json";
import { bench } from "./bench/bench";
import type { Command, Terminal } from "./command";
import { withConnection } from "./connect";
import { EXIT_CODES, Exit } from "./exit";
import { type Program, run, summariesOf, summaryLines } from "./program";
import { repl } from "./repl/repl";
import { health } from "./server";
import { token } from "./token";
import { SERVER_OPTIONS } from "./usage";
import { VERBS } from "./verbs";

const COMMANDS: Record<string, Command> = {
  ...Object.fromEntries(
    Object.entries(VERBS).map(([name, verb]) => [
      name,
      { ...verb, options: { ...verb.options, ...SERVER_OPTIONS } },
    ]),
  ),
  repl,
  health,
  token,
  bench,
};
const SERVE_SUMMARY = "run the server; breadbox serve --help lists its flags";
const HELP = `Breadbox: a cache server for the web.

Usage: breadbox COMMAND [arguments]

${summaryLines([["serve", SERVE_SUMMARY], ...summariesOf(COMMANDS)])}

breadbox COMMAND --help tells more.
${EXIT_CODES}
`;

const VERSION = `breadbox ${version}\n`;

/** @returns the exit code */
export async function runCommand(
  args: readonly string[],
  environment: Record<string, string | undefined>,
  terminal: Terminal,
): Promise<number> {
  const program: Program = {
    commands: COMMANDS,
    prefix: "breadbox ",
    speaker: "breadbox: ",
    texts: { help: HELP, "--help": HELP, "-h": HELP, version: VERSION, "--version": VERSION, "-v": VERSION },
    environment,
    withCache: withConnection,
  };
  if (args.length === 0) return withoutCommand(program, terminal);
  return run(program, args.join(" ") === "help serve" ? ["help"] : args, terminal);
}

async function withoutCommand(program: Program, terminal: Terminal): Promise<number> {
  if (!terminal.hasKeyboard || !terminal.isInteractive)
    return (await run(program, ["help"], terminal)) || Exit.USAGE;
  const code = await run(program, ["repl"], terminal);
  if (code === Exit.UNAVAILABLE)
    terminal.say(
      "breadbox help lists the commands; breadbox serve is the server, and --url says where it is",
    );
  return code;
}
