/**
 * A Redis or Valkey server as a child process, on loopback, without persistence, in a directory of its own. BREADBOX_TEST_ENGINE names the
 * program (`valkey-server`); without it, it is `redis-server`.
 *
 * A server that a test leaves behind is killed when the test's process ends, however it ends: by the kernel, since `bun test` runs no handlers of
 * `exit`.
 */
import { mkdtempSync, readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import type { Subprocess } from "bun";
import type { Certificate } from "./certificate";
import { type Argument, ConnectionLost, EngineClient, type EngineReply } from "./engine-client";
import { freeze, thaw } from "./process";
import { temporaryPath } from "./temporary";

export const ENGINE_PROGRAM = process.env.BREADBOX_TEST_ENGINE ?? "redis-server";

/** Between two looks at a state that nobody tells of. */
const LOOK_MS = 5;
/** A state that has not come after so long will not come. */
const STATE_MS_MAX = 30_000;
/** Below what the system gives to outgoing connections, so that none takes the port of a server that is down. */
const PORT_MIN = 10_000;
const PORT_END = 32_000;
const START_TRIES_MAX = 5;

/** A server dies with whoever started it. The process is the server's: setpriv becomes it. */
const TIED = ["setpriv", "--pdeathsig", "KILL"];

export interface EngineOptions {
  /** Further arguments, such as `["--maxmemory", "1mb"]`. */
  readonly flags?: readonly string[];
  /** requirepass: the password of the user `default`. */
  readonly password?: string;
  /** Speaks TLS, and nothing else, on its port. */
  readonly tls?: Certificate;
}

/**
 * Resolves with what `look` finds, as soon as that is neither null nor false. Throws when it does not come. A look that loses its connection has
 * found nothing: a master that becomes a replica ends those that wait.
 */
export async function until<Found>(
  what: string,
  look: () => Promise<Found | null | false> | Found | null | false,
): Promise<Found> {
  const deadline = performance.now() + STATE_MS_MAX;
  for (;;) {
    const found = await lookSafely(look);
    if (found !== null && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await Bun.sleep(LOOK_MS);
  }
}

async function lookSafely<Found>(look: () => Promise<Found> | Found): Promise<Found | null> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof ConnectionLost) return null;
    throw error;
  }
}

/** Ports that nothing listens on, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const held = new Map<number, () => void>();
  while (held.size < count) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_END - PORT_MIN));
    const release = await hold(port);
    if (release !== null) held.set(port, release);
  }
  held.forEach((release) => release());
  return [...held.keys()];
}

function hold(port: number): Promise<(() => void) | null> {
  return new Promise((resolve) => {
    const server = createServer()
      .on("error", () => resolve(null))
      .listen(port, "127.0.0.1", () => resolve(() => server.close()));
  });
}

/** Another process may take a port between the look and the start; then `start` throws and is called again. */
export async function withFreePorts<T>(count: number, start: (ports: number[]) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await start(await freePorts(count));
    } catch (error) {
      if (tries === START_TRIES_MAX || !(error as Error).message.includes("Address already in use"))
        throw error;
    }
  }
}

/** Starts a server that is no part of a cluster. */
export function startEngine(options: EngineOptions = {}): Promise<Engine> {
  return withFreePorts(1, async ([port]) => {
    const engine = new Engine(port!, options);
    await engine.start();
    return engine;
  });
}

export class Engine {
  readonly directory = mkdtempSync(temporaryPath("engine-"));
  private child: Subprocess | null = null;
  private client: EngineClient | null = null;

  constructor(
    readonly port: number,
    private readonly options: EngineOptions = {},
  ) {}

  /** As an origin's address has it. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get url(): string {
    const { password, tls } = this.options;
    return `${tls ? "rediss" : "redis"}://${password === undefined ? "" : `:${password}@`}${this.address}`;
  }

  get isRunning(): boolean {
    return this.child !== null;
  }

  get pid(): number {
    return this.child!.pid;
  }

  /** Starts the process, again on the same port where it ran before; resolves when it answers. */
  async start(): Promise<void> {
    const log = join(this.directory, "log");
    const child = Bun.spawn([...TIED, ENGINE_PROGRAM, ...this.flags()], {
      cwd: this.directory,
      stdin: "ignore",
      stdout: Bun.file(log),
      stderr: "ignore",
    });
    this.child = child;
    const isUp = await until("the server listens", async () => {
      if (child.exitCode !== null) return "ended";
      return (await listens(this.port)) && "up";
    });
    if (isUp === "ended") throw new Error(`${ENGINE_PROGRAM} ended:\n${readFileSync(log, "utf8")}`);
  }

  /** One command on a connection that is kept. Rejects with what the server answers when that is an error. */
  async command(...args: Argument[]): Promise<EngineReply> {
    return await this.connection().command(...args);
  }

  /** The same with bulk strings as Buffers. */
  async bytes(...args: Argument[]): Promise<EngineReply> {
    return await this.connection().bytes(...args);
  }

  /** A further connection, signed in; the test closes it. */
  connect(): EngineClient {
    const { password, tls } = this.options;
    const client = new EngineClient({ port: this.port, ...(tls && { ca: tls.cert }) });
    // Its failure is that of the next command.
    if (password !== undefined) client.command("AUTH", password).catch(() => {});
    return client;
  }

  /** A field of INFO. */
  async info(field: string): Promise<string | null> {
    const text = (await this.command("INFO", "everything")) as string;
    return new RegExp(`^${field}:(.*?)\\r?$`, "m").exec(text)?.[1] ?? null;
  }

  /** CLIENT KILL of all connections that track keys; how many there were. */
  async killTracking(): Promise<number> {
    const list = (await this.command("CLIENT", "LIST")) as string;
    const tracking = list.split("\n").filter((line) => /\bflags=\S*[tB]/.test(line));
    const killed = tracking.map((line) => this.command("CLIENT", "KILL", "ID", /\bid=(\d+)/.exec(line)![1]!));
    return (await Promise.all(killed)).filter((count) => count === 1).length;
  }

  /** kill −9; resolves when the process is gone. */
  async kill(): Promise<void> {
    const { child } = this;
    if (child === null) return;
    child.kill("SIGKILL");
    await child.exited;
    this.child = null;
    this.client?.close();
    this.client = null;
  }

  /** SIGSTOP: its connections stay open and are not answered. */
  freeze(): Promise<void> {
    return freeze(this.pid);
  }

  /** SIGCONT. */
  thaw(): void {
    thaw(this.pid);
  }

  private connection(): EngineClient {
    if (this.child === null) throw new ConnectionLost("the server does not run");
    if (this.client === null || !this.client.isOpen) this.client = this.connect();
    return this.client;
  }

  private flags(): string[] {
    const { flags = [], password, tls } = this.options;
    const port = String(this.port);
    return [
      ...["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--enable-debug-command", "yes"],
      ...(tls === undefined
        ? ["--port", port]
        : ["--port", "0", "--tls-port", port, "--tls-auth-clients", "no"].concat([
            "--tls-cert-file",
            tls.certFile,
            "--tls-key-file",
            tls.keyFile,
          ])),
      ...(password === undefined ? [] : ["--requirepass", password, "--masterauth", password]),
      ...flags,
    ];
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
