/** The subcommand that removes entries: del. */
import type { Command } from "./command";
import { checkNull, eachKey, NULL_OPTION, sayMissing } from "./keys";

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
