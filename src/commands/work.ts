/**
 * What turns are measured in. A request is 1; each 256 bytes of it, of its reply, and of what it copies within the store are
 * another 1; requests that look through pages or shards count more, as much as that takes.
 */
const BYTES_PER_WORK_SHIFT = 8;

export function workOfBytes(bytes: number): number {
  return bytes >>> BYTES_PER_WORK_SHIFT;
}
