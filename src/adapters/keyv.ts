/**
 * A storage adapter for Keyv, and so for what takes Keyv stores: cacheable, cache-manager, Apollo. Its options, and what it does
 * with namespaces and errors, are those of @keyv/redis. It works with Keyv 5 and 6.
 *
 * An entry of the namespace N lies under the key `N::KEY`. Like every cache that fails, it must not take the program down: what
 * the server cannot answer is a miss, or `false`, and an `error` event.
 */
import { Keyv } from "keyv";
import { Cache, type ConnectOptions, type Namespace, type Value } from "../client/client";
import { Emitter } from "./emitter";
import { keyGroups, removeAll, removeWanted } from "./groups";
import { DEFAULT_URL, Link } from "./link";

export { Keyv };

/** How the adapter behaves; the defaults stand in brackets. */
export interface KeyvBreadboxBehaviour {
  /** What its keys begin with, before the separator (none). Keyv sets it to its own namespace. */
  namespace?: string;
  /** Stands between namespace and key ("::"). */
  keyPrefixSeparator?: string;
  /** Without a namespace, `clear` and `iterator` mean all entries, and not only those without a namespace (false). */
  noNamespaceAffectsAll?: boolean;
  /** What fails rejects, beside the `error` event (false). */
  throwOnErrors?: boolean;
}

/** And the options of `connect`. */
export type KeyvBreadboxOptions = KeyvBreadboxBehaviour & ConnectOptions;

/** Where the server is, for who gives all in one object. */
export interface KeyvBreadboxServer extends KeyvBreadboxBehaviour, ConnectOptions {
  /** ws:// or wss:// ("ws://localhost:7171"). */
  url?: string;
  /** The same, as some other adapters call it. */
  uri?: string;
}

/** One entry of `setMany`. */
export interface KeyvBreadboxEntry {
  key: string;
  value: Value;
  /** Milliseconds until it expires; for ever without it. */
  ttl?: number;
}

/**
 * The adapter. It connects with the first request.
 * @example
 * const store = new KeyvBreadbox("ws://localhost:7171", { namespace: "app" });
 * await store.set("name", "Breadbox", 60_000); // true
 * await store.get("name"); // "Breadbox"
 * await store.disconnect();
 */
export class KeyvBreadbox extends Emitter {
  /** As Keyv has it: undefined for none. */
  namespace: string | undefined;
  keyPrefixSeparator: string;
  noNamespaceAffectsAll: boolean;
  throwOnErrors: boolean;
  private readonly url: string;
  private readonly link: Link;

  /**
   * @param connect URL of the server; or an object of it and all options; or a client, which whoever opened it closes
   * @throws CacheError `invalid-argument` for a client together with a URL or options of a connection
   */
  constructor(connect: string | KeyvBreadboxServer | Cache = DEFAULT_URL, options: KeyvBreadboxOptions = {}) {
    super();
    const client = connect instanceof Cache ? connect : undefined;
    const given = { ...(connect instanceof Cache ? {} : serverOf(connect)), ...options };
    const { url, uri, namespace, keyPrefixSeparator, noNamespaceAffectsAll, throwOnErrors, ...rest } = given;
    this.link = new Link({ client, url: url ?? uri, options: rest });
    this.url = url ?? uri ?? DEFAULT_URL;
    this.namespace = namespace;
    this.keyPrefixSeparator = keyPrefixSeparator ?? "::";
    this.noNamespaceAffectsAll = noNamespaceAffectsAll ?? false;
    this.throwOnErrors = throwOnErrors ?? false;
  }

  /** The client; it is opened where it was not yet. */
  get client(): Cache {
    return this.link.cache;
  }

  /** What Keyv looks at: it iterates only over the stores of dialects that it knows, and does with Redis's what is right here. */
  get opts(): KeyvBreadboxBehaviour & { dialect: string; url: string } {
    const { namespace, keyPrefixSeparator, noNamespaceAffectsAll, throwOnErrors, url } = this;
    const behaviour = { namespace, keyPrefixSeparator, noNamespaceAffectsAll, throwOnErrors };
    return { ...behaviour, dialect: "redis", url };
  }

  /** Resolves with undefined where there is no entry. */
  async get(key: string): Promise<any> {
    return this.attempt(undefined, async () => (await this.entries().get(key)) ?? undefined);
  }

