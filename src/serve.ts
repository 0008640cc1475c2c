/** The server as a process: configuration in, a supervisor that runs, signals, exit codes, and what it says to its operator. */
import { version } from "../package.json";
import { adviceFor } from "./advice";
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

function readSettings(args: readonly string[], machine: Machine): Settings {
  try {
    const invocation = readInvocation(args, process.env, machine);
    if (invocation.kind === "serve") return invocation.settings;
    process.stdout.write(invocation.kind === "help" ? helpText() : `breadbox ${version}\n`);
    process.exit(0);
  } catch (error) {
    if (error instanceof UsageError) fail(EXIT_USAGE, error.message);
    throw error;
  }
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
}

/** Serves until a signal ends the process. */
export async function serve({ args, ...options }: ServeOptions): Promise<void> {
  const machine = thisMachine();
  const settings = readSettings(args, machine);
  const log = createLog(settings.logLevel);
  const supervisor = new Supervisor({ settings, version, log, filesMax: machine.filesMax, ...options });
  endOnSignals(supervisor, log);
  try {
    await supervisor.start();
  } catch (error) {
    failToStart(settings, error as Error);
  }
  for (const line of adviceFor(settings, machine)) log.warn(line);
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
  return `http://${host}:${port} with ${parts.join(", ")}`;
}
