/** What somebody may have meant who asks for a subcommand that is not there. */
import { nearest } from "../config/nearest";

/** Names that people know from other programs. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  set: "put",
  setex: "put KEY VALUE --ttl TIME",
  setnx: "put KEY VALUE --if absent",
  mget: "get",
  getdel: "get KEY --delete",
  delete: "del",
  rm: "del",
  unlink: "del",
  incrby: "incr KEY AMOUNT",
  decr: "incr KEY -1",
  decrby: "incr KEY -AMOUNT",
  expire: "touch KEY --ttl TIME",
  pexpire: "touch KEY --ttl TIME",
  persist: "touch KEY",
  exists: "info",
  strlen: "info",
  ttl: "info",
  pttl: "info",
  subscribe: "watch",
  psubscribe: "watch",
  keys: "scan",
  ls: "scan",
  flushall: "clear --all",
  flushdb: "clear --all",
  dbsize: "stats",
  cli: "repl",
  shell: "repl",
};

/** What to say beside "unknown command", with a space before it; empty where nothing comes to mind. */
export function hintFor(name: string, names: readonly string[]): string {
  const lower = name.toLowerCase();
  if (names.includes(lower)) return ` (here it is ${lower})`;
  if (Object.hasOwn(OTHER_NAMES, lower)) return ` (here it is ${OTHER_NAMES[lower]})`;
  const near = nearest(lower, names);
  return near === null ? "" : ` (did you mean ${near}?)`;
}
