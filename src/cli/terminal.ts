/** The process that the command line runs in: its output, its input, and Ctrl-C. */
import { isatty } from "node:tty";
import { createInterface } from "node:readline";
import { confirmOn } from "./confirm";
import { OutputError, type Terminal } from "./command";
import { Exit } from "./exit";

/** What a command may still do after Ctrl-C, such as print what it has counted so far. */
const FAREWELL_MS = 1000;

export function terminal(): Terminal {
  // Standard error is closed, so there is no place to say why.
  process.stderr.on("error", () => {});
  const [hasKeyboard, isInteractive, saysToTerminal] = [isatty(0), isatty(1), isatty(2)];
  const interrupted = interruption();
  return {
    write,
    say: (text) => void process.stderr.write(`${text}\n`),
    input: () => Bun.stdin.stream(),
    confirm: hasKeyboard && saysToTerminal ? (question) => confirm(question, interrupted) : null,
    hasKeyboard,
    isInteractive,
    saysToTerminal,
    interrupted,
  };
}

async function confirm(question: string, interrupted: AbortSignal): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: false });
  try {
    return await confirmOn(lines, question, interrupted);
  } finally {
    lines.close();
  }
}

async function write(data: string | Uint8Array): Promise<void> {
  try {
    await Bun.write(Bun.stdout, data as Uint8Array<ArrayBuffer>);
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    throw new OutputError(code, message.replace(/^[A-Z]+: /, "").replace(/, write$/, ""));
  }
}

/** Aborted by the first Ctrl-C; a command that goes on all the same is ended, and the second Ctrl-C ends at once. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  process.once("SIGINT", () => {
    controller.abort();
    setTimeout(() => process.exit(Exit.INTERRUPTED), FAREWELL_MS).unref();
  });
  return controller.signal;
}
