/**
 * Reads command line and environment by the table of flags. Whatever is wrong is one line that names the flag or variable,
 * and never the value of one that is secret.
 */
import { parseArgs } from "node:util";
import { FLAG_NAMES, FLAGS, type FlagName, type Given, VALUES } from "./flags";

/** Wrong usage: one line for the user; the process ends with EXIT_USAGE. */
export class UsageError extends Error {
  override name = "UsageError";
}

export type RawFlags = Partial<Record<FlagName, string>> & { help?: boolean; version?: boolean };

export function parseFlags(args: readonly string[]): RawFlags {
  const options = Object.fromEntries(FLAG_NAMES.map((name) => [name, { type: "string" as const }]));
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
  if (unknown !== undefined) return `unknown flag ${unknown.split("=", 1)[0]}`;
  const code = (error as { code?: string }).code;
  if (code === "ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL") return "unexpected argument: everything is a flag";
  const valueless = args.find(
    (arg, i) => Object.hasOwn(FLAGS, arg.replace(/^--/, "")) && (args[i + 1] ?? "-").startsWith("-"),
  );
  return valueless === undefined ? "the flags can't be read" : `${valueless} needs a value`;
}

/** Flags win over variables. Throws UsageError. */
export function readGiven(flags: RawFlags, environment: Record<string, string | undefined>): Given {
  const given: Record<string, unknown> = {};
  for (const name of FLAG_NAMES) {
    const variables = [
      `BREADBOX_${name.toUpperCase().replaceAll("-", "_")}`,
      ...(name === "port" ? ["PORT"] : []),
    ];
    const variable = variables.find((candidate) => (environment[candidate] ?? "") !== "");
    const text = flags[name] ?? (variable === undefined ? undefined : environment[variable]);
    if (text === undefined) continue;
    const source = flags[name] !== undefined ? `--${name}` : variable!;
    const [schema, allowed] = VALUES[name];
    const result = schema.safeParse(text);
    if (!result.success) {
      const shown = "secret" in FLAGS[name] ? "its value" : JSON.stringify(text);
      throw new UsageError(`${source}: ${shown} is not ${allowed}`);
    }
    given[name] = result.data;
  }
  return given as Given;
}
