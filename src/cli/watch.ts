/** The subcommand `watch`: the changes under a prefix as they happen. */
import { type Cache, CacheError, type Change } from "../client/client";
import type { Command, Terminal } from "./command";
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
      let seen = 0;
      try {
        const changes = changesOf(cache, parsed.positionals[0] ?? "", terminal, terminal.interrupted);
        for await (const change of changes) {
          await terminal.write(`${json ? JSON.stringify(change) : changeText(change)}\n`);
          if (++seen === count) break;
        }
      } catch (error) {
        if (!(error instanceof CacheError) || error.code !== "aborted") throw error;
      }
      return Exit.OK;
    }),
};

/** The changes under a prefix, from the moment on that is said. Throws as a watch does. */
export async function* changesOf(
  cache: Cache,
  prefix: string,
  terminal: Terminal,
  signal: AbortSignal,
): AsyncGenerator<Change, void, undefined> {
  const changes = cache.watch(prefix, { signal });
  let next = changes.next();
  next.catch(() => {});
  try {
    // Answered after the watch, also by a refusal, as read tokens get it: from here on nothing is missed.
    await cache.ping({ signal }).catch((error: unknown) => {
      if (!(error instanceof CacheError) || error.code !== "forbidden") throw error;
    });
    terminal.say(`watching ${JSON.stringify(prefix)}`);
    for (;;) {
      const { value } = await next;
      if (value === undefined) return;
      yield value;
      next = changes.next();
    }
  } finally {
    await changes.return?.();
  }
}

export function changeText(change: Change): string {
  if (change.reset !== undefined) return `reset ${JSON.stringify(change.reset)}`;
  return `changed ${JSON.stringify(change.key)} ${change.version}`;
}
