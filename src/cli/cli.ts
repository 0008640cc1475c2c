/** The command line: finds the subcommand, reads its arguments, runs it, and turns what went wrong into an exit code. */
import { CacheError } from "../client/client";
import { bench } from "./bench/bench";
import type { Command, Terminal } from "./command";
import { del, get, put, scan } from "./data";
import { EXIT_CODES, Exit, exitOf } from "./exit";
import { health, ping, stats, watchStats } from "./server";
import { token } from "./token";
import { CommandUsageError, optionLines, parse } from "./usage";

const COMMANDS: Record<string, Command> = {
  get,
  put,
  del,
  scan,
  stats,
  "watch-stats": watchStats,
  ping,
  health,
  token,
  bench,
};
const HELP = { help: { help: "this text" } };
const SERVE_SUMMARY = "run the server; breadbox serve --help lists its flags";

/** @returns the exit code */
export async function runCommand(
  args: readonly string[],
  environment: Record<string, string | undefined>,
  terminal: Terminal,
): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || ["help", "--help", "-h"].includes(name)) {
    await terminal.write(helpText());
    return name === undefined ? Exit.USAGE : Exit.OK;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined)
    return usage(terminal, `unknown command ${JSON.stringify(name)}; breadbox help lists them`);
  try {
    const parsed = parse(rest, { ...command.options, ...HELP }, environment);
    if (parsed.values.help) {
      await terminal.write(commandHelp(name, command));
      return Exit.OK;
    }
    const [min, max] = command.positionals;
    if (parsed.positionals.length < min || parsed.positionals.length > max)
      throw new CommandUsageError(`usage: breadbox ${name} ${command.synopsis}`.trimEnd());
    return await command.run(parsed, terminal);
  } catch (error) {
    if (error instanceof CommandUsageError) return usage(terminal, `${name}: ${error.message}`);
    if (error instanceof CacheError) return failed(terminal, name, error);
    throw error;
  }
}

function usage(terminal: Terminal, message: string): number {
  terminal.say(`breadbox: ${message}`);
  return Exit.USAGE;
}

function failed(terminal: Terminal, name: string, error: CacheError): number {
  terminal.say(`breadbox: ${name}: ${error.message}`);
  return exitOf(error.code);
}

function helpText(): string {
  const rows = [
    ["serve", SERVE_SUMMARY] as const,
    ...Object.entries(COMMANDS).map(([name, { summary }]) => [name, summary] as const),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return `Breadbox: a cache server for the web.

Usage: breadbox COMMAND [arguments]

${rows.map(([name, summary]) => `  ${name.padEnd(width)}  ${summary}`).join("\n")}

breadbox COMMAND --help tells more.
${EXIT_CODES}
`;
}

function commandHelp(name: string, command: Command): string {
  return `breadbox ${name}: ${command.summary}

Usage: breadbox ${`${name} ${command.synopsis}`.trimEnd()} [options]

${optionLines({ ...command.options, ...HELP })}

Examples:
${command.examples.map((example) => `  ${example}`).join("\n")}
`;
}
