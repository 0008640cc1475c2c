/** The subcommands that write entries: put, append, incr, touch. */
import { z } from "zod";
import type { PutCondition, Value } from "../client/client";
import type { Command, Terminal } from "./command";
import { duration } from "./duration";
import { Exit } from "./exit";
import { sayMissing } from "./keys";
import { CommandUsageError, type Option, type Parsed, whole } from "./usage";

const JSON_OPTION: Option = { help: "print JSON" };
const FILE_OPTION: Option = { value: "PATH", help: "the value is this file's content" };

function ttlOption(help: string): Option {
  return {
    value: "TIME",
    help: `${help}: 500ms, 60s, 15m, 1h, 30d, or a number of milliseconds`,
    schema: duration(1, Number.MAX_SAFE_INTEGER, "ms"),
    allowed: "a time above 0 such as 60s, 15m or 1h, or a whole number of milliseconds",
  };
}

export const put: Command = {
  summary: "store a value: an argument, - for standard input, or --file",
  synopsis: "KEY [VALUE | -]",
  examples: [
    "breadbox put name Breadbox",
    "breadbox put name Breadbox --ttl 60s --if absent",
    "tar c . | breadbox put backup -",
    "breadbox put logo --file logo.png",
  ],
  options: {
    file: FILE_OPTION,
    ttl: ttlOption("the entry expires after this time"),
    if: {
      value: "absent|present",
      help: "store only then",
      schema: z.enum(["absent", "present"]),
      allowed: "absent or present",
    },
    "if-version": {
      value: "N",
      help: "store only if the entry has this version",
      schema: whole(1, Number.MAX_SAFE_INTEGER),
      allowed: "a version",
    },
    json: JSON_OPTION,
  },
  positionals: [1, 2],
  keys: 1,
  hasValue: true,
  run: async (parsed, terminal, withCache) => {
    const { values, positionals } = parsed;
    const key = positionals[0]!;
    const value = await valueOf(parsed, terminal);
    const { ttl: ttlMs, "if-version": ifVersion } = values;
    if (values.if === "absent" && ifVersion !== undefined)
      throw new CommandUsageError("--if absent and --if-version contradict each other");
    const condition: PutCondition =
      values.if === "absent" ? { ifAbsent: true } : { ifPresent: values.if === "present", ifVersion };
    return withCache(parsed, async (cache) => {
      const signal = terminal.interrupted;
      const version = await cache.put(key, value, { ttlMs, signal, ...condition });
      if (values.json)
        await terminal.write(`${JSON.stringify({ key, stored: version !== null, version })}\n`);
      else if (version === null) terminal.say("not stored: the condition does not hold");
      return version === null ? Exit.MISS : Exit.OK;
    });
  },
};

export const append: Command = {
  summary: "append to a value, which must be there: an argument, - for standard input, or --file",
  synopsis: "KEY [VALUE | -]",
  examples: [
    "breadbox append name ', a cache'",
    "date | breadbox append log -",
    "breadbox append log --file today.log",
  ],
  options: { file: FILE_OPTION, json: JSON_OPTION },
  positionals: [1, 2],
  keys: 1,
  hasValue: true,
  run: async (parsed, terminal, withCache) => {
    const value = await valueOf(parsed, terminal);
    return withCache(parsed, async (cache) => {
      const key = parsed.positionals[0]!;
      const appended = await cache.append(key, value, { signal: terminal.interrupted });
      return foundOrNot({ key, appended }, appended, parsed, terminal);
    });
  },
};

export const incr: Command = {
  summary: "add to a counter, which begins at 0, and print it",
  synopsis: "KEY [AMOUNT]",
  examples: ["breadbox incr visits", "breadbox incr stock -3", "breadbox incr logins:ada --ttl 15m"],
  options: { ttl: ttlOption("a counter that this creates expires after this time"), json: JSON_OPTION },
  positionals: [1, 2],
  keys: 1,
  run: (parsed, terminal, withCache) => {
    const { values, positionals } = parsed;
    const key = positionals[0]!;
    const amount = wholeNumber(positionals[1] ?? "1");
    return withCache(parsed, async (cache) => {
      const number = await cache.add(key, amount, { ttlMs: values.ttl, signal: terminal.interrupted });
      // JSON.stringify takes no bigint, and no other number has all digits.
      await terminal.write(
        values.json ? `{"key":${JSON.stringify(key)},"number":${number}}\n` : `${number}\n`,
      );
      return Exit.OK;
    });
  },
};

export const touch: Command = {
  summary: "give an entry a new time to live; without --ttl it does not expire any more",
  synopsis: "KEY",
  examples: ["breadbox touch session:ada --ttl 30m", "breadbox touch name"],
  options: { ttl: ttlOption("the entry expires after this time, from now on"), json: JSON_OPTION },
  positionals: [1, 1],
  keys: 1,
  run: (parsed, terminal, withCache) =>
    withCache(parsed, async (cache) => {
      const key = parsed.positionals[0]!;
      const touched = await cache.touch(key, { ttlMs: parsed.values.ttl, signal: terminal.interrupted });
      return foundOrNot({ key, touched }, touched, parsed, terminal);
    }),
};

/** Reports a write that needs an entry. */
async function foundOrNot(
  report: { key: string; [result: string]: unknown },
  found: boolean,
  parsed: Parsed,
  terminal: Terminal,
): Promise<number> {
  if (parsed.values.json) await terminal.write(`${JSON.stringify(report)}\n`);
  else if (!found) sayMissing(report.key, terminal);
  return found ? Exit.OK : Exit.MISS;
}

/** The value that follows the key, wherever it comes from. */
async function valueOf({ values, positionals }: Parsed, terminal: Terminal): Promise<Value> {
  const text = positionals[1];
  if ((text === undefined) === (values.file === undefined))
    throw new CommandUsageError(
      "a value is needed once: as an argument, as - for standard input, or with --file",
    );
  if (values.file !== undefined) return readFile(values.file);
  return text === "-" ? Buffer.concat(await Array.fromAsync(terminal.input())) : text!;
}

async function readFile(path: string): Promise<Uint8Array> {
  try {
    return await Bun.file(path).bytes();
  } catch (error) {
    throw new CommandUsageError(`--file: ${(error as Error).message}`);
  }
}

function wholeNumber(text: string): bigint {
  const amount = /^[+-]?[0-9]{1,19}$/.test(text) ? BigInt(text) : null;
  if (amount === null || BigInt.asIntN(64, amount) !== amount)
    throw new CommandUsageError(`${JSON.stringify(text)} is not a whole number of 64 bits`);
  return amount;
}
