/** The subcommands that remove entries: del, clear. */
import type { Cache } from "../client/client";
import type { Command, Terminal } from "./command";
import { Exit } from "./exit";
import { checkNull, eachKey, NULL_OPTION, sayMissing } from "./keys";
import { CommandUsageError, type Parsed } from "./usage";

export const del: Command = {
  summary: "remove entries; exit code 1 when one was not there",
  synopsis: "KEY... | -",
  examples: [
    "breadbox del name",
    "breadbox scan old: --null | breadbox del --null -",
    "breadbox scan old: --null | xargs -0 breadbox del --",
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
        (key) => cache.delete(key, { signal }),
        (key, removed, output) => {
          if (parsed.values.json) output.add(`${JSON.stringify({ key, removed })}\n`);
          else if (!removed) sayMissing(key, terminal);
          return removed;
        },
      ),
    );
  },
};

export const clear: Command = {
  summary: "remove every entry whose key begins with a prefix, or all of them; print how many",
  synopsis: "PREFIX | --all",
  examples: ["breadbox clear user: --yes", "breadbox clear --all --yes"],
  options: {
    all: { help: "remove every entry that there is; an empty prefix is refused, since it may be a mistake" },
    yes: { help: "do not ask first; needed where there is no terminal to ask at" },
    json: { help: "print JSON" },
  },
  positionals: [0, 1],
  keys: 1,
  run: (parsed, terminal, withCache) => {
    const prefix = prefixOf(parsed);
    if (!parsed.values.yes && terminal.confirm === null)
      throw new CommandUsageError("it asks first, and there is no terminal to ask at; --yes answers for it");
    return withCache(parsed, async (cache) => {
      const signal = terminal.interrupted;
      if (!parsed.values.yes && !(await terminal.confirm!(await questionAbout(prefix, cache, terminal)))) {
        terminal.say("nothing was removed");
        return signal.aborted ? Exit.INTERRUPTED : Exit.MISS;
      }
      const removed = await cache.clear(prefix, { signal });
      await terminal.write(parsed.values.json ? `${JSON.stringify({ prefix, removed })}\n` : `${removed}\n`);
      return Exit.OK;
    });
  },
};

function prefixOf({ values, positionals: [prefix] }: Parsed): string {
  if (values.all && prefix !== undefined)
    throw new CommandUsageError("a prefix and --all contradict each other");
  if (!values.all && (prefix ?? "") === "")
    throw new CommandUsageError(
      prefix === undefined
        ? "a prefix is needed, or --all for every entry"
        : "an empty prefix is that of every key; --all says so",
    );
  return prefix ?? "";
}

async function questionAbout(prefix: string, cache: Cache, terminal: Terminal): Promise<string> {
  if (prefix !== "") return `remove every entry whose key begins with ${JSON.stringify(prefix)}?`;
  const { entries } = await cache.stats({ signal: terminal.interrupted });
  return `remove every entry (${Number(entries).toLocaleString("en")})?`;
}
