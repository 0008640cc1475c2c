/** What is stored, as callers see it. */

/** Text is stored as UTF-8, bytes as they are. */
export type Value = string | Uint8Array | ArrayBuffer;

/** An entry as `getWithMeta` reads it. */
export interface Entry {
  /** The value. */
  bytes: Uint8Array;
  /** The value as UTF-8. */
  text: string;
  /** Grows with every write of the key; for `ifVersion`. */
  version: number;
  /** Remaining milliseconds; null without expiry. */
  ttlMs: number | null;
  /** True where the value may be old: the server's store of record does not answer, and the server was told to go on without. */
  isStale?: boolean;
}

/** An entry as `info` sees it. */
export interface EntryInfo {
  version: number;
  /** Remaining milliseconds; null without expiry. */
  ttlMs: number | null;
  /** Bytes of the value. */
  length: number;
}
