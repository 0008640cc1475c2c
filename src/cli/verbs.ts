/** The verbs: subcommands that ask a server over a connection, on the command line and at the prompt. */
import type { Command } from "./command";
import { monitor } from "./monitor";
import { get, info, scan } from "./read";
import { clear, del } from "./remove";
import { ping, stats, watchStats } from "./server";
import { watch } from "./watch";
import { append, incr, put, touch } from "./write";

export const VERBS: Readonly<Record<string, Command>> = {
  get,
  put,
  del,
  info,
  touch,
  incr,
  append,
  scan,
  clear,
  watch,
  monitor,
  stats,
  "watch-stats": watchStats,
  ping,
};
