/** The subcommand `watch`: the changes under a prefix as they happen. */
import { CacheError, type Change } from "../client/client";
import type { Command } from "./command";
import { Exit } from "./exit";
import { whole } from "./usage";

export const watch: Command = {
  summary: "print changes of keys that begin with a prefix, as they happen; Ctrl-C ends it",
  synopsis: "[PREFIX]",
  examples: ["breadbox watch user:", "breadbox watch --json | jq .key", "breadbox watch lock: --count 1"],
  options: {
    count: {
      value: "N",
      help: "end after so many changes",
      schema: whole(1, 1e9),
      allowed: "a whole number from 1",
    },
    json: { help: "print a line of JSON for each change" },
  },
  positionals: [0, 1],
  keys: 1,
  run: (parsed, terminal, withCache) =>
    withCache(parsed, async (cache) => {
      const { count = Infinity, json } = parsed.values;
      const prefix = parsed.positionals[0] ?? "";
      const { interrupted } = terminal;
      const changes = cache.watch(prefix, { signal: interrupted });
      let next = changes.next();
      next.catch(() => {});
      try {
        // Answered after the watch: from here on nothing is missed.
        await cache.ping({ signal: interrupted });
        terminal.say(`watching ${JSON.stringify(prefix)}`);
        for (let seen = 0; seen < count; seen++, next = changes.next()) {
          const { value } = await next;
          if (value === undefined) break;
          await terminal.write(`${json ? JSON.stringify(value) : line(value)}\n`);
        }
        await changes.return?.();
      } catch (error) {
        if (!(error instanceof CacheError) || error.code !== "aborted") throw error;
      }
      return Exit.OK;
    }),
};

function line(change: Change): string {
  if (change.reset !== undefined) return `reset ${JSON.stringify(change.reset)}`;
  return `changed ${JSON.stringify(change.key)} ${change.version}`;
}
