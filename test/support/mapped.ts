/** Memory like that of a mapped file, without a file. Never given back: the tests need little, and their process ends. */
import type { MappedBytes } from "../../src/store/memory";
import { openLibc } from "../../src/system/libc";

/** Linux's, from mman.h. */
const PROT_READ_WRITE = 1 | 2;
const MAP_SHARED_ANONYMOUS = 1 | 32;

let libc: ReturnType<typeof open> | null = null;

function open() {
  return openLibc({ mmap: { args: ["u64", "u64", "i32", "i32", "i32", "i64"], returns: "u64" } });
}

export function mappedBytes(bytes: number): MappedBytes {
  libc ??= open();
  const address = Number(libc.mmap(0n, BigInt(bytes), PROT_READ_WRITE, MAP_SHARED_ANONYMOUS, -1, 0n));
  if (address >= Number.MAX_SAFE_INTEGER) throw new Error(`${bytes} bytes cannot be mapped`);
  return { address, bytes };
}
