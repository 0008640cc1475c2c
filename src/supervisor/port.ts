/**
 * Finds out whether the port can be had, before workers listen on it together. With SO_REUSEPORT a second server would
 * silently share the port with the first; so one exclusive listener is opened and closed first.
 */

export class PortError extends Error {
  override name = "PortError";
}

/** Resolves port 0 to a free one. Throws PortError with what to do. */
export function claimPort(host: string, port: number): number {
  try {
    const listener = Bun.listen({ hostname: host, port, exclusive: true, socket: { data() {} } });
    const claimed = listener.port;
    listener.stop(true);
    return claimed;
  } catch (error) {
    throw new PortError(describe(host, port, error as { code?: string; message: string }));
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
    default:
      return `cannot listen on ${where}: ${error.message}`;
  }
}
