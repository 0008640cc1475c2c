/** Command line and environment in, one frozen Settings object out, or the text of --help. */
import { type Flag, FLAG_NAMES, FLAGS } from "./flags";
import { parseFlags, readGiven, unknownVariables } from "./parse";
import { type Settings, settle } from "./settle";
import type { Machine } from "../system/machine";

export { UsageError } from "./parse";
export { FILES_RESERVED, type Settings } from "./settle";

/** Exit codes of sysexits.h. */
export const EXIT_USAGE = 64;
export const EXIT_SOFTWARE = 70;
export const EXIT_OS_ERROR = 71;

export type Invocation =
  /** With what the operator should hear about the environment. */
  { kind: "serve"; settings: Settings; warnings: string[] } | { kind: "help" } | { kind: "version" };

/** Reads the command line and environment. Throws UsageError. */
export function readInvocation(
  args: readonly string[],
  environment: Record<string, string | undefined>,
  machine: Machine,
): Invocation {
  const flags = parseFlags(args);
  if (flags.help) return { kind: "help" };
  if (flags.version) return { kind: "version" };
  const settings = settle(readGiven(flags, environment), machine);
  return { kind: "serve", settings, warnings: unknownVariables(environment) };
}

/** The text of --help. @param program how the server is started here */
export function helpText(program: string): string {
  const rows = FLAG_NAMES.map((name) => {
    const { value, help }: Flag = FLAGS[name];
    return [value === undefined ? `--${name}` : `--${name} ${value}`, help] as const;
  });
  const width = Math.max(...rows.map(([flag]) => flag.length));
  const lines = rows.map(([flag, help]) => `  ${flag.padEnd(width)}  ${help}`);
  return `Breadbox: a cache server for the web, over HTTP and WebSocket.

Usage: ${program} [flags]

${lines.join("\n")}
  ${"--help".padEnd(width)}  this text
  ${"--version".padEnd(width)}  the version

Every flag is also an environment variable: --max-key is BREADBOX_MAX_KEY, --protect-metrics is
BREADBOX_PROTECT_METRICS=1. Flags win. Several tokens in a variable have spaces between them.

Examples:
  ${program} --memory 4gb
  BREADBOX_TOKEN=secret ${program} --host 0.0.0.0 --port 8080
  curl -X POST http://localhost:7171/put -d '{"key":"name","value":"Breadbox"}'
`;
}
