/**
 * CPU time of another process and the cores it may use. The clock is the kernel's own account of a whole process, ended
 * threads included: utime + stime of /proc/PID/stat, in nanoseconds instead of ticks (clock_getcpuclockid(3)).
 */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { readFileSync } from "node:fs";

/** The clock that the scheduler keeps for a process, as <linux/posix-timers.h> numbers it. */
const CPUCLOCK_SCHED = 2;
/** As <linux/time.h> numbers it. */
const CLOCK_THREAD_CPUTIME_ID = 3;

const libc = dlopen("libc.so.6", {
  clock_gettime: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
});
/** struct timespec: seconds, nanoseconds. */
const time = new BigInt64Array(2);

/** CPU seconds that all threads of a process have used. Throws when there is no such process. */
export function cpuSeconds(pid: number): number {
  if (libc.symbols.clock_gettime((~pid << 3) | CPUCLOCK_SCHED, ptr(time)) !== 0)
    throw new Error(`process ${pid} has ended`);
  return Number(time[0]) + Number(time[1]) / 1e9;
}

/** CPU seconds that this thread has used: what others on the machine take does not count. */
export function threadSeconds(): number {
  libc.symbols.clock_gettime(CLOCK_THREAD_CPUTIME_ID, ptr(time));
  return Number(time[0]) + Number(time[1]) / 1e9;
}

/** The cores this process may use, by number. */
export function coresAllowed(): number[] {
  const list = /Cpus_allowed_list:\s*(\S+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]!;
  return list.split(",").flatMap((range) => {
    const [first, last = first] = range.split("-").map(Number) as [number, number?];
    return Array.from({ length: last! - first + 1 }, (_, i) => first + i);
  });
}

/** A command as it is run on these cores alone; on all where they are null. */
export function pinned(cores: readonly number[] | null, command: readonly string[]): string[] {
  return cores === null ? [...command] : ["taskset", "-c", cores.join(","), ...command];
}

/** Which cores the load and a server get. Null: any, because there is one core only, or no taskset. */
export interface Placement {
  load: number[] | null;
  server: number[] | null;
}

export function placement(): Placement {
  const [load, server] = coresAllowed();
  if (server === undefined || Bun.which("taskset") === null) return { load: null, server: null };
  return { load: [load!], server: [server] };
}
