/**
 * npx runs a command in a shell: npx ▸ sh ▸ this process, and under `npx bun run start` or the package's command without
 * Bun on the PATH some more (npx ▸ sh ▸ npx ▸ sh ▸ this process). npx passes its SIGTERM to the shell, and the shell to
 * nobody: the server would stay behind. So under npx, and only there, the end of any of them is taken for the signal that
 * was meant.
 */
import { readFileSync } from "node:fs";

const LOOK_MS = 250;
/** How npx calls itself in the list of processes. */
const NPX_TITLE = "npm exec";
/** As many processes may stand between npx and what it runs: its shell, and `bun run`. */
const BETWEEN_MAX = 2;

/** Calls once when npx, or what it started on the way to us, has ended. Elsewhere, and where there is no /proc, never. */
export function onNpxEnded(end: () => void): void {
  const line = lineToNpx();
  if (line.length === 0) return;
  const timer = setInterval(() => {
    if (line.every((pid, i) => parentOf(line[i - 1] ?? process.pid) === pid)) return;
    clearInterval(timer);
    end();
  }, LOOK_MS);
  timer.unref();
}

/** The processes above this one, from its parent to the npx that was called first; empty where there is none. */
function lineToNpx(): number[] {
  const line: number[] = [];
  let length = 0;
  for (let pid = parentOf(process.pid); pid !== undefined; pid = parentOf(pid)) {
    line.push(pid);
    if (titleOf(pid).startsWith(NPX_TITLE)) length = line.length;
    else if (line.length - length > BETWEEN_MAX) break;
  }
  return line.slice(0, length);
}

function parentOf(pid: number): number | undefined {
  // The name in parentheses may hold anything; state and parent follow it.
  const parent = Number(read(`/proc/${pid}/stat`).split(") ").at(-1)!.split(" ")[1]);
  return parent > 0 ? parent : undefined;
}

function titleOf(pid: number): string {
  return read(`/proc/${pid}/cmdline`);
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
