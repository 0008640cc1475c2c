/** What is stored, as callers see it. */

/** Text is stored as UTF-8, bytes as they are. */
export type Value = string | Uint8Array | ArrayBuffer;

export interface Entry {
  bytes: Uint8Array;
  /** The bytes as UTF-8. */
  text: string;
  version: number;
  /** Remaining ms; null without expiry. */
  ttlMs: number | null;
}

export interface EntryInfo {
  version: number;
  ttlMs: number | null;
  /** Bytes of the value. */
  length: number;
}
