/** Reading a subcommand's arguments. */
import { parseArgs } from "node:util";
import { z } from "zod";
import { duration } from "./duration";

/** Wrong usage: one line, exit code 64. */
export class CommandUsageError extends Error {
  override name = "CommandUsageError";
}

export interface Option {
  /** One letter that stands for it. */
  short?: string;
  /** What stands for the value in the help; absent for a switch. */
  value?: string;
  help: string;
  /** Environment variables that stand in for it; the first that is set counts. */
  variables?: string[];
  schema?: z.ZodType;
  /** What is allowed, in words. */
  allowed?: string;
}

export type Options = Record<string, Option>;

/** Options that every subcommand has that talks to a server. */
export const SERVER_OPTIONS = {
  url: {
    value: "URL",
    help: "the server (http://localhost:7171); also BREADBOX_URL",
    variables: ["BREADBOX_URL"],
    schema: z.url({ protocol: /^(https?|wss?)$/ }),
    allowed: "a URL such as http://localhost:7171",
  },
  token: {
    value: "TOKEN",
    help: "the server's token; also BREADBOX_TOKEN, of which the first counts",
    variables: ["BREADBOX_TOKEN"],
    schema: z.string().transform((text) => text.trim().split(/\s+/)[0]),
  },
  "tls-ca": {
    value: "FILE",
    help: "certificates (PEM) to trust instead of the system's, for https and wss; also BREADBOX_TLS_CA",
    variables: ["BREADBOX_TLS_CA"],
  },
  timeout: {
    value: "TIME",
    help: "deadline of each request: 500ms, 5s, or a number of milliseconds (5s)",
    schema: duration(1, 600_000, "ms"),
    allowed: "a time such as 500ms or 5s, at most 10m",
  },
} satisfies Options;

export const DEFAULT_PORT = 7171;
export const DEFAULT_URL = `http://localhost:${DEFAULT_PORT}`;

/** A whole number in a range, from its text. */
export function whole(min: number, max: number) {
  return z
    .string()
    .regex(/^[0-9]{1,16}$/)
    .transform(Number)
    .refine((n) => n >= min && n <= max);
}

export interface Parsed {
  /** Checked values by option name; switches are true. */
  values: Record<string, any>;
  /** Names of the options that the command line itself has. */
  given: ReadonlySet<string>;
  positionals: string[];
}

/** No option is a digit, so this is an argument. parseArgs would take it for one. */
const NEGATIVE_NUMBER = /^-[0-9]/;
/** Before such an argument it makes parseArgs take it as it is. No argument of a process has this character. */
const ESCAPE = "\0";

/** Reads arguments by a table of options; throws CommandUsageError. */
export function parse(
  args: readonly string[],
  options: Options,
  environment: Record<string, string | undefined>,
): Parsed {
  const { values, positionals } = rawArguments(args, options);
  const checked: Record<string, any> = {};
  for (const [name, option] of Object.entries(options)) {
    const variable = option.variables?.find((candidate) => (environment[candidate] ?? "") !== "");
    const text = values[name] ?? (variable === undefined ? undefined : environment[variable]);
    if (text === undefined) continue;
    const result = option.schema?.safeParse(text);
    if (result && !result.success)
      throw new CommandUsageError(`--${name}: ${JSON.stringify(text)} is not ${option.allowed}`);
    checked[name] = result ? result.data : text;
  }
  return { values: checked, given: new Set(Object.keys(values)), positionals };
}

function rawArguments(args: readonly string[], options: Options) {
  try {
    const { values, positionals } = parseArgs({
      args: args.map((arg) => (NEGATIVE_NUMBER.test(arg) ? ESCAPE + arg : arg)),
      allowPositionals: true,
      options: Object.fromEntries(
        Object.entries(options).map(([name, { value, short }]) => [
          name,
          { type: value === undefined ? ("boolean" as const) : ("string" as const), ...(short && { short }) },
        ]),
      ),
    });
    return {
      values: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, unescaped(value)])),
      positionals: positionals.map(unescaped),
    };
  } catch (error) {
    const own = args.slice(0, args.includes("--") ? args.indexOf("--") : args.length);
    const unknown = own.find((arg) => /^-./.test(arg) && !isKnown(arg, options))?.split("=", 1)[0];
    if (unknown === undefined) throw new CommandUsageError((error as Error).message.split(".")[0]!);
    throw new CommandUsageError(
      `unknown option ${unknown}; --help lists the options, and after -- all are arguments`,
    );
  }
}

function unescaped<Value>(value: Value): Value {
  return typeof value === "string" && value.startsWith(ESCAPE) ? (value.slice(1) as Value) : value;
}

function isKnown(arg: string, options: Options): boolean {
  if (arg.startsWith("--")) return Object.hasOwn(options, arg.slice(2).split("=", 1)[0]!);
  return Object.values(options).some(({ short }) => short === arg.slice(1));
}

/** The lines of a help text that list options. */
export function optionLines(options: Options): string {
  const rows = Object.entries(options).map(
    ([name, { value, help }]) => [value === undefined ? `--${name}` : `--${name} ${value}`, help] as const,
  );
  const width = Math.max(...rows.map(([flag]) => flag.length));
  return rows.map(([flag, help]) => `  ${flag.padEnd(width)}  ${help}`).join("\n");
}
