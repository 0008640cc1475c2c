/**
 * The program's own parts: where its threads begin, and how it is run once more. In a checkout these are files below src/. Compiled into one
 * executable (`bun run build:binary`), its entry points lie within that file, by their paths below src/, and the first one at the top.
 */

const HERE = import.meta.url;
const isCompiled = HERE.includes("/$bunfs/");

/** The file that a thread begins with. @param path below src/, without its ending; an entry point of build:binary */
export function entryUrl(path: string): URL {
  return isCompiled ? new URL(`./${path}.js`, HERE) : new URL(`../${path}.ts`, HERE);
}

/** The `breadbox` command: what comes before its arguments. */
export function ownCommand(): string[] {
  return isCompiled ? [process.execPath] : [process.execPath, entryUrl("bin").pathname];
}
