/** What this machine, or the container around the process, allows. Linux files; elsewhere the runtime's own figures. */
import { readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";

/** The machine, as far as the configuration depends on it. */
export interface Machine {
  readonly platform: NodeJS.Platform;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Files, connections among them, that the process may have open. */
  readonly filesMax: number;
  /** Connections that the kernel lets wait at one listener. */
  readonly backlogMax: number;
}

/** This machine, now. */
export function thisMachine(): Machine {
  return {
    platform: process.platform,
    cores: coresAllowed(),
    memoryBytes: memoryBytesAllowed(),
    filesMax: filesAllowed(),
    backlogMax: Number(readLine("/proc/sys/net/core/somaxconn") ?? Infinity),
  };
}

/** Another one after each start of the machine; empty where the machine has none. */
export function bootId(): string {
  return readLine("/proc/sys/kernel/random/boot_id") ?? "";
}

/** Bytes of memory the process may use: the smallest limit of its cgroups, or all there is. */
function memoryBytesAllowed(): number {
  const limits = [totalmem()];
  for (const path of cgroupPaths("memory")) {
    for (const file of ["memory.max", "memory.limit_in_bytes"]) {
      const limit = Number(readLine(`${path}/${file}`));
      if (limit > 0) limits.push(limit);
    }
  }
  return Math.min(...limits);
}

/** Cores the process may use: its CPU affinity, or its cgroup's quota where that is less. */
function coresAllowed(): number {
  const limits = [availableParallelism()];
  for (const path of cgroupPaths("cpu")) {
    const [quota, period] = (readLine(`${path}/cpu.max`) ?? "").split(" ").map(Number);
    if (quota! > 0 && period! > 0) limits.push(Math.ceil(quota! / period!));
  }
  return Math.max(1, Math.min(...limits));
}

/** The soft limit, which Bun has raised to the hard one by the time that we look. */
function filesAllowed(): number {
  const [, soft] = /^Max open files +(\S+)/m.exec(readText("/proc/self/limits") ?? "") ?? [];
  return /^[0-9]+$/.test(soft ?? "") ? Number(soft) : Infinity;
}

/** The process's cgroup and all above it, for version 2 and for version 1's controller. */
function cgroupPaths(controller: string): string[] {
  const paths: string[] = [];
  for (const line of (readText("/proc/self/cgroup") ?? "").split("\n")) {
    const [, controllers, path] = line.split(":");
    if (path === undefined) continue;
    const root = controllers === "" ? "/sys/fs/cgroup" : `/sys/fs/cgroup/${controller}`;
    if (controllers !== "" && !controllers!.split(",").includes(controller)) continue;
    const parts = path.split("/").filter((part) => part !== "");
    for (let depth = parts.length; depth >= 0; depth--)
      paths.push([root, ...parts.slice(0, depth)].join("/"));
  }
  return paths;
}

function readLine(file: string): string | undefined {
  return readText(file)?.split("\n", 1)[0];
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
