/** Where a namespace is: what the keys on the server begin with, and how long its entries live. */

export interface Scope {
  readonly prefix: string;
  /** Of writes that say no time to live; null: for ever. */
  readonly ttlMs: number | null;
}

/**
 * A key of a namespace as the server has it. An empty one, or what is no text, stays as it is and is refused as everywhere:
 * a user without an id must not become a key that all such users share.
 */
export function keyUnder(prefix: string, key: string): string {
  return key === "" ? key : prefixUnder(prefix, key);
}

/** The same for a prefix of keys; an empty one is all of the namespace. */
export function prefixUnder(prefix: string, asked: string): string {
  return typeof asked === "string" ? prefix + asked : asked;
}
