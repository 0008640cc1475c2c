/** The subcommands that read and write entries: get, put, del, scan. */
import { z } from "zod";
import { type Cache, connect, type PutCondition } from "../client/client";
import type { Command } from "./command";
import { trustOf, webSocketTrusting } from "./tls";
import { duration } from "./duration";
import { Exit } from "./exit";
import { CommandUsageError, DEFAULT_URL, type Parsed, SERVER_OPTIONS, whole } from "./usage";

const JSON_OPTION = { json: { help: "print JSON" } };
/** Keys are written together, as much at once. */
const WRITE_CHARACTERS = 16_384;

/** Connects as the options say, works, and closes. */
export async function withCache<T>({ values }: Parsed, work: (cache: Cache) => Promise<T>): Promise<T> {
  const trust = trustOf(values["tls-ca"]);
  const cache = await connect(values.url ?? DEFAULT_URL, {
    ...(trust !== undefined && { WebSocket: webSocketTrusting(trust) }),
    ...(values.token !== undefined && { token: values.token }),
    ...(values.timeout !== undefined && { timeoutMs: values.timeout, connectTimeoutMs: values.timeout }),
  });
  try {
    return await work(cache);
  } finally {
    await cache.close();
  }
}

export const get: Command = {
  summary: "print a value, its bytes exactly as they are",
  synopsis: "KEY",
  examples: ["breadbox get name", "breadbox get backup > backup.tar", "breadbox get name --json"],
  options: { ...SERVER_OPTIONS, ...JSON_OPTION },
  positionals: [1, 1],
  run: (parsed, terminal) =>
    withCache(parsed, async (cache) => {
      const key = parsed.positionals[0]!;
      const entry = await cache.getWithMeta(key);
      if (parsed.values.json) {
        const found = entry && {
          value: base64OrText(entry.bytes),
          version: entry.version,
          ttlMs: entry.ttlMs,
        };
        await terminal.write(
          `${JSON.stringify(found === null ? { key, found: false } : { key, found: true, ...found })}\n`,
        );
      } else if (entry === null) terminal.say(`there is no entry ${JSON.stringify(key)}`);
      else await terminal.write(entry.bytes);
      return entry === null ? Exit.MISS : Exit.OK;
    }),
};

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
    ...SERVER_OPTIONS,
    file: { value: "PATH", help: "the value is this file's content" },
    ttl: {
      value: "TIME",
      help: "the entry expires after this time: 500ms, 60s, 15m, 1h, 30d, or a number of milliseconds",
      schema: duration(1, Number.MAX_SAFE_INTEGER, "ms"),
      allowed: "a time above 0 such as 60s, 15m or 1h, or a whole number of milliseconds",
    },
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
    ...JSON_OPTION,
  },
  positionals: [1, 2],
  run: async (parsed, terminal) => {
    const { values, positionals } = parsed;
    const [key, text] = positionals;
    if ((text === undefined) === (values.file === undefined))
      throw new CommandUsageError(
        "a value is needed once: as an argument, as - for standard input, or with --file",
      );
    const value =
      values.file !== undefined
        ? await readFile(values.file)
        : text === "-"
          ? await terminal.readInput()
          : text!;
    const { ttl: ttlMs, "if-version": ifVersion } = values;
    if (values.if === "absent" && ifVersion !== undefined)
      throw new CommandUsageError("--if absent and --if-version contradict each other");
    const condition: PutCondition =
      values.if === "absent" ? { ifAbsent: true } : { ifPresent: values.if === "present", ifVersion };
    return withCache(parsed, async (cache) => {
      const version = await cache.put(key!, value, { ttlMs, ...condition });
      if (values.json)
        await terminal.write(`${JSON.stringify({ key, stored: version !== null, version })}\n`);
      else if (version === null) terminal.say("not stored: the condition does not hold");
      return version === null ? Exit.MISS : Exit.OK;
    });
  },
};

export const del: Command = {
  summary: "remove entries; exit code 1 when one was not there",
  synopsis: "KEY...",
  examples: ["breadbox del name", "breadbox scan old: --null | xargs -0 breadbox del --"],
  options: { ...SERVER_OPTIONS, ...JSON_OPTION },
  positionals: [1, Infinity],
  run: (parsed, terminal) =>
    withCache(parsed, async (cache) => {
      const removed = await Promise.all(parsed.positionals.map((key) => cache.delete(key)));
      if (parsed.values.json)
        await terminal.write(
          `${JSON.stringify(parsed.positionals.map((key, i) => ({ key, removed: removed[i] })))}\n`,
        );
      return removed.every(Boolean) ? Exit.OK : Exit.MISS;
    }),
};

export const scan: Command = {
  summary: "print the keys that start with a prefix, a line each",
  synopsis: "[PREFIX]",
  examples: [
    "breadbox scan user:",
    "breadbox scan --json | jq length",
    "breadbox scan old: --null | xargs -0 breadbox del --",
  ],
  options: {
    ...SERVER_OPTIONS,
    null: { help: "end each key with a null byte, for xargs -0: keys may have spaces and line breaks" },
    ...JSON_OPTION,
  },
  positionals: [0, 1],
  run: (parsed, terminal) => {
    const { json, null: nullBytes } = parsed.values;
    if (json && nullBytes) throw new CommandUsageError("--json and --null contradict each other");
    const end = nullBytes ? "\0" : "\n";
    return withCache(parsed, async (cache) => {
      // A scan may name a key twice; a list of keys should not.
      const seen = new Set<string>();
      let unwritten = "";
      for await (const key of cache.scan(parsed.positionals[0] ?? "")) {
        if (terminal.interrupted.aborted) return Exit.INTERRUPTED;
        if (seen.has(key)) continue;
        seen.add(key);
        if (!json) unwritten += key + end;
        if (unwritten.length < WRITE_CHARACTERS) continue;
        await terminal.write(unwritten);
        unwritten = "";
      }
      await terminal.write(json ? `${JSON.stringify([...seen])}\n` : unwritten);
      return Exit.OK;
    });
  },
};

async function readFile(path: string): Promise<Uint8Array> {
  try {
    return await Bun.file(path).bytes();
  } catch (error) {
    throw new CommandUsageError(`--file: ${(error as Error).message}`);
  }
}

function base64OrText(bytes: Uint8Array): string | { base64: string } {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { base64: Buffer.from(bytes).toString("base64") };
  }
}
