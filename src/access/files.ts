/** Files with credentials, read whole: what is wrong with one is a line that names file and line number, never its content. */
import { readFileSync, statSync } from "node:fs";

/** A file that can't be used; the message is for the operator. */
export class CredentialsError extends Error {
  override name = "CredentialsError";
}

export interface Line {
  readonly number: number;
  readonly text: string;
}

/** Read or write permission of everybody. */
const OTHERS_MODE = 0o006;

export function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new CredentialsError(`${file}: can't be read (${(error as { code?: string }).code ?? "unknown"})`);
  }
}

/** The lines that say something: trimmed, without empty ones and comments. */
export function readLines(file: string): Line[] {
  return readText(file)
    .split("\n")
    .map((text, index) => ({ number: index + 1, text: text.trim() }))
    .filter(({ text }) => text !== "" && !text.startsWith("#"));
}

export function problemAt(file: string, line: Line, problem: string): CredentialsError {
  return new CredentialsError(`${file}, line ${line.number}: ${problem}`);
}

/** A line for the log where every user of this machine may read the file. */
export function exposureWarnings(file: string): string[] {
  const mode = statSync(file, { throwIfNoEntry: false })?.mode ?? 0;
  return (mode & OTHERS_MODE) !== 0
    ? [`${file} is open to every user of this machine: chmod o= ${file}`]
    : [];
}
