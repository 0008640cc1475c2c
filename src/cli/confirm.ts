/** Questions that are answered with yes or no. */
import type { Interface } from "node:readline";

/** Asks; y or yes is a yes, and everything else a no: also the end of the input, and the signal. */
export async function confirmOn(lines: Interface, question: string, signal: AbortSignal): Promise<boolean> {
  const answer = Promise.withResolvers<string>();
  const no = () => answer.resolve("no");
  lines.once("close", no);
  signal.addEventListener("abort", no);
  try {
    lines.question(`${question} [y/N] `, { signal }, answer.resolve);
    return /^y(es)?$/i.test((await answer.promise).trim());
  } finally {
    lines.off("close", no);
    signal.removeEventListener("abort", no);
  }
}
