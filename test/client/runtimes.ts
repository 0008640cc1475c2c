/** The built client in processes of other runtimes than the tests' own: Bun, Node with the ws package, Node with its own WebSocket. */

const ROOT = new URL("../../", import.meta.url).pathname;

export interface Runtime {
  readonly name: string;
  readonly command: readonly string[];
  /** Defines `runtimeOptions`, what connect needs here. */
  readonly prelude: string;
}

export const BUN: Runtime = {
  name: "Bun",
  command: [process.execPath, "-e"],
  prelude: "const runtimeOptions = {};",
};
export const NODE_WS: Runtime = {
  name: "Node with the ws package",
  command: ["node", "--input-type=module", "-e"],
  prelude: 'import { WebSocket } from "ws"; const runtimeOptions = { WebSocket };',
};
export const NODE_OWN: Runtime = {
  name: "Node with its own WebSocket",
  // Node 20 has it, too, behind this flag.
  command: ["node", "--experimental-websocket", "--input-type=module", "-e"],
  prelude: "const runtimeOptions = {};",
};
export const RUNTIMES = [BUN, NODE_WS, NODE_OWN];

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

/** A process that runs the script, to which `connect` is imported, with `argument` as its parsed `argument`. */
export function start(runtime: Runtime, script: string, argument: unknown, env: Record<string, string> = {}) {
  if (Bun.which(runtime.command[0]!) === null) throw new Error("there is no node here to test with");
  const code = `
    import { CacheError, connect } from "./dist/client.js";
    ${runtime.prelude}
    const argument = ${JSON.stringify(argument)};
    ${script}
  `;
  return Bun.spawn([...runtime.command, code], {
    cwd: ROOT,
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...env },
  });
}

/** Runs the script to its end. */
export async function run(
  runtime: Runtime,
  script: string,
  argument: unknown,
  env: Record<string, string> = {},
): Promise<Ran> {
  const child = start(runtime, script, argument, env);
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}
