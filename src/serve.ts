/** The server as a process: configuration in, a supervisor that runs, signals, exit codes, and what it says to its operator. */
import { version } from "../package.json";
import { adviceFor } from "./config/advice";
import { type Credentials, readCredentials } from "./access/credentials";
import { CredentialsError } from "./access/files";
import {
  EXIT_OS_ERROR,
  EXIT_SOFTWARE,
  EXIT_USAGE,
  helpText,
  readInvocation,
  type Settings,
  UsageError,
} from "./config/config";
import { createLog, type Log } from "./system/log";
import { type Machine, thisMachine } from "./system/machine";
import { onHangup } from "./supervisor/hangup";
import { onEnd } from "./supervisor/signals";
import { Supervisor, type SupervisorOptions } from "./supervisor/supervisor";
import { counted, mebibytes } from "./system/words";

const EXIT_DRAIN_INCOMPLETE = 1;

function fail(code: number, message: string): never {
  process.stderr.write(`breadbox: ${message}\n`);
  process.exit(code);
}

function readSettings(
  args: readonly string[],
  program: string,
  machine: Machine,
): { settings: Settings; warnings: string[] } {
  try {
    const invocation = readInvocation(args, process.env, machine);
    if (invocation.kind === "serve") return invocation;
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

/** Says each warning once, however often its file is read. */
function warnOnce(log: Log): (warnings: readonly string[]) => void {
  const said = new Set<string>();
  return (warnings) => {
    for (const warning of warnings) if (!said.has(warning)) log.warn(warning);
    for (const warning of warnings) said.add(warning);
  };
}

/** The first signal drains, the second ends at once. Returns what drains for another reason. */
function endOnSignals(supervisor: Supervisor, log: Log): (reason: string, exitCode: number) => void {
  const drain = async (reason: string, exitCode: number) => {
    log.info(`${reason}: answering what has come in, then closing; once more ends at once`);
    const whole = await supervisor.stop();
    if (!whole) log.warn("the drain timeout ended before every connection was closed");
    process.exit(exitCode === 0 && !whole ? EXIT_DRAIN_INCOMPLETE : exitCode);
  };
  return onEnd({
    drain: (reason, exitCode) => void drain(reason, exitCode),
    repeated: (reason) => log.debug(`${reason} again, from what the first came from: still answering`),
    endAtOnce: process.exit,
  });
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
  const { settings, warnings: aboutVariables } = readSettings(args, program, machine);
  const log = createLog(settings.logLevel);
  const { value: credentials, warnings: aboutFiles } = loadCredentials(settings);
  const { filesMax } = machine;
  const onStuck = () => end("a worker that cannot be ended", EXIT_SOFTWARE);
  const supervisor = new Supervisor({ settings, credentials, version, log, filesMax, onStuck, ...options });
  const warn = warnOnce(log);
  const end = endOnSignals(supervisor, log);
  const renew = (renewed: Credentials) => supervisor.renew(renewed);
  onHangup({ sources: settings, credentials, log, warn, renew });
  try {
    await supervisor.start();
  } catch (error) {
    failToStart(settings, error as Error);
  }
  warn([...aboutVariables, ...adviceFor(settings, machine), ...aboutFiles]);
  const beginning = supervisor.beginning === null ? "" : `; ${supervisor.beginning}`;
  log.info(`breadbox ${version} serves ${describe(settings, supervisor.port)}${beginning}`);
}

function failToStart(settings: Settings, error: Error): never {
  if (error instanceof RangeError)
    fail(
      EXIT_OS_ERROR,
      `${mebibytes(settings.memoryBytes)} MiB of memory can't be had: ${error.message}; see --memory`,
    );
  fail(EXIT_OS_ERROR, error.message);
}

function describe(settings: Settings, port: number): string {
  const host = settings.host.includes(":") ? `[${settings.host}]` : settings.host;
  const parts = [
    counted(settings.workers, "worker"),
    counted(settings.shards, "shard"),
    `${mebibytes(settings.memoryBytes)} MiB`,
  ];
  const scheme = settings.tlsCert === undefined ? "http" : "https";
  return `${scheme}://${host}:${port} with ${parts.join(", ")}`;
}
