/**
 * Makes the port ours, from before the workers listen on it until the server drains or the process is gone, however it
 * ends. The workers share the port by SO_REUSEPORT, and by that a second server would silently share it with them.
 *
 * On Linux: a listener without SO_REUSEPORT can be opened only where nobody has the port, on this address or one that
 * overlaps with it. Then its socket stops listening, stays bound, and tolerates sockets with SO_REUSEPORT beside it: the
 * workers'. Whoever claims the port in the same way is refused. Elsewhere the listener is only opened and closed.
 */
import { ptr } from "bun:ffi";
import { openLibc } from "../system/libc";

export class PortError extends Error {
  override name = "PortError";
}

export interface PortClaim {
  readonly port: number;
  /** Lets others have it as soon as nobody here listens on it. */
  release(): void;
}

/** Of two that claim a port in the same instant the kernel may refuse both, so they try again, a random moment later. */
const ATTEMPTS = 3;
const PAUSE_MS_MAX = 10;

/** Linux's, from fcntl.h and asm-generic/socket.h. */
const F_DUPFD_CLOEXEC = 1030;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const SHUT_RDWR = 2;

/** Resolves port 0 to a free one. Rejects with a PortError that says what to do. */
export async function claimPort(host: string, port: number): Promise<PortClaim> {
  for (let attempt = 1; ; attempt++) {
    try {
      // Only a port that was asked for by its number stays bound to a socket that no longer listens.
      return claim(host, port === 0 ? freePort(host) : port);
    } catch (error) {
      const problem = error as { code?: string; message: string };
      if (problem.code !== "EADDRINUSE" || attempt === ATTEMPTS)
        throw new PortError(describe(host, port, problem));
    }
    await Bun.sleep(1 + Math.random() * PAUSE_MS_MAX);
  }
}

function claim(host: string, port: number): PortClaim {
  const listener = listenAlone(host, port);
  try {
    return { port, release: stayBound(fileOf(listener)) };
  } finally {
    listener.stop(true);
  }
}

function freePort(host: string): number {
  const listener = listenAlone(host, 0);
  listener.stop(true);
  return listener.port;
}

function listenAlone(host: string, port: number) {
  return Bun.listen({ hostname: host, port, exclusive: true, socket: { data() {} } });
}

/** Bun's listeners have it, and Bun's types do not. */
function fileOf(listener: object): number {
  return (listener as { fd: number }).fd;
}

/** The socket of a listener stays bound when that is closed; returns what ends it. */
function stayBound(listening: number): () => void {
  const libc = openSocketCalls();
  if (libc === null) return () => {};
  const file = libc.fcntl(listening, F_DUPFD_CLOEXEC, 0);
  const set = (option: number, value: number) => {
    const bytes = Buffer.alloc(Int32Array.BYTES_PER_ELEMENT);
    bytes.writeInt32LE(value);
    libc.setsockopt(file, SOL_SOCKET, option, ptr(bytes), bytes.length);
  };
  // In this order there is no moment at which a socket of another program would be let in.
  set(SO_REUSEADDR, 0);
  set(SO_REUSEPORT, 1);
  libc.shutdown(file, SHUT_RDWR);
  return () => void libc.close(file);
}

function openSocketCalls() {
  if (process.platform !== "linux") return null;
  try {
    return openLibc({
      fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
      setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
      shutdown: { args: ["i32", "i32"], returns: "i32" },
      close: { args: ["i32"], returns: "i32" },
    });
  } catch {
    return null;
  }
}

function describe(host: string, port: number, error: { code?: string; message: string }): string {
  const where = `${host}:${port}`;
  switch (error.code) {
    case "EADDRINUSE":
      return `${where} is already in use; stop the other server or choose another --port`;
    case "EACCES":
      return `no permission to listen on ${where}; ports below 1024 need privileges`;
    case "EADDRNOTAVAIL":
      return `${host} is no address of this machine; see --host`;
    case undefined:
    case "ENOTFOUND":
      return `${host} is no name that this machine knows; see --host`;
    default:
      return `cannot listen on ${where}: ${error.message}`;
  }
}
