/** What the kernel says about a process. */
import { readdirSync, readFileSync } from "node:fs";

/** The kernel's unit in /proc/PID/stat. */
const TICKS_PER_SECOND = 100;

/** CPU time that the process has used so far, seconds. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Memory of the process that is in RAM. */
export function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) * 1024;
}

/** The most memory of the process that was in RAM at any moment so far. */
export function peakResidentBytes(pid: number): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) * 1024;
}

/** Stops a process with all its threads (SIGSTOP): its connections stay open and are not answered. */
export async function freeze(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  const stands = (task: string) =>
    readFileSync(`/proc/${pid}/task/${task}/stat`, "utf8").split(") ")[1]!.startsWith("T");
  while (!readdirSync(`/proc/${pid}/task`).every(stands))
    await new Promise((resolve) => setImmediate(resolve));
}

/** Lets it go on. */
export function thaw(pid: number): void {
  process.kill(pid, "SIGCONT");
}
