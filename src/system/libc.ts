/** The system's C library, for the few calls that Bun has no function for. */
import { dlopen, type FFIFunction } from "bun:ffi";

const NAMES =
  process.platform === "darwin"
    ? ["libSystem.B.dylib"]
    : ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`];

/** The functions, ready to be called. Throws where there is no such library, or a function is not in it. */
export function openLibc<const Functions extends Record<string, FFIFunction>>(functions: Functions) {
  let problem: unknown;
  for (const name of NAMES) {
    try {
      return dlopen(name, functions).symbols;
    } catch (error) {
      problem = error;
    }
  }
  throw problem;
}
