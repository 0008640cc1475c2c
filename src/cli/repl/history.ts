/**
 * The lines of earlier sessions, in a file that only its owner may read. What may be secret does not get there: the caller
 * leaves out lines with values, and lines that were no right usage, such as those meant for another program.
 */
import {
  closeSync,
  fchmodSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";

/** So many lines are offered again. */
export const HISTORY_LINES_MAX = 1000;
/** A longer line is not kept. */
export const HISTORY_LINE_MAX = 4096;
/** No more is read, and a larger file is made smaller. */
export const HISTORY_BYTES_MAX = 256 * 1024;
const OWNER_ONLY = 0o600;
const OWNER_ONLY_DIRECTORY = 0o700;

export class History {
  /** Newest first. */
  readonly lines: string[] = [];
  private fd: number | null = null;

  /**
   * Opens a file, which is created where there is none, or no file at all for "".
   * @param say told once when no history can be kept, and why
   */
  constructor(
    file: string,
    private readonly say: (problem: string) => void,
  ) {
    if (file !== "") this.attempt(() => this.open(file));
  }

  add(line: string): void {
    const { fd } = this;
    if (fd === null || line.length > HISTORY_LINE_MAX) return;
    this.attempt(() => writeSync(fd, `${line}\n`));
  }

  close(): void {
    if (this.fd !== null) closeSync(this.fd);
    this.fd = null;
  }

  private open(file: string): void {
    mkdirSync(dirname(file), { recursive: true, mode: OWNER_ONLY_DIRECTORY });
    this.fd = openSync(file, "a+", OWNER_ONLY);
    const stat = fstatSync(this.fd);
    if (!stat.isFile()) throw new Error(`${file} is no file`);
    fchmodSync(this.fd, OWNER_ONLY);
    const lines = lastLines(this.fd, stat.size);
    this.lines.push(...lines.slice(-HISTORY_LINES_MAX).reverse());
    if (stat.size <= HISTORY_BYTES_MAX && lines.length <= 2 * HISTORY_LINES_MAX) return;
    const next = `${file}.${process.pid}`;
    writeFileSync(next, this.lines.toReversed().join("\n").concat("\n"), { mode: OWNER_ONLY });
    renameSync(next, file);
    closeSync(this.fd);
    this.fd = openSync(file, "a", OWNER_ONLY);
  }

  private attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.close();
      this.say(`no history is kept: ${(error as Error).message}`);
    }
  }
}

/** Of the file's last HISTORY_BYTES_MAX; a line that begins before them is left out. */
function lastLines(fd: number, size: number): string[] {
  const bytes = Buffer.alloc(Math.min(size, HISTORY_BYTES_MAX));
  const length = readSync(fd, bytes, 0, bytes.length, size - bytes.length);
  const text = bytes.toString("utf8", 0, length);
  const whole = size > bytes.length ? text.slice(text.indexOf("\n") + 1) : text;
  return whole.split("\n").filter((line) => line !== "");
}

/** Where it is when nobody says otherwise (XDG Base Directory Specification). */
export function historyFile(environment: Record<string, string | undefined>): string {
  const { XDG_STATE_HOME: state = "" } = environment;
  return join(isAbsolute(state) ? state : join(homedir(), ".local/state"), "breadbox/history");
}
