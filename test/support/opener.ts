/** Processes that open the kept memory; test/warm/opener.ts says what they do. */
import type { Order } from "../warm/opener";

const OPENER = new URL("../warm/opener.ts", import.meta.url).pathname;

/** Runs one to its end; each act's result in order, and the signal that killed it. */
export function runOpener(order: Order): { results: any[]; signal: unknown } {
  return run([process.execPath, OPENER, JSON.stringify(order)]);
}

/**
 * Runs some, one after the other, in a mount namespace of their own; the results of all acts in order.
 * @param mounts shell commands before them
 */
export function runOpenersBehind(mounts: string, orders: Order[]): any[] {
  const script = `set -e; ${mounts}; for order; do "$BUN" "$OPENER" "$order"; done`;
  const command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"];
  return run([...command, ...orders.map((order) => JSON.stringify(order))]).results;
}

function run(command: string[]): { results: any[]; signal: unknown } {
  const child = Bun.spawnSync(command, { env: { ...process.env, BUN: process.execPath, OPENER } });
  if (child.exitCode !== 0 && child.signalCode === undefined) throw new Error(child.stderr.toString());
  const lines = child.stdout.toString().split("\n").filter(Boolean);
  return { results: lines.map((line) => JSON.parse(line)), signal: child.signalCode };
}

/** Starts one, and reads its lines. */
export function startOpener(order: Order) {
  const child = Bun.spawn([process.execPath, OPENER, JSON.stringify(order)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const lines = linesOf(child.stdout);
  return {
    /** The next act's result; undefined when it has ended. */
    next: async () => (await lines.next()).value,
    kill: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
    /** Ends its "wait". */
    goOn: async () => {
      await child.stdin.end();
      await child.exited;
    },
  };
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<any, undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    const lines = (text + decoder.decode(chunk, { stream: true })).split("\n");
    text = lines.pop()!;
    for (const line of lines) yield JSON.parse(line);
  }
}
