/** Requests of watches and leases, by name. */
import { type Fields, request } from "./frames";

const META = 0x08;

export const get = (key: string) => request({ op: 1, flags: META, key });
export const getWatched = (key: string, version?: bigint) =>
  request({ op: 1, flags: META | 0x10, key, ...(version !== undefined && { version }) });
export const getIfNewer = (key: string, version: bigint) => request({ op: 1, flags: META, key, version });
export const put = (key: string, value: string, more: Partial<Fields> = {}) =>
  request({ op: 2, key, value: Buffer.from(value), ...more });
/** Answered with its version. */
export const putNumbered = (key: string, value: string) => put(key, value, { flags: 0x20 });
export const putWatched = (key: string, value: string) => put(key, value, { flags: 0x20 | 0x40 });
export const fill = (key: string, value: string, token: bigint) =>
  put(key, value, { flags: 0x20 | 0x80, version: token });
export const remove = (key: string) => request({ op: 3, key });
export const touch = (key: string, ttlMs: bigint) => request({ op: 4, key, ttlMs });
export const clear = (prefix: string) => request({ op: 9, key: prefix });
export const ping = () => request({ op: 10 });
export const watch = (prefix: string, flags = 0) => request({ op: 0x10, flags, key: prefix });
export const watchNoLoop = (prefix: string) => watch(prefix, 0x08);
export const unwatch = (prefix: string) => request({ op: 0x11, key: prefix });
export const unwatchKeys = () => request({ op: 0x11, flags: 0x08 });
export const lease = (
  key: string,
  { ttlMs, earlyMs, flags = META }: { ttlMs?: bigint; earlyMs?: bigint; flags?: number } = {},
) =>
  request({
    op: 0x12,
    flags,
    key,
    ...(ttlMs !== undefined && { ttlMs }),
    ...(earlyMs !== undefined && { value: u64(earlyMs) }),
  });
export const leaseOrWait = (key: string, ttlMs?: bigint) =>
  lease(key, { flags: META | 0x20, ...(ttlMs !== undefined && { ttlMs }) });
export const release = (key: string, token: bigint) => request({ op: 0x13, key, version: token });

function u64(n: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(n);
  return bytes;
}
