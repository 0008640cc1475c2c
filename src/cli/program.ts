/** Subcommands that are called by name: finds one, reads its arguments, runs it, and turns what went wrong into an exit code. */
import { CacheError } from "../client/client";
import { type Command, OutputError, type Terminal, type WithCache } from "./command";
import { Exit, exitOf } from "./exit";
import { hintFor } from "./names";
import { CommandUsageError, optionLines, parse } from "./usage";

export interface Program {
  readonly commands: Readonly<Record<string, Command>>;
  /** What is typed before a name: "breadbox " on the command line, nothing at the prompt. */
  readonly prefix: string;
  /** What its own messages on standard error begin with. */
  readonly speaker: string;
  /** Words that print a text; `help` is one of them. */
  readonly texts: Readonly<Record<string, string>>;
  /** The variables that stand in for options. */
  readonly environment: Record<string, string | undefined>;
  readonly withCache: WithCache;
}

const HELP = { help: { short: "h", help: "this text" } };

/** @returns the exit code */
export async function run(program: Program, words: readonly string[], terminal: Terminal): Promise<number> {
  const [name = "", ...args] = words;
  try {
    const [topic] = args;
    if (name === "help" && topic !== undefined) await terminal.write(helpOn(program, topic));
    else if (Object.hasOwn(program.texts, name)) await terminal.write(program.texts[name]!);
    else return await runNamed(program, name, args, terminal);
    return Exit.OK;
  } catch (error) {
    return failed(program, name, error, terminal);
  }
}

async function runNamed(program: Program, name: string, args: readonly string[], terminal: Terminal) {
  const command = commandNamed(program, name);
  const parsed = parse(args, { ...command.options, ...HELP }, program.environment);
  if (parsed.values.help) {
    await terminal.write(helpOn(program, name));
    return Exit.OK;
  }
  const [min, max] = command.positionals;
  if (parsed.positionals.length < min || parsed.positionals.length > max)
    throw new CommandUsageError(`usage: ${callOf(program, name)}`);
  return await command.run(parsed, terminal, program.withCache);
}

function commandNamed({ commands, prefix }: Program, name: string): Command {
  if (Object.hasOwn(commands, name)) return commands[name]!;
  const hint = hintFor(name, Object.keys(commands));
  throw new CommandUsageError(`unknown command ${JSON.stringify(name)}${hint}; ${prefix}help lists them`);
}

function failed(program: Program, name: string, error: unknown, terminal: Terminal): number {
  if (error instanceof OutputError && error.code === "EPIPE") return Exit.PIPE;
  const known = [CommandUsageError, CacheError, OutputError].some((kind) => error instanceof kind);
  if (!known) throw error;
  const about = program.speaker + (Object.hasOwn(program.commands, name) ? `${name}: ` : "");
  if (error instanceof OutputError) {
    terminal.say(`${about}standard output: ${error.message}`);
    return Exit.OUTPUT;
  }
  // Who pressed Ctrl-C knows it, and wants to hear no more than what is uncertain now.
  if (error instanceof CacheError && error.code === "aborted") {
    if (error.mayHaveHappened) terminal.say(`${about}interrupted; the write may have happened`);
    return Exit.INTERRUPTED;
  }
  terminal.say(about + (error as Error).message);
  return error instanceof CacheError ? exitOf(error.code) : Exit.USAGE;
}

function callOf({ commands, prefix }: Program, name: string): string {
  return `${prefix}${name} ${commands[name]!.synopsis}`.trimEnd();
}

function helpOn(program: Program, name: string): string {
  const { summary, options, examples } = commandNamed(program, name);
  return `${program.prefix}${name}: ${summary}

Usage: ${callOf(program, name)} [options]

${optionLines({ ...options, ...HELP })}

Examples:
${examples
  .filter((example) => program.prefix !== "" || isAlone(example))
  .map((example) => `  ${example.replace(/^breadbox /, program.prefix)}`)
  .join("\n")}
`;
}

/** Without pipes and redirections, which only a shell understands. */
function isAlone(example: string): boolean {
  return /^breadbox [^|<>]+$/.test(example);
}

/** Names and what they are, a line each. */
export function summaryLines(rows: readonly (readonly [name: string, summary: string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, summary]) => `  ${name.padEnd(width)}  ${summary}`).join("\n");
}

export function summariesOf(commands: Readonly<Record<string, Command>>): [string, string][] {
  return Object.entries(commands).map(([name, { summary }]) => [name, summary]);
}
