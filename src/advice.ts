/** What the operator should know before the first request: each finding one line, with the command that mends it. */
import { FILES_RESERVED, type Settings } from "./config";
import { isLoopback } from "./loopback";
import type { Machine } from "./machine";

/** The lines to warn with; none when all is well. */
export function adviceFor(settings: Settings, machine: Machine): string[] {
  return [
    adviceOnExposure(settings),
    adviceOnFiles(settings, machine),
    adviceOnBacklog(settings, machine),
  ].filter((line) => line !== null);
}

function adviceOnExposure({ host, isOpen }: Settings): string | null {
  if (isLoopback(host) || !isOpen) return null;
  return `listening on ${host} without a token: whoever reaches this port can read and write; set --token`;
}

function adviceOnFiles(settings: Settings, machine: Machine): string | null {
  const { connectionsWanted: wanted, connectionsMax: taken } = settings;
  if (taken === wanted) return null;
  const files = wanted + FILES_RESERVED;
  return (
    `the open-file limit of ${machine.filesMax} allows ${taken} connections instead of the ${wanted} of --max-connections: ` +
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
