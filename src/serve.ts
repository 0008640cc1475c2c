/** The server as a process: configuration in, a supervisor that runs, signals, exit codes, and what it says to its operator. */
import { version } from "../package.json";
import { adviceFor } from "./advice";
import { type Credentials, hasFiles, readCredentials, renewCredentials } from "./access/credentials";
import { CredentialsError } from "./access/files";
import { EXIT_OS_ERROR, EXIT_USAGE, helpText, readInvocation, type Settings, UsageError } from "./config";
import { createLog, type Log } from "./log";
import { type Machine, thisMachine } from "./machine";
import { onNpxEnded } from "./supervisor/npx";
import { Supervisor, type SupervisorOptions } from "./supervisor/supervisor";

const EXIT_SIGNAL_BASE = 128;
const SIGNAL_NUMBERS = { SIGINT: 2, SIGTERM: 15 } as const;
const EXIT_DRAIN_INCOMPLETE = 1;

function fail(code: number, message: string): never {
  process.stderr.write(`breadbox: ${message}\n`);
  process.exit(code);
}

function readSettings(args: readonly string[], program: string, machine: Machine): Settings {
  try {
    const invocation = readInvocation(args, process.env, machine);
    if (invocation.kind === "serve") return invocation.settings;
    process.stdout.write(invocation.kind === "help" ? helpText(program) : `breadbox ${version}\n`);
    process.exit(0);
  } catch (error) {
    if (error instanceof UsageError) fail(EXIT_USAGE, error.message);
    throw error;
  }
}

/** Reads the files that the settings name; warnings are for the log, once there is one. */
function loadCredentials(settings: Settings): { value: Credentials; warnings: string[] } {
  try {
    return readCredentials(settings);
  } catch (error) {
    if (error instanceof CredentialsError) fail(EXIT_USAGE, error.message);
    throw error;
  }
}

/** SIGHUP reads the files again. Without files it stays what it was: the end, as when a terminal is closed. */
function renewOnHangup(
  settings: Settings,
  credentials: Credentials,
  supervisor: Supervisor,
  log: Log,
  warn: (warnings: readonly string[]) => void,
): void {
  if (!hasFiles(settings)) return;
  let current = credentials;
  process.on("SIGHUP", async () => {
    const { value, warnings, problems } = renewCredentials(settings, current);
    current = value;
    const renewed = supervisor.renew(current);
    warn(warnings);
    for (const problem of problems) log.error(`SIGHUP: ${problem}; what was read before stays in force`);
    await renewed;
    log.info(
      `SIGHUP: read again: ${counted(current.tokens.length, "token")}, ${counted(current.secrets.length, "secret")}, ${current.tls === null ? "no TLS" : "TLS"}`,
    );
  });
}

/** Says each warning once, however often its file is read. */
function warnOnce(log: Log): (warnings: readonly string[]) => void {
  const said = new Set<string>();
  return (warnings) => {
    for (const warning of warnings) if (!said.has(warning)) log.warn(warning);
    for (const warning of warnings) said.add(warning);
  };
}

/** The first signal drains, the second ends at once. */
function endOnSignals(supervisor: Supervisor, log: Log): void {
  let draining = false;
  const end = async (reason: string, code: number) => {
    if (draining) process.exit(code);
    draining = true;
    log.info(`${reason}: answering what has come in, then closing; once more ends at once`);
    const whole = await supervisor.stop();
    if (!whole) log.warn("the drain timeout ended before every connection was closed");
    process.exit(whole ? 0 : EXIT_DRAIN_INCOMPLETE);
  };
  for (const [signal, number] of Object.entries(SIGNAL_NUMBERS))
    process.on(signal, () => void end(signal, EXIT_SIGNAL_BASE + number));
  onNpxEnded(() => void end("npx has ended", 0));
}

function inMegabytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

export interface ServeOptions extends Pick<SupervisorOptions, "workerUrl" | "newBackoff"> {
  /** Flags, as on the command line. */
  args: readonly string[];
  /** How it was called, for its help. */
  program?: string;
}

/** Serves until a signal ends the process. */
export async function serve({ args, program = "bun src/main.ts", ...options }: ServeOptions): Promise<void> {
  const machine = thisMachine();
  const settings = readSettings(args, program, machine);
  const log = createLog(settings.logLevel);
  const { value: credentials, warnings } = loadCredentials(settings);
  const { filesMax } = machine;
  const supervisor = new Supervisor({ settings, credentials, version, log, filesMax, ...options });
  const warn = warnOnce(log);
  endOnSignals(supervisor, log);
  renewOnHangup(settings, credentials, supervisor, log, warn);
  try {
    await supervisor.start();
  } catch (error) {
    failToStart(settings, error as Error);
  }
  warn([...adviceFor(settings, machine), ...warnings]);
  log.info(`breadbox ${version} serves ${describe(settings, supervisor.port)}`);
}

function failToStart(settings: Settings, error: Error): never {
  if (error instanceof RangeError)
    fail(
      EXIT_OS_ERROR,
      `${inMegabytes(settings.memoryBytes)} of memory can't be had: ${error.message}; see --memory`,
    );
  fail(EXIT_OS_ERROR, error.message);
}

function describe(settings: Settings, port: number): string {
  const host = settings.host.includes(":") ? `[${settings.host}]` : settings.host;
  const parts = [
    counted(settings.workers, "worker"),
    counted(settings.shards, "shard"),
    inMegabytes(settings.memoryBytes),
  ];
  const scheme = settings.tlsCert === undefined ? "http" : "https";
  return `${scheme}://${host}:${port} with ${parts.join(", ")}`;
}
