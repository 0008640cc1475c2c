/**
 * Shell blocks of documents, run as they stand. Each non-empty line is a command. Lines after it that begin with `# ` say what it
 * prints, `…` for what is different each time. A line that starts a server does so for the rest of its block.
 */
import { mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { startServer, type TestServer } from "../support/server";
import { temporaryFile, temporaryPath } from "../support/temporary";

const ROOT = new URL("../../", import.meta.url).pathname;
const STARTS_SERVER =
  /^(?!.* --help)(?:[A-Z_]+=\S+ )*(npx --yes bun@[0-9.]+|bun) (run start|src\/main\.ts|src\/bin\.ts serve)\b/;

export interface Step {
  readonly command: string;
  /** Null where nothing is said about it. */
  readonly output: string | null;
}

export function stepsOf(block: string): Step[] {
  const steps: { command: string; output: string | null }[] = [];
  for (const line of block.split("\n")) {
    const last = steps.at(-1);
    if (line.startsWith("# ") && last !== undefined)
      last.output = (last.output === null ? "" : `${last.output}\n`) + line.slice(2);
    else if (line.trim() !== "") steps.push({ command: line, output: null });
  }
  return steps;
}

/** What went wrong, or null. */
export type Problem = {
  command: string;
  code: number;
  stdout: string;
  stderr: string;
  wanted?: string;
} | null;

/** A directory that looks like a checkout, where commands may leave files. */
export class Sandbox {
  private readonly directory = temporaryPath(`checkout-${crypto.randomUUID()}`);
  private readonly env: Record<string, string>;

  constructor() {
    const bin = join(this.directory, ".bin");
    mkdirSync(bin, { recursive: true });
    for (const name of readdirSync(ROOT))
      if (name !== ".git" && name !== "dist") symlinkSync(join(ROOT, name), join(this.directory, name));
    symlinkSync(process.execPath, join(bin, "bun"));
    symlinkSync(temporaryFile("npx", '#!/bin/sh\nshift 2\nexec bun "$@"\n', 0o700), join(bin, "npx"));
    temporaryFile(".curlrc", "silent\nshow-error\n");
    const { PORT: _, ...inherited } = process.env;
    this.env = {
      ...(inherited as Record<string, string>),
      PATH: `${bin}:${process.env.PATH}`,
      CURL_HOME: temporaryPath(""),
    };
  }

  /** Runs a block; what says `localhost:7171` talks to `server` until the block starts one of its own. */
  async run(block: string, server: TestServer): Promise<Problem> {
    let own: TestServer | null = null;
    let code = 0;
    try {
      for (const step of stepsOf(block)) {
        if (STARTS_SERVER.test(step.command)) own = await this.start(step.command);
        else {
          const problem = await this.runStep(step, own ?? server);
          if (problem !== null) return problem;
        }
      }
    } finally {
      code = (await own?.stop()) ?? 0;
    }
    return code === 0 ? null : { command: "SIGTERM", code, stdout: "", stderr: own!.log() };
  }

  private start(command: string): Promise<TestServer> {
    const { directory, env } = this;
    const launcher = () => ["sh", "-c", `cd "${directory}" && exec env ${command}`];
    return startServer({ env: { ...env, BREADBOX_PORT: "0" }, launcher });
  }

  private async runStep({ command, output }: Step, server: TestServer): Promise<Problem> {
    const { directory, env } = this;
    const child = Bun.spawn(["sh", "-c", command.replaceAll("localhost:7171", `localhost:${server.port}`)], {
      stdout: "pipe",
      stderr: "pipe",
      cwd: directory,
      env: { ...env, BREADBOX_URL: server.http },
    });
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    if (code !== 0) return { command, code, stdout, stderr };
    const isAsSaid = output === null || patternOf(output).test(stdout.trim());
    return isAsSaid ? null : { command, code, stdout, stderr, wanted: output };
  }
}

export function patternOf(output: string): RegExp {
  return new RegExp(`^${output.split("…").map(RegExp.escape).join("[^]+?")}$`);
}
