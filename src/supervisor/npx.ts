/**
 * Under `npx bun run start` the processes are npx ▸ sh ▸ bun run ▸ this one. npx passes its SIGTERM to the shell, and
 * the shell to nobody: server and script would stay behind. So under npx, and only there, the end of that shell is
 * taken for the signal that was meant.
 */
import { readFileSync } from "node:fs";

const LOOK_MS = 250;
/** How npx calls itself in the list of processes. */
const NPX_TITLE = "npm exec";

/** Calls once when the shell that npx started for us has ended. Elsewhere, and where there is no /proc, never. */
export function onNpxEnded(end: () => void): void {
  const parent = process.ppid;
  const shell = parentOf(parent);
  if (shell === undefined || !titleOf(parentOf(shell)).startsWith(NPX_TITLE)) return;
  const timer = setInterval(() => {
    if (process.ppid === parent && parentOf(parent) === shell) return;
    clearInterval(timer);
    end();
  }, LOOK_MS);
  timer.unref();
}

function parentOf(pid: number): number | undefined {
  // The name in parentheses may hold anything; state and parent follow it.
  const parent = Number(read(`/proc/${pid}/stat`).split(") ").at(-1)!.split(" ")[1]);
  return parent > 0 ? parent : undefined;
}

function titleOf(pid: number | undefined): string {
  return pid === undefined ? "" : read(`/proc/${pid}/cmdline`);
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
