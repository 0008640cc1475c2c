/** The same entries, with values of type T stored as JSON text. */
import { invalid } from "./check";
import type { Entry, Value } from "./entry";
import type { PutOptions, RequestOptions } from "./options";

/** What it needs of the Cache. */
interface Texts {
  get(key: string, options?: RequestOptions): Promise<string | null>;
  getWithMeta(key: string, options?: RequestOptions): Promise<Entry | null>;
  put(key: string, value: Value, options?: PutOptions): Promise<number | null>;
}

export class JsonView<T> {
  constructor(private readonly cache: Texts) {}

  async get(key: string, options?: RequestOptions): Promise<T | null> {
    const text = await this.cache.get(key, options);
    return text === null ? null : (JSON.parse(text) as T);
  }

  async getWithMeta(
    key: string,
    options?: RequestOptions,
  ): Promise<(Omit<Entry, "bytes" | "text"> & { value: T }) | null> {
    const entry = await this.cache.getWithMeta(key, options);
    if (entry === null) return null;
    return { value: JSON.parse(entry.text) as T, version: entry.version, ttlMs: entry.ttlMs };
  }

  /** As Cache.put. Throws `invalid-argument` for what JSON cannot say (undefined, functions). */
  async put(key: string, value: T, options?: PutOptions): Promise<number | null> {
    const text = JSON.stringify(value) as string | undefined;
    if (text === undefined) throw invalid("value", "JSON cannot express it");
    return this.cache.put(key, text, options);
  }
}
