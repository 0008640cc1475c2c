/** Processes that open the kept memory; test/warm/opener.ts says what they do. */
import type { Order } from "../warm/opener";

const OPENER = new URL("../warm/opener.ts", import.meta.url).pathname;

/** Runs one to its end; each act's result in order, and the signal that killed it. */
export function runOpener(order: Order, wrap: string[] = []): { results: any[]; signal: unknown } {
  const child = Bun.spawnSync([...wrap, process.execPath, OPENER, JSON.stringify(order)], { stderr: "pipe" });
  const lines = child.stdout.toString().trim().split("\n").filter(Boolean);
  if (child.exitCode !== 0 && child.signalCode === undefined) throw new Error(child.stderr.toString());
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
