/** A real server process for tests, on a port that the system chooses. Ended by its own id, never by name. */
import type { Subprocess } from "bun";

const MAIN = new URL("../../src/main.ts", import.meta.url).pathname;
const SERVES = /serves (https?):\/\/(\S+):(\d+) with/;

const RENEWED = "SIGHUP: in force";

export interface TestServer {
  readonly port: number;
  /** https:// and wss:// where it has a certificate. */
  readonly http: string;
  readonly ws: string;
  readonly process: Subprocess<"pipe", "pipe", "pipe">;
  /** What it wrote to standard error so far. */
  log(): string;
  /** Resolves when the log has the text. */
  logged(text: string | RegExp): Promise<void>;
  /** Resolves when the log has the text so many times. */
  loggedTimes(text: string, times: number): Promise<void>;
  /** Resolves with all that it wrote to standard error, when every process that had it is gone. */
  readonly silent: Promise<string>;
  /** SIGTERM; resolves with the exit code. */
  stop(signal?: "SIGTERM" | "SIGINT"): Promise<number>;
  /** SIGHUP; resolves when the files have been read again, whatever came of it. */
  renew(): Promise<void>;
}

export interface StartOptions {
  flags?: string[];
  env?: Record<string, string>;
  /** Another program than src/main.ts that prints the same line when it serves. */
  program?: string;
  /** Arguments before the flags. */
  before?: string[];
  /** Shell commands before it, such as `ulimit -n 100`. */
  shell?: string;
  /** Makes another command line of the flags: it starts the server in a process group of its own. */
  launcher?: (flags: string[]) => string[];
}

/** Starts a server and waits until it says that it serves. */
export async function startServer(options: StartOptions = {}): Promise<TestServer> {
  const child = spawnServer(
    [
      ...(options.before ?? []),
      "--port",
      "0",
      "--workers",
      "2",
      "--memory",
      "64mb",
      ...(options.flags ?? []),
    ],
    options,
  );
  const log = follow(child);
  const match = await log.until((text) => SERVES.exec(text), String(SERVES));
  const scheme = match[1]!;
  const port = Number(match[3]);
  return {
    port,
    http: `${scheme}://127.0.0.1:${port}`,
    ws: `${scheme.replace("http", "ws")}://127.0.0.1:${port}/ws`,
    process: child,
    log: () => log.text,
    silent: log.over,
    logged: async (text) => {
      const pattern = typeof text === "string" ? new RegExp(RegExp.escape(text)) : text;
      await log.until((log) => pattern.exec(log), String(pattern));
    },
    loggedTimes: async (text, times) =>
      void (await log.until(
        (log) => (log.split(text).length > times ? true : null),
        `${times} times ${text}`,
      )),
    renew: async () => {
      const before = log.text.split(RENEWED).length;
      child.kill("SIGHUP");
      await log.until((text) => (text.split(RENEWED).length > before ? true : null), "a renewal");
    },
    stop: async (signal = "SIGTERM") => {
      child.kill(signal);
      return await child.exited;
    },
  };
}

/** Runs the server where it is expected to end by itself. */
export async function runServer(
  flags: string[],
  env: Record<string, string> = {},
  shell?: string,
): Promise<{ code: number; stderr: string; stdout: string }> {
  const child = spawnServer(flags, { env, ...(shell !== undefined && { shell }) });
  const [stderr, stdout, code] = await Promise.all([
    new Response(child.stderr).text(),
    new Response(child.stdout).text(),
    child.exited,
  ]);
  return { code, stderr, stdout };
}

function spawnServer(flags: string[], options: StartOptions): Subprocess<"pipe", "pipe", "pipe"> {
  const { PORT: _, ...inherited } = process.env;
  const direct = [process.execPath, options.program ?? MAIN, ...flags];
  const command = options.launcher?.(flags) ?? direct;
  if (options.shell !== undefined) command.unshift("sh", "-c", `${options.shell}; exec "$@"`, "sh");
  return Bun.spawn(command, {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...inherited, ...options.env },
    detached: options.launcher !== undefined,
  });
}

/** Reads standard error as it comes, and lets tests wait for a line in it. */
function follow(child: Subprocess<"pipe", "pipe", "pipe">) {
  const waiting = new Set<() => void>();
  const over = Promise.withResolvers<string>();
  const state = {
    text: "",
    ended: false,
    over: over.promise,
    /** Resolves with what `find` finds, as soon as it does. */
    until<Found>(find: (text: string) => Found | null, what: string): Promise<Found> {
      return new Promise((resolve, reject) => {
        const look = () => {
          const found = find(state.text);
          if (found === null && !state.ended) return;
          waiting.delete(look);
          if (found !== null) resolve(found);
          else reject(new Error(`the server ended without ${what}:\n${state.text}`));
        };
        waiting.add(look);
        look();
      });
    },
  };
  const read = async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) {
      state.text += decoder.decode(chunk, { stream: true });
      for (const look of [...waiting]) look();
    }
    state.ended = true;
    over.resolve(state.text);
    for (const look of [...waiting]) look();
  };
  void read();
  return state;
}
