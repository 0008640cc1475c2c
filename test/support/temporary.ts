/** Files for one test run, in a directory of their own that goes with the process. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

let directory: string | undefined;

/** Writes a file that only its owner may read, unless another mode is given; returns its path. */
export function temporaryFile(name: string, content: string, mode = 0o600): string {
  const file = temporaryPath(name);
  rmSync(file, { force: true });
  writeFileSync(file, content, { mode });
  return file;
}

export function temporaryPath(name: string): string {
  if (directory === undefined) {
    const made = mkdtempSync(join(tmpdir(), "breadbox-"));
    directory = made;
    process.on("exit", () => rmSync(made, { recursive: true, force: true }));
  }
  return join(directory, name);
}
