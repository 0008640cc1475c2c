/**
 * A driver for unstorage, the storage layer of Nitro and Nuxt, over one connection, and with `watch`. Its options are those of
 * unstorage's redis driver. The entry of `a:b` lies under `BASE:a:b`.
 *
 * Who needs no `watch` can do without this file: unstorage's http driver speaks with the server as it is.
 */
import type { Cache, ConnectOptions, Namespace, Value } from "../client/client";
import { type Tell, tellChanges } from "./changes";
import { removeAll } from "./groups";
import { Link } from "./link";

/** Of the driver, and those of `connect`; the defaults stand in brackets. */
export interface BreadboxDriverOptions extends ConnectOptions {
  /** ws:// or wss:// ("ws://localhost:7171"). */
  url?: string;
  /** A client instead of a URL and a connection's options, which whoever opened it closes (none). */
  client?: Cache;
  /** What all keys begin with, before a colon (none). */
  base?: string;
  /** Seconds after which entries expire that are set without a `ttl` of their own (never). */
  ttl?: number;
}

/** Options of one call; others are for other drivers. */
interface ItemOptions {
  /** Seconds until the entry expires. */
  ttl?: number;
}

export interface Item {
  key: string;
  options?: ItemOptions;
}

export type ItemMeta = {
  /** Seconds until it expires, rounded up; not there for what never does. */
  ttl?: number;
  /** Bytes of the value. */
  size: number;
};

/**
 * The driver, for `createStorage({ driver: breadboxDriver() })`. It connects with the first call; each call rejects with a
 * CacheError of the client.
 * @throws CacheError `invalid-argument` for a client together with a URL or options of a connection
 * @example
 * const driver = breadboxDriver({ url: "ws://localhost:7171", base: "app" });
 * await driver.setItem("user:42", "Ada", { ttl: 60 });
 * await driver.getItem("user:42"); // "Ada"
 * await driver.dispose();
 */
export default function breadboxDriver(options: BreadboxDriverOptions = {}) {
  const { url, client, base = "", ttl, ...connection } = options;
  const link = new Link({ client, url, options: connection });
  const watches = new Set<() => void>();
  const entries = (below = ""): Namespace => link.cache.namespace(prefixOf(base) + prefixOf(below));

  const put = async (key: string, value: Value, { ttl: own = ttl }: ItemOptions = {}): Promise<void> => {
    await entries().put(partsOf(key), value, own ? { ttlMs: Math.ceil(own * 1000) } : {});
  };

  return {
    name: "breadbox",
    options,
    getInstance: (): Cache => link.cache,

    hasItem: (key: string): Promise<boolean> => entries().has(partsOf(key)),
    getItem: (key: string): Promise<string | null> => entries().get(partsOf(key)),
    getItemRaw: (key: string): Promise<Uint8Array | null> => entries().getBytes(partsOf(key)),

    async getItems(items: readonly Item[]): Promise<{ key: string; value: string | null }[]> {
      const values = await entries().many(items.map(({ key }) => partsOf(key)));
      return items.map(({ key }, i) => ({ key, value: values[i]! }));
    },

    setItem: (key: string, value: string, own?: ItemOptions): Promise<void> => put(key, value, own),
    setItemRaw: (key: string, value: Value, own?: ItemOptions): Promise<void> => put(key, value, own),

    async setItems(items: readonly (Item & { value: string })[], common?: ItemOptions): Promise<void> {
      await Promise.all(items.map(({ key, value, options: own }) => put(key, value, { ...common, ...own })));
    },

    async removeItem(key: string): Promise<void> {
      await entries().delete(partsOf(key));
    },

    async getMeta(key: string): Promise<ItemMeta | null> {
      const info = await entries().info(partsOf(key));
      if (info === null) return null;
      const { ttlMs, length: size } = info;
      return ttlMs === null ? { size } : { size, ttl: Math.ceil(ttlMs / 1000) };
    },

    async getKeys(below = ""): Promise<string[]> {
      const prefix = prefixOf(below);
      const keys = new Set<string>();
      for await (const key of entries(below).scan()) keys.add(prefix + key);
      return [...keys];
    },

    async clear(below = ""): Promise<void> {
      await removeAll(entries(below));
    },

    async dispose(): Promise<void> {
      for (const end of watches) end();
      watches.clear();
      await link.close();
    },

    /**
     * Tells every change below `base`, whoever makes it, from when the promise resolves on. Where changes may have been missed, each
     * key that is there is told as an update; what was removed meanwhile, or cleared, is not told, nor is what expires.
     * @returns ends the watch
     */
    async watch(tell: Tell): Promise<() => void> {
      const end = await tellChanges(link.cache, entries(), tell);
      watches.add(end);
      return () => {
        watches.delete(end);
        end();
      };
    },
  };
}

/** A key as unstorage has it, its parts with colons between. */
function partsOf(key: string): string {
  return key.replaceAll(/[:/\\]+/g, ":").replaceAll(/^:|:$/g, "");
}

function prefixOf(base: string): string {
  const parts = partsOf(base);
  return parts === "" ? "" : `${parts}:`;
}
