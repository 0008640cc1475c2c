/**
 * Reads command line and environment by the table of flags. Whatever is wrong is one line that names the flag or variable,
 * and never the value of one that is secret.
 */
import { parseArgs } from "node:util";
import { type Flag, FLAG_NAMES, FLAGS, type FlagName, type Given, VALUES, variableOf } from "./flags";
import { nearest } from "./nearest";

/** Wrong usage: one line for the user; the process ends with EXIT_USAGE. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** As the command line has them: a switch is true, what repeats is a list. */
export type RawFlags = Partial<Record<FlagName, string | true | string[]>> & {
  help?: boolean;
  version?: boolean;
};

export function parseFlags(args: readonly string[]): RawFlags {
  const options = Object.fromEntries(
    FLAG_NAMES.map((name) => {
      const { value, repeats }: Flag = FLAGS[name];
      const type = value === undefined ? ("boolean" as const) : ("string" as const);
      return [name, { type, multiple: repeats === true }];
    }),
  );
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...options,
        help: { type: "boolean", short: "h" },
        version: { type: "boolean", short: "v" },
      },
      allowPositionals: false,
    });
    return values as RawFlags;
  } catch (error) {
    throw new UsageError(`${usageProblem(args, error as Error)}; --help lists the flags`);
  }
}

/** In our words, without the value: it may be a token. */
function usageProblem(args: readonly string[], error: Error): string {
  const unknown = args.find((arg) => {
    if (!arg.startsWith("-")) return false;
    const name = arg.replace(/^--?/, "").split("=", 1)[0]!;
    return !Object.hasOwn(FLAGS, name) && !["help", "version", "h", "v"].includes(name);
  });
  if (unknown !== undefined) return unknownFlag(unknown.split("=", 1)[0]!);
  const code = (error as { code?: string }).code;
  if (code === "ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL") return strayArgument(args);
  const valued = args.find((arg) => {
    const [name, value] = arg.replace(/^--/, "").split("=", 2);
    return value !== undefined && isSwitch(name!);
  });
  if (valued !== undefined) return `${valued.split("=", 1)[0]} takes no value`;
  const valueless = args.find(
    (arg, i) => takesValue(arg.replace(/^--/, "")) && (args[i + 1] ?? "-").startsWith("-"),
  );
  return valueless === undefined ? "the flags can't be read" : `${valueless} needs a value`;
}

/** Words that people try before they know the flags. One is repeated in a message only if it is the name of a flag. */
function strayArgument(args: readonly string[]): string {
  const meant = args.find((arg) => [...FLAG_NAMES, "help", "version"].includes(arg));
  return `everything is a flag${meant === undefined ? "" : `; did you mean --${meant}?`}`;
}

function unknownFlag(flag: string): string {
  const meant = nearest(flag.replace(/^--?/, ""), FLAG_NAMES);
  return `unknown flag ${flag}${meant === null ? "" : `; did you mean --${meant}?`}`;
}

function takesValue(name: string): boolean {
  return Object.hasOwn(FLAGS, name) && !isSwitch(name);
}

function isSwitch(name: string): boolean {
  return Object.hasOwn(FLAGS, name) && (FLAGS[name as FlagName] as Flag).value === undefined;
}

/** Flags win over variables. Throws UsageError. */
export function readGiven(flags: RawFlags, environment: Record<string, string | undefined>): Given {
  const given: Record<string, unknown> = {};
  for (const name of FLAG_NAMES) {
    const found = textOf(name, flags, environment);
    if (found === null) continue;
    const { repeats }: Flag = FLAGS[name];
    const values = found.texts.map((text) => checked(name, text, found.source));
    given[name] = repeats ? values : values[0];
  }
  return given as Given;
}

/** What a flag, or else its variable, says. A variable holds several values with spaces between, since a token has none. */
function textOf(name: FlagName, flags: RawFlags, environment: Record<string, string | undefined>) {
  const flag = flags[name];
  if (flag !== undefined) return { source: `--${name}`, texts: [flag].flat().map(String) };
  const variables = [variableOf(name), ...(name === "port" ? ["PORT"] : [])];
  const variable = variables.find((candidate) => (environment[candidate] ?? "").trim() !== "");
  if (variable === undefined) return null;
  const text = environment[variable]!;
  const { repeats }: Flag = FLAGS[name];
  return { source: variable, texts: repeats ? text.trim().split(/\s+/) : [text] };
}

/** Variables of the command line and the benchmarks, which may be set where a server starts. */
const OTHER_VARIABLES = ["BREADBOX_URL", "BREADBOX_TLS_CA", "BREADBOX_HISTORY"];
const BENCH_PREFIX = "BREADBOX_BENCH_";
const PREFIX = "BREADBOX_";

/** A line for the log for each variable that looks like a setting and is none. Only its name is shown. */
export function unknownVariables(environment: Record<string, string | undefined>): string[] {
  const known = [...FLAG_NAMES.map(variableOf), ...OTHER_VARIABLES];
  return Object.keys(environment)
    .filter((name) => name.startsWith(PREFIX) && !name.startsWith(BENCH_PREFIX) && !known.includes(name))
    .map((name) => {
      const meant = nearest(
        name.slice(PREFIX.length),
        known.map((one) => one.slice(PREFIX.length)),
      );
      const hint = meant === null ? "--help lists the flags" : `did you mean ${PREFIX}${meant}?`;
      return `${name} is not a setting and changes nothing; ${hint}`;
    });
}

function checked(name: FlagName, text: string, source: string): unknown {
  const [schema, allowed] = VALUES[name];
  const result = schema.safeParse(text);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const detail: unknown = issue?.code === "custom" ? issue.params?.["detail"] : undefined;
  if (typeof detail === "string") throw new UsageError(`${source}: ${detail}`);
  const { secret }: Flag = FLAGS[name];
  throw new UsageError(`${source}: ${secret ? "its value" : JSON.stringify(text)} is not ${allowed}`);
}
