/** The client of an adapter: opened with the first request, and again with the first one after `close`; or one that somebody else closes. */
import { Cache, CacheError, type ConnectOptions, open } from "../client/client";

export const DEFAULT_URL = "ws://localhost:7171";

/** A client that is there already, or where a server is. */
export interface Source {
  client: Cache | undefined;
  url: string | undefined;
  /** Of `open`, which checks them. */
  options: ConnectOptions;
}

export class Link {
  private opened: Cache | null = null;

  /** Throws a CacheError `invalid-argument` for a client and more than that. */
  constructor(private readonly source: Source) {
    const { client, url, options } = source;
    const [name] = url !== undefined ? ["url"] : Object.keys(options);
    if (client !== undefined && name !== undefined)
      throw new CacheError(
        "invalid-argument",
        `${name}: the client that is given has its connection already`,
      );
  }

  /** Throws a CacheError `invalid-argument` where it is to be opened and its options are wrong. */
  get cache(): Cache {
    const { client, url = DEFAULT_URL, options } = this.source;
    if (client !== undefined) return client;
    this.opened ??= open(url, options);
    return this.opened;
  }

  /** Closes what was opened here. Never rejects. */
  async close(): Promise<void> {
    const { opened } = this;
    this.opened = null;
    await opened?.close();
  }
}
