/** Log lines on standard error: time, level, text. Nothing of a key, a value or a token is ever put in one. */

export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface Log {
  error(text: string): void;
  warn(text: string): void;
  info(text: string): void;
  debug(text: string): void;
}

export function createLog(level: LogLevel, write = writeToStandardError): Log {
  const lineOf = (name: LogLevel) => {
    if (LOG_LEVELS.indexOf(name) > LOG_LEVELS.indexOf(level)) return () => {};
    return (text: string) => write(`${new Date().toISOString()} ${name.padEnd(5)} ${text}\n`);
  };
  return { error: lineOf("error"), warn: lineOf("warn"), info: lineOf("info"), debug: lineOf("debug") };
}

/** Whoever read our standard error may be gone: then nobody hears us, which is no reason to end. */
process.stderr.on("error", () => {});

function writeToStandardError(line: string): void {
  process.stderr.write(line);
}

/** An error as text with its stack. */
export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? String(error)) : String(error);
}