  /** In one message; undefined for each that is not there. */
  async getMany(keys: string[]): Promise<any[]> {
    const none = keys.map(() => undefined);
    return this.attempt(none, async () => (await this.entries().many(keys)).map((text) => text ?? undefined));
  }

  /** @param ttl milliseconds; without it, or with 0, for ever */
  async set(key: string, value: Value, ttl?: number): Promise<boolean> {
    const options = ttl ? { ttlMs: Math.ceil(ttl) } : {};
    return this.attempt(false, async () => (await this.entries().put(key, value, options)) !== null);
  }

  /** In one message; false for each that failed. */
  async setMany(entries: KeyvBreadboxEntry[]): Promise<boolean[]> {
    return Promise.all(entries.map(({ key, value, ttl }) => this.set(key, value, ttl)));
  }

  async has(key: string): Promise<boolean> {
    return this.attempt(false, () => this.entries().has(key));
  }

  async hasMany(keys: string[]): Promise<boolean[]> {
    const none = keys.map(() => false);
    return this.attempt(none, () => Promise.all(keys.map((key) => this.entries().has(key))));
  }

  /** True where there was an entry. */
  async delete(key: string): Promise<boolean> {
    return this.attempt(false, () => this.entries().delete(key));
  }

  /** True where there was an entry of any of the keys. */
  async deleteMany(keys: string[]): Promise<boolean> {
    return this.attempt(false, async () => (await this.entries().deleteMany(keys)) > 0);
  }

  /** Removes the entries of its namespace; without one, those that have none. */
  async clear(): Promise<void> {
    const isWanted = this.within(this.namespace);
    await this.attempt(undefined, () =>
      isWanted === undefined ? removeAll(this.entries()) : removeWanted(this.entries(), isWanted),
    );
  }

  /** The entries of a namespace, in no order; without one, those that have none. What comes meanwhile may be left out. */
  async *iterator(namespace = this.namespace): AsyncGenerator<[key: string, value: any], void, undefined> {
    const entries = this.entries(namespace);
    for await (const keys of keyGroups(entries, this.within(namespace))) {
      const values = await entries.many(keys);
      for (const [i, value] of values.entries()) if (value !== null) yield [keys[i]!, value];
    }
  }

  /** Closes the connection, unless it is that of a client that was given. The next request makes another. */
  async disconnect(): Promise<void> {
    await this.link.close();
  }

  /** Those of the namespace, by their keys within it. */
  private entries(namespace = this.namespace): Namespace {
    return this.client.namespace(namespace ? namespace + this.keyPrefixSeparator : "");
  }

  /** Which keys below a namespace's prefix are its own; undefined where all of them are. */
  private within(namespace: string | undefined): ((key: string) => boolean) | undefined {
    if (namespace || this.noNamespaceAffectsAll) return undefined;
    return (key) => !key.includes(this.keyPrefixSeparator);
  }

  private async attempt<Result>(failed: Result, ask: () => Promise<Result>): Promise<Result> {
    try {
      return await ask();
    } catch (error) {
      this.emit("error", error);
      if (this.throwOnErrors) throw error;
      return failed;
    }
  }
}

export default KeyvBreadbox;

/**
 * A Keyv over a new adapter, whose keys only the adapter prefixes.
 * @param connect as of KeyvBreadbox
 * @example
 * const keyv = createKeyv("ws://localhost:7171", { namespace: "app" });
 * await keyv.set("user", { name: "Ada" }, 60_000); // true
 * await keyv.get("user"); // {"name":"Ada"}
 * await keyv.disconnect();
 */
export function createKeyv(
  connect?: string | KeyvBreadboxServer | Cache,
  options?: KeyvBreadboxOptions,
): Keyv {
  const store = new KeyvBreadbox(connect, options);
  const { namespace, throwOnErrors } = store;
  const keyv = new Keyv(store, { useKeyPrefix: false, throwOnErrors });
  // Keyv 5 has a namespace of its own where none is given.
  keyv.namespace = namespace;
  return keyv;
}

function serverOf(connect: string | KeyvBreadboxServer): KeyvBreadboxServer {
  return typeof connect === "string" ? { url: connect } : connect;
}
