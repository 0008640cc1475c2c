/** The verbs: subcommands that ask a server over a connection, on the command line and at the prompt. */
import type { Command } from "./command";
import { get, scan } from "./read";
import { del } from "./remove";
import { ping, stats, watchStats } from "./server";
import { put } from "./write";

export const VERBS: Readonly<Record<string, Command>> = {
  get,
  put,
  del,
  scan,
  stats,
  "watch-stats": watchStats,
  ping,
};
