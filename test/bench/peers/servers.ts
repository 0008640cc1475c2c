/**
 * Starts the servers that are compared, each as one process on a port of its own, and ends them by their own ids. A peer
 * that is not installed is no fault: `findPeer` says what is missing.
 */
import { createServer, connect } from "node:net";
import { tied } from "./children";
import { pinned } from "./cpu";

export interface RunningServer {
  readonly pid: number;
  readonly port: number;
  stop(): Promise<void>;
}

export const PEERS = ["redis", "memcached", "pogocache", "fasthttp"] as const;
export type PeerName = (typeof PEERS)[number];

interface Peer {
  program: string;
  version: string;
  command: (port: number) => string[];
}

const MAIN = new URL("../../../src/main.ts", import.meta.url).pathname;
const SERVES = /serves https?:\/\/\S+:(\d+) with/;
const START_MS_MAX = 10_000;
const POLL_MS = 5;

/** Where a peer is found and how it runs on one core; a text says what is missing. */
export function findPeer(name: PeerName): Peer | string {
  const program = PROGRAMS[name].path();
  if (program === null || program === "") return `${name} is missing: ${PROGRAMS[name].missing}`;
  if (Bun.which(program) === null) return `${name} is missing: ${program} is no program`;
  return {
    program,
    version: PROGRAMS[name].version(program),
    command: (port) => [program, ...PROGRAMS[name].flags(String(port))],
  };
}

const PROGRAMS: Record<
  PeerName,
  {
    path: () => string | null;
    missing: string;
    flags: (port: string) => string[];
    version: (program: string) => string;
  }
> = {
  redis: {
    path: () => Bun.which("redis-server"),
    missing: "install redis-server",
    flags: (port) => [
      ...["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
      ...["--io-threads", "1", "--loglevel", "warning", "--dir", "/tmp"],
    ],
    version: (program) => `Redis ${/v=(\S+)/.exec(outputOf(program, "--version"))?.[1] ?? ""}`,
  },
  memcached: {
    path: () => Bun.which("memcached"),
    missing: "install memcached",
    flags: (port) => [
      ...["-l", "127.0.0.1", "-p", port, "-U", "0", "-t", "1", "-m", "1024"],
      // Root may not run it without saying so.
      ...(process.getuid!() === 0 ? ["-u", "root"] : []),
    ],
    version: (program) => outputOf(program, "-V"),
  },
  pogocache: {
    path: () => process.env.BREADBOX_BENCH_POGOCACHE ?? null,
    missing: "set BREADBOX_BENCH_POGOCACHE to its program",
    flags: (port) => ["-h", "127.0.0.1", "-p", port, "--threads", "1", "--maxmemory", "1gb"],
    version: (program) => outputOf(program, "--version"),
  },
  fasthttp: {
    path: () => process.env.BREADBOX_BENCH_FASTHTTP ?? null,
    missing: "set BREADBOX_BENCH_FASTHTTP to a program built from test/bench/peers/fasthttp",
    flags: (port) => ["-port", port],
    version: (program) => outputOf(program, "-version"),
  },
};

function outputOf(program: string, flag: string): string {
  return Bun.spawnSync([program, flag]).stdout.toString().trim().split("\n", 1)[0]!;
}

/** Starts a peer and waits until it accepts connections. */
export async function startPeer(peer: Peer, cores: readonly number[] | null): Promise<RunningServer> {
  const port = await freePort();
  const child = tied(
    Bun.spawn(pinned(cores, peer.command(port)), {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
      env: { ...process.env, PORT: String(port), GOMAXPROCS: "1" },
    }),
  );
  const deadline = performance.now() + START_MS_MAX;
  while (!(await accepts(port))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      child.kill();
      throw new Error(`${peer.program} did not start:\n${await new Response(child.stderr).text()}`);
    }
    await Bun.sleep(POLL_MS);
  }
  return { pid: child.pid, port, stop: () => end(child) };
}

/**
 * Starts Breadbox and waits until it says that it serves.
 * @param main a checkout's src/main.ts, or a compiled `breadbox`
 */
export async function startBreadbox(
  main: string | undefined,
  flags: readonly string[],
  cores: readonly number[] | null,
): Promise<RunningServer> {
  const program =
    main === undefined || main.endsWith(".ts") ? [process.execPath, main ?? MAIN] : [main, "serve"];
  const command = [...program, "--port", "0", "--memory", "1gb", ...flags];
  const inherited = Object.entries(process.env).filter(
    ([name]) => name !== "PORT" && !name.startsWith("BREADBOX_"),
  );
  const child = tied(
    Bun.spawn(pinned(cores, command), {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
      env: Object.fromEntries(inherited),
    }),
  );
  const port = await servedPort(child.stderr);
  return { pid: child.pid, port, stop: () => end(child) };
}

/** Reads what the server says until it names its port, and goes on reading so that it never waits for us. */
async function servedPort(stderr: ReadableStream<Uint8Array>): Promise<number> {
  const reader = stderr
    .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
    .getReader();
  let log = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`the server did not start:\n${log}`);
    log += value;
    const port = SERVES.exec(log)?.[1];
    if (port === undefined) continue;
    void (async () => {
      while (!(await reader.read()).done);
    })();
    return Number(port);
  }
}

async function end(child: Bun.Subprocess): Promise<void> {
  child.kill("SIGTERM");
  await child.exited;
}

/** A port that nothing listens on. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
