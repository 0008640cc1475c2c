/** The same entries, with values of type T stored as JSON text. */
import { invalid } from "./check";
import type { Compute } from "./compute";
import type { Entry, Value } from "./entry";
import { CacheError } from "./errors";
import type { ComputeOptions, PutOptions, RequestOptions } from "./options";

/** What it needs of the Cache. */
interface Texts {
  get(key: string, options?: RequestOptions): Promise<string | null>;
  getWithMeta(key: string, options?: RequestOptions): Promise<Entry | null>;
  put(key: string, value: Value, options?: PutOptions): Promise<number | null>;
  getOrCompute(key: string, compute: Compute, options?: ComputeOptions): Promise<string>;
}

/** Made by `cache.json<T>()`. The type is the caller's word; what is read is not checked against it. */
export class JsonView<T> {
  /** Use `cache.json<T>()`. */
  constructor(private readonly cache: Texts) {}

  /**
   * Reads a value.
   * @returns the value, or null when there is no entry
   * @throws CacheError as every read; `not-json` when the entry holds no JSON
   * @example
   * const users = cache.json<{ name: string }>();
   * await users.put("user:1", { name: "Ada" });
   * await users.get("user:1"); // { name: "Ada" }
   * await users.get("user:2"); // null
   */
  async get(key: string, options?: RequestOptions): Promise<T | null> {
    const text = await this.cache.get(key, options);
    return text === null ? null : parsed<T>(text);
  }

  /**
   * Reads a value together with its version and its remaining time.
   * @returns the entry, `ttlMs` in milliseconds or null without expiry; null when there is no entry
   * @throws CacheError as every read; `not-json` when the entry holds no JSON
   * @example
   * const numbers = cache.json<number[]>();
   * const version = await numbers.put("primes", [2, 3]);
   * const entry = await numbers.getWithMeta("primes");
   * entry!.value; // [2, 3]
   * await numbers.put("primes", [...entry!.value, 5], { ifVersion: entry!.version });
   */
  async getWithMeta(
    key: string,
    options?: RequestOptions,
  ): Promise<(Omit<Entry, "bytes" | "text"> & { value: T }) | null> {
    const entry = await this.cache.getWithMeta(key, options);
    if (entry === null) return null;
    return { value: parsed<T>(entry.text), version: entry.version, ttlMs: entry.ttlMs };
  }

  /**
   * Stores a value as JSON; otherwise as `put` of the cache.
   * @returns the new version, or null when the condition did not hold
   * @throws CacheError as `put` of the cache; `invalid-argument` for what JSON cannot express (undefined, functions, bigints,
   *   circles)
   * @example
   * const flags = cache.json<boolean>();
   * await flags.put("maintenance", true, { ttlMs: 60_000 });
   * await flags.put("maintenance", false, { ifAbsent: true }); // null
   */
  async put(key: string, value: T, options?: PutOptions): Promise<number | null> {
    return this.cache.put(key, jsonOf(value), options);
  }

  /**
   * As `getOrCompute` of the cache.
   * @returns the value as JSON gives it back, also to who computed it
   * @throws CacheError as `getOrCompute` of the cache; `not-json` when the entry holds no JSON; `invalid-argument` for what JSON
   *   cannot express
   * @example
   * const users = cache.json<{ name: string }>();
   * await users.getOrCompute("user:1", async () => ({ name: "Ada" }), { ttlMs: 60_000 }); // { name: "Ada" }
   */
  async getOrCompute(key: string, compute: () => T | Promise<T>, options?: ComputeOptions): Promise<T> {
    return parsed<T>(await this.cache.getOrCompute(key, async () => jsonOf(await compute()), options));
  }
}

/** Throws `not-json`. */
export function parsed<T>(text: string): T {
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new CacheError("not-json", "the value is no JSON");
  }
}

function jsonOf(value: unknown): string {
  try {
    const text = JSON.stringify(value) as string | undefined;
    if (text !== undefined) return text;
  } catch {}
  throw invalid("value", "JSON cannot express it");
}
