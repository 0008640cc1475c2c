/** The near cache as callers see it. */
import { keyUnder } from "../scope";
import type { NearCounts, Rules } from "./rules";

/** Of `cache.near.stats()`: counts since `connect`, and what is held now. */
export interface NearStats extends NearCounts {
  /** Copies that went to make room for others. */
  evictions: number;
  /** Copies that are held, those of keys without an entry among them. */
  entries: number;
  /** What they take, as `maxBytes` counts it. */
  bytes: number;
}

/** `cache.near`: what the client holds itself. Of a client without a near cache it is always empty. A namespace has the keys of its own, and the counts of all. */
export class Near {
  /** Use `cache.near`. */
  constructor(
    private readonly rules: Rules,
    private readonly prefix: string,
  ) {}

  /**
   * Reads a value as text, at once, if `get` would answer from the near cache; never asks the server. Allocates nothing but the whole key, where a namespace has a prefix.
   * @returns the text; null when it is known that there is no entry; undefined when only the server could tell
   * @example
   * const client = await connect("ws://localhost:7171", { near: {} });
   * await client.put("name", "Breadbox");
   * await client.get("name"); // "Breadbox"
   * client.near.peek("name"); // "Breadbox"
   * await client.close();
   */
  peek(key: string): string | null | undefined {
    const copy = this.rules.find(keyUnder(this.prefix, key));
    return copy === undefined ? undefined : this.rules.textOf(this.rules.served(copy));
  }

  /**
   * What the near cache has done since `connect`, and what it holds now.
   * @example
   * const client = await connect("ws://localhost:7171", { near: { maxAgeMs: 500 } });
   * await client.put("name", "Breadbox");
   * await client.many(["name", "nothing"]); // ["Breadbox", null]
   * await client.get("name"); // "Breadbox"
   * const { hits, misses, entries } = client.near.stats();
   * [hits, misses, entries]; // [1, 2, 2]
   * await client.close();
   */
  stats(): NearStats {
    const { counts, copies } = this.rules;
    const { evictions, size, bytes } = copies;
    return { ...counts, evictions, entries: size, bytes };
  }
}
