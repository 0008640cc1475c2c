/** The command line: finds the subcommand, reads its arguments, runs it, and turns what went wrong into an exit code. */
import { version } from "../../package.json";
import { CacheError } from "../client/client";
import { bench } from "./bench/bench";
import { type Command, OutputError, type Terminal } from "./command";
import { del, get, put, scan } from "./data";
import { EXIT_CODES, Exit, exitOf } from "./exit";
import { health, ping, stats, watchStats } from "./server";
import { token } from "./token";
import { CommandUsageError, optionLines, parse } from "./usage";
import { watch } from "./watch";

const COMMANDS: Record<string, Command> = {
  get,
  put,
  del,
  scan,
  watch,
  stats,
  "watch-stats": watchStats,
  ping,
  health,
  token,
  bench,
};
const HELP = { help: { short: "h", help: "this text" } };
/** Names that people know from other programs. */
const OTHER_NAMES: Record<string, string> = {
  set: "put",
  delete: "del",
  rm: "del",
  keys: "scan",
  ls: "scan",
  subscribe: "watch",
  monitor: "watch",
  info: "stats",
};
const SERVE_SUMMARY = "run the server; breadbox serve --help lists its flags";

/** @returns the exit code */
export async function runCommand(
  args: readonly string[],
  environment: Record<string, string | undefined>,
  terminal: Terminal,
): Promise<number> {
  const [name = "", ...rest] = args;
  try {
    if (["help", "--help", "-h", ""].includes(name)) return await help(name, rest, terminal);
    if (["version", "--version", "-v"].includes(name)) {
      await terminal.write(`breadbox ${version}\n`);
      return Exit.OK;
    }
    return await runNamed(name, rest, environment, terminal);
  } catch (error) {
    return failed(terminal, name, error);
  }
}

async function help(name: string, [topic]: readonly string[], terminal: Terminal): Promise<number> {
  const about = topic === undefined || topic === "serve" ? null : commandNamed(topic);
  await terminal.write(about === null ? helpText() : commandHelp(topic!, about));
  return name === "" ? Exit.USAGE : Exit.OK;
}

async function runNamed(
  name: string,
  args: readonly string[],
  environment: Record<string, string | undefined>,
  terminal: Terminal,
): Promise<number> {
  const command = commandNamed(name);
  const parsed = parse(args, { ...command.options, ...HELP }, environment);
  if (parsed.values.help) {
    await terminal.write(commandHelp(name, command));
    return Exit.OK;
  }
  const [min, max] = command.positionals;
  if (parsed.positionals.length < min || parsed.positionals.length > max)
    throw new CommandUsageError(`usage: breadbox ${name} ${command.synopsis}`.trimEnd());
  return await command.run(parsed, terminal);
}

function commandNamed(name: string): Command {
  if (Object.hasOwn(COMMANDS, name)) return COMMANDS[name]!;
  const other = Object.hasOwn(OTHER_NAMES, name) ? ` (here it is ${OTHER_NAMES[name]})` : "";
  throw new CommandUsageError(`unknown command ${JSON.stringify(name)}${other}; breadbox help lists them`);
}

function failed(terminal: Terminal, name: string, error: unknown): number {
  if (error instanceof OutputError && error.code === "EPIPE") return Exit.PIPE;
  const known = [CommandUsageError, CacheError, OutputError].some((kind) => error instanceof kind);
  if (!known) throw error;
  const about = Object.hasOwn(COMMANDS, name) ? `${name}: ` : "";
  if (error instanceof OutputError) {
    terminal.say(`breadbox: ${about}standard output: ${error.message}`);
    return Exit.OUTPUT;
  }
  terminal.say(`breadbox: ${about}${(error as Error).message}`);
  return error instanceof CacheError ? exitOf(error.code) : Exit.USAGE;
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
