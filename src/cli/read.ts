/** The subcommands that read entries: get, info, scan. */
import type { Cache, Entry, EntryInfo } from "../client/client";
import { timeText } from "../system/duration";
import type { Command } from "./command";
import { Exit } from "./exit";
import { checkNull, eachKey, isListed, NULL_OPTION, sayMissing } from "./keys";
import { Output } from "./output";
import { CommandUsageError } from "./usage";

export const get: Command = {
  summary: "print values: of one key, its bytes exactly as they are; of several, a line each",
  synopsis: "KEY... | -",
  examples: [
    "breadbox get name",
    "breadbox get backup > backup.tar",
    "breadbox get name --json",
    "breadbox get name --delete",
    "breadbox scan user: --null | breadbox get --null -",
  ],
  options: {
    delete: {
      help: "remove each entry as it is read, in one operation: of all who do so, one gets the value",
    },
    null: {
      help: "end each value with a null byte, and not with a line break; keys of standard input, too",
    },
    json: {
      help: "print a line of JSON for each key; without it a missing one of several is an empty line",
    },
  },
  positionals: [1, Infinity],
  keys: Infinity,
  run: (parsed, terminal, withCache) => {
    const { json, null: nullBytes, delete: removes } = parsed.values;
    if (json && nullBytes && !isListed(parsed))
      throw new CommandUsageError(
        "--json and --null contradict each other, except for keys on standard input",
      );
    const isExact = parsed.positionals.length === 1 && !isListed(parsed);
    const end = nullBytes ? "\0" : isExact ? "" : "\n";
    const signal = terminal.interrupted;
    return withCache(parsed, (cache) =>
      eachKey(
        parsed,
        terminal,
        (key) => (removes ? taken(cache, key, signal) : cache.getWithMeta(key, { signal })),
        (key, entry, output) => {
          if (json) output.add(`${JSON.stringify(entryLine(key, entry))}\n`);
          else if (entry !== null) output.add(entry.bytes, end);
          else {
            sayMissing(key, terminal);
            if (!isExact) output.add(end);
          }
          return entry !== null;
        },
      ),
    );
  },
};

export const info: Command = {
  summary: "print size, version and remaining time of entries, a line each; does not count as a read",
  synopsis: "KEY... | -",
  examples: [
    "breadbox info name",
    "breadbox info name --json | jq .ttlMs",
    "breadbox scan user: | breadbox info -",
  ],
  options: { null: NULL_OPTION, json: { help: "print a line of JSON for each key" } },
  positionals: [1, Infinity],
  keys: Infinity,
  run: (parsed, terminal, withCache) => {
    checkNull(parsed);
    const signal = terminal.interrupted;
    return withCache(parsed, (cache) =>
      eachKey(
        parsed,
        terminal,
        (key) => cache.info(key, { signal }),
        (key, found, output) => {
          if (parsed.values.json) output.add(`${JSON.stringify({ key, found: found !== null, ...found })}\n`);
          else if (found !== null) output.add(`${infoLine(key, found)}\n`);
          else sayMissing(key, terminal);
          return found !== null;
        },
      ),
    );
  },
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
    null: { help: "end each key with a null byte, for xargs -0: keys may have spaces and line breaks" },
    json: { help: "print JSON, one array" },
  },
  positionals: [0, 1],
  keys: 1,
  run: (parsed, terminal, withCache) => {
    const { json, null: nullBytes } = parsed.values;
    if (json && nullBytes) throw new CommandUsageError("--json and --null contradict each other");
    const end = nullBytes ? "\0" : "\n";
    return withCache(parsed, async (cache) => {
      const output = new Output(terminal);
      // A scan may name a key twice; a list of keys should not.
      const seen = new Set<string>();
      const signal = terminal.interrupted;
      for await (const key of cache.scan(parsed.positionals[0] ?? "", { signal })) {
        if (seen.has(key)) continue;
        seen.add(key);
        if (!json) output.add(key, end);
        await output.writeIfLong();
      }
      if (json) output.add(`${JSON.stringify([...seen])}\n`);
      await output.flush();
      return Exit.OK;
    });
  },
};

/** What is known of an entry that was read. */
type Read = Pick<Entry, "bytes"> & Partial<Entry>;

async function taken(cache: Cache, key: string, signal: AbortSignal): Promise<Read | null> {
  const bytes = await cache.getBytesAndDelete(key, { signal });
  return bytes === null ? null : { bytes };
}

function entryLine(key: string, entry: Read | null): object {
  if (entry === null) return { key, found: false };
  const { bytes, version, ttlMs } = entry;
  return { key, found: true, value: base64OrText(bytes), version, ttlMs };
}

function infoLine(key: string, { length, version, ttlMs }: EntryInfo): string {
  const size = length === 1 ? "1 byte" : `${length} bytes`;
  const expiry = ttlMs === null ? "does not expire" : `expires in ${timeText(ttlMs)}`;
  return `${JSON.stringify(key)}  ${size}, version ${version}, ${expiry}`;
}

function base64OrText(bytes: Uint8Array): string | { base64: string } {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { base64: Buffer.from(bytes).toString("base64") };
  }
}
