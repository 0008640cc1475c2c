/**
 * How many connections may wait in the kernel until a worker takes them. Bun listens for 512 and has no option for it,
 * which a burst of new connections overruns: the kernel then drops their packets, and they come again a second later.
 * Calling listen(2) once more on a listening socket only sets that number, so that is done here, for every listener of
 * the process.
 */
import { ptr } from "bun:ffi";
import { readdirSync } from "node:fs";
import { openLibc } from "../system/libc";

/** Linux's, from asm-generic/socket.h. */
const SOL_SOCKET = 1;
const SO_ACCEPTCONN = 30;

/** Sets it for the listeners that exist now. Throws where the system has no such calls: Bun's own number stays then. */
export function widenBacklog(backlog: number): void {
  const libc = openLibc({
    listen: { args: ["i32", "i32"], returns: "i32" },
    getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  });
  const value = new Int32Array(1);
  const valueBytes = new Uint32Array(1);
  for (const name of readdirSync("/proc/self/fd")) {
    const file = Number(name);
    valueBytes[0] = value.byteLength;
    const isSocket = libc.getsockopt(file, SOL_SOCKET, SO_ACCEPTCONN, ptr(value), ptr(valueBytes)) === 0;
    if (isSocket && value[0] === 1) libc.listen(file, backlog);
  }
}
