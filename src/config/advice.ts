/** What the operator should know before the first request: each finding one line, with the command that mends it. */
import { FILES_RESERVED, type Settings } from "./config";
import { isLoopback } from "../system/loopback";
import type { Machine } from "../system/machine";
import { counted, mebibytes } from "../system/words";

/** The lines to warn with; none when all is well. */
export function adviceFor(settings: Settings, machine: Machine): string[] {
  return [
    adviceOnExposure(settings),
    adviceOnMemory(settings, machine),
    adviceOnFiles(settings, machine),
    adviceOnBacklog(settings, machine),
  ].filter((line) => line !== null);
}

function adviceOnExposure({ host, isOpen }: Settings): string | null {
  if (isLoopback(host) || !isOpen) return null;
  return `listening on ${host} without a token: whoever reaches this port can read and write; set --token`;
}

/** What a worker takes beside the buffers of its connections. */
const WORKER_BYTES = 40 * 2 ** 20;
/** For the kernel's own buffers, its file cache and other programs: a quarter, at most so much. */
const SYSTEM_SHARE = 0.25;
const SYSTEM_BYTES_MAX = 8 * 2 ** 30;

function adviceOnMemory(settings: Settings, { memoryBytes: all }: Machine): string | null {
  const { memoryBytes, workers, bufferedBytesMax } = settings;
  const workersNeed = workers * (WORKER_BYTES + bufferedBytesMax);
  const needed = Math.max(workersNeed, Math.min(all * SYSTEM_SHARE, SYSTEM_BYTES_MAX));
  if (all - memoryBytes >= needed) return null;
  const mends =
    all > 2 * needed
      ? `--memory ${mebibytes(all - needed)}mb leaves enough`
      : "take a smaller --memory, fewer --workers or a lower --max-buffered";
  return (
    `the store takes ${mebibytes(memoryBytes)} of the ${mebibytes(all)} MiB that this machine or its cgroup allows; ` +
    `workers and what their connections may hold need up to ${mebibytes(workersNeed)} more, ` +
    `and the kernel and other programs need some, too: ${mends}`
  );
}

function adviceOnFiles(settings: Settings, machine: Machine): string | null {
  const { connectionsWanted: wanted, connectionsMax: taken } = settings;
  if (taken === wanted) return null;
  const files = wanted + FILES_RESERVED;
  return (
    `the open-file limit of ${machine.filesMax} allows ${counted(taken, "connection")} instead of the ${wanted} of --max-connections: ` +
    `run "ulimit -n ${files}" first (docker run --ulimit nofile=${files}:${files}; systemd LimitNOFILE=${files})`
  );
}

function adviceOnBacklog({ backlog }: Settings, machine: Machine): string | null {
  if (backlog <= machine.backlogMax) return null;
  return (
    `the kernel lets ${machine.backlogMax} new connections wait instead of the ${backlog} of --backlog: ` +
    `run "sysctl -w net.core.somaxconn=${backlog}" on the host, or "ops/tune apply"`
  );
}
