/** Entry of the server: reads the configuration, starts the supervisor, ends on a signal. */
import { version } from "../package.json";
import { EXIT_OS_ERROR, EXIT_USAGE, helpText, readInvocation, type Settings, UsageError } from "./config";
import { createLog, type Log } from "./log";
import { coresAllowed, memoryBytesAllowed } from "./machine";
import { PortError } from "./supervisor/port";
import { Supervisor } from "./supervisor/supervisor";

const EXIT_SIGNAL_BASE = 128;
const SIGNAL_NUMBERS = { SIGINT: 2, SIGTERM: 15 } as const;
const EXIT_DRAIN_INCOMPLETE = 1;

function fail(code: number, message: string): never {
  process.stderr.write(`breadbox: ${message}\n`);
  process.exit(code);
}

function readSettings(): Settings {
  try {
    const machine = { cores: coresAllowed(), memoryBytes: memoryBytesAllowed() };
    const invocation = readInvocation(process.argv.slice(2), process.env, machine);
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
  let signalled = false;
  for (const signal of Object.keys(SIGNAL_NUMBERS) as (keyof typeof SIGNAL_NUMBERS)[]) {
    process.on(signal, async () => {
      if (signalled) process.exit(EXIT_SIGNAL_BASE + SIGNAL_NUMBERS[signal]);
      signalled = true;
      log.info(`${signal}: answering what has come in, then closing; once more ends at once`);
      const whole = await supervisor.stop();
      if (!whole) log.warn("the drain timeout ended before every connection was closed");
      process.exit(whole ? 0 : EXIT_DRAIN_INCOMPLETE);
    });
  }
}

function warnAboutExposure(settings: Settings, log: Log): void {
  const local = ["127.0.0.1", "::1", "localhost"].includes(settings.host) || settings.host.startsWith("127.");
  if (!local && settings.token === undefined)
    log.warn(
      `listening on ${settings.host} without a token: whoever reaches this port can read and write; set --token`,
    );
}

function inMegabytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}

const settings = readSettings();
const log = createLog(settings.logLevel);
const supervisor = new Supervisor({ settings, version, log });
endOnSignals(supervisor, log);
try {
  await supervisor.start();
} catch (error) {
  if (error instanceof PortError) fail(EXIT_OS_ERROR, error.message);
  if (error instanceof RangeError)
    fail(
      EXIT_OS_ERROR,
      `${inMegabytes(settings.memoryBytes)} of memory can't be had: ${error.message}; see --memory`,
    );
  fail(EXIT_OS_ERROR, (error as Error).message);
}
warnAboutExposure(settings, log);
const host = settings.host.includes(":") ? `[${settings.host}]` : settings.host;
log.info(
  `breadbox ${version} serves http://${host}:${supervisor.port} with ${settings.workers} workers, ${settings.shards} shards, ${inMegabytes(settings.memoryBytes)}`,
);
