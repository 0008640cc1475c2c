/**
 * Pushes of changes, gathered for one connection in the form that they have on the wire, within a bound.
 *
 *   CHANGED   0xF0 │ count u16 │ count times: version u64 │ keyLen u16 │ key
 *   RESET     0xF1 │ reason u8 │ keyLen u16 │ prefix
 *
 * Invariant: `length` bytes of `bytes` are whole pushes, at most PUSH_BYTES_MAX of them.
 */
import { isUtf8 } from "node:buffer";
import { Push, type ResetReason, TWO_32 } from "./wire";

/** Pushes that wait for a client that does not read. */
export const PUSH_BYTES_MAX = 64 * 1024;
const BYTES_START = 256;
const CHANGED_HEADER_BYTES = 3;
const CHANGED_KEY_BYTES = 10;
const RESET_HEADER_BYTES = 4;
const COUNT_MAX = 0xffff;
const NONE = -1;
const EMPTY = Buffer.alloc(0);

/** A key in somebody's buffer. */
export interface KeyBytes {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

export class PushWriter {
  length = 0;
  private bytes: Buffer = EMPTY;
  /** Where the CHANGED begins that further keys go into, or NONE. */
  private changedAt = NONE;
  /** Where the last RESET begins, if it is the last push. */
  private resetAt = NONE;

  /** @param version 0: whatever version is held is old. @returns false when there is no room */
  changed(version: number, key: KeyBytes): boolean {
    const keyBytes = key.end - key.start;
    if (this.changedAt !== NONE && this.bytes.readUInt16LE(this.changedAt + 1) === COUNT_MAX)
      this.changedAt = NONE;
    const header = this.changedAt === NONE ? CHANGED_HEADER_BYTES : 0;
    if (!this.ensure(header + CHANGED_KEY_BYTES + keyBytes)) return false;
    if (header > 0) this.beginChanged();
    const { bytes } = this;
    bytes.writeUInt16LE(bytes.readUInt16LE(this.changedAt + 1) + 1, this.changedAt + 1);
    let at = bytes.writeUInt32LE(version >>> 0, this.length);
    at = bytes.writeUInt32LE(Math.floor(version / TWO_32), at);
    at = bytes.writeUInt16LE(keyBytes, at);
    this.length = at + key.bytes.copy(bytes, at, key.start, key.end);
    return true;
  }

  /** An empty prefix stands for all keys: nothing that was gathered matters beside it. @returns false when there is no room */
  reset(reason: ResetReason, prefix: Buffer): boolean {
    if (prefix.length === 0) this.clear();
    else if (this.endsWithReset(reason, prefix)) return true;
    if (!this.ensure(RESET_HEADER_BYTES + prefix.length)) return false;
    this.resetAt = this.length;
    this.changedAt = NONE;
    this.bytes[this.length] = Push.RESET;
    this.bytes[this.length + 1] = reason;
    const at = this.bytes.writeUInt16LE(prefix.length, this.length + 2);
    this.length = at + prefix.copy(this.bytes, at);
    return true;
  }

  /** What was gathered; good until the next push. */
  view(): Buffer {
    return this.bytes.subarray(0, this.length);
  }

  /** After what was gathered has been sent, or when it no longer matters. */
  clear(): void {
    this.length = 0;
    this.changedAt = NONE;
    this.resetAt = NONE;
    if (this.bytes.length > BYTES_START) this.bytes = EMPTY;
  }

  private beginChanged(): void {
    this.changedAt = this.length;
    this.resetAt = NONE;
    this.bytes[this.length] = Push.CHANGED;
    this.length = this.bytes.writeUInt16LE(0, this.length + 1);
  }

  private endsWithReset(reason: ResetReason, prefix: Buffer): boolean {
    if (this.resetAt === NONE || this.bytes[this.resetAt + 1] !== reason) return false;
    return this.bytes.subarray(this.resetAt + RESET_HEADER_BYTES, this.length).equals(prefix);
  }

  private ensure(more: number): boolean {
    const needed = this.length + more;
    if (needed > PUSH_BYTES_MAX) return false;
    if (needed <= this.bytes.length) return true;
    const size = Math.min(PUSH_BYTES_MAX, Math.max(needed, 2 * this.bytes.length, BYTES_START));
    const larger = Buffer.allocUnsafeSlow(size);
    this.bytes.copy(larger, 0, 0, this.length);
    this.bytes = larger;
    return true;
  }
}

export interface JsonChange {
  readonly key: string;
  readonly encoding?: "base64";
  readonly version: number;
}

export type JsonPush =
  | { readonly push: "changed"; readonly keys: readonly JsonChange[] }
  | { readonly push: "reset"; readonly prefix: string; readonly encoding?: "base64" };

/** Gathered pushes as JSON objects. */
export function jsonPushes(bytes: Buffer): JsonPush[] {
  const pushes: JsonPush[] = [];
  for (let at = 0; at < bytes.length;) {
    if (bytes[at] === Push.RESET) {
      const end = at + RESET_HEADER_BYTES + bytes.readUInt16LE(at + 2);
      const { key: prefix, ...encoding } = keyFields(bytes.subarray(at + RESET_HEADER_BYTES, end));
      pushes.push({ push: "reset", prefix, ...encoding });
      at = end;
      continue;
    }
    const keys: JsonChange[] = [];
    const count = bytes.readUInt16LE(at + 1);
    at += CHANGED_HEADER_BYTES;
    for (let read = 0; read < count; read++) {
      const version = bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * TWO_32;
      const start = at + CHANGED_KEY_BYTES;
      at = start + bytes.readUInt16LE(at + 8);
      keys.push({ ...keyFields(bytes.subarray(start, at)), version });
    }
    pushes.push({ push: "changed", keys });
  }
  return pushes;
}

/** A key as text, and as base64 where it is no UTF-8. */
function keyFields(key: Buffer): { key: string; encoding?: "base64" } {
  if (isUtf8(key)) return { key: key.toString("utf8") };
  return { key: key.toString("base64"), encoding: "base64" };
}
