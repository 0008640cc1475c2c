/** A load that looks like that of a shop: pages and sessions that are read more than written, counters, and values of several types. */
import { type Cache, connect } from "../../src/client/client";

const ROUND_READS = 60;
const PAGES = 4000;
const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAYAAACNMs+9AAAAFUlEQVR42mNk+M9Qz0AEYBxVSF+FABJADveWkH6oAAAAAElFTkSuQmCC";

export interface Load {
  /** Ends it; resolves when the last round is over. */
  stop(): Promise<void>;
}

/** Entries to look at, each with its Content-Type. */
export async function storeExamples(http: string, headers: Record<string, string> = {}): Promise<void> {
  const profile = { id: 42, name: "Ada", roles: ["admin", "author"], quota: 9007199254740993n.toString() };
  const entries: [key: string, type: string, body: string | Uint8Array<ArrayBuffer>, query?: string][] = [
    ["user:42:profile", "application/json", JSON.stringify(profile), "?ttl=1h"],
    ["user:42:name", "text/plain;charset=utf-8", "Ada"],
    ["user:43:name", "text/plain;charset=utf-8", "Grace", "?ttl=10m"],
    ["picture:pixel", "image/png", Buffer.from(PIXEL, "base64")],
    ["page:home", "text/html;charset=utf-8", "<h1>Home</h1><script>document.title = 'ran'</script>"],
    ["blob:random", "application/octet-stream", crypto.getRandomValues(new Uint8Array(600))],
  ];
  for (const [key, type, body, query = ""] of entries) {
    const response = await fetch(`${http}/kv/${key}${query}`, {
      method: "PUT",
      body,
      headers: { ...headers, "Content-Type": type },
    });
    if (!response.ok) throw new Error(`${key}: ${response.status} ${await response.text()}`);
  }
}

/** Rounds of requests, one after the other with a pause between, until it is stopped. Some are those of a client that keeps copies. */
export async function startLoad(url: string, pauseMs: number): Promise<Load> {
  const [cache, keeper] = await Promise.all([connect(url), connect(url, { near: {} })]);
  let isOn = true;
  const over = (async () => {
    for (let turn = 0; isOn; turn++) {
      await Promise.all([round(cache, turn), keeper.many(popular())]);
      await Bun.sleep(pauseMs * (1 + 0.5 * Math.sin(turn / 120)));
    }
    await Promise.all([cache.close(), keeper.close()]);
  })();
  return {
    stop() {
      isOn = false;
      return over;
    },
  };
}

async function round(cache: Cache, turn: number): Promise<void> {
  const reads = popular();
  const values = await cache.many(reads);
  const missing = reads.filter((_, i) => values[i] === null);
  await Promise.all([
    ...missing.map((key) => {
      const ttlMs = 20_000 + Math.floor(20_000 * Math.random());
      return cache.put(key, "x".repeat(2000), { ttlMs });
    }),
    cache.add(`visits:${turn % 50}`),
    cache.put(`session:${turn % 3000}`, JSON.stringify({ turn }), { ttlMs: 60_000 }),
    turn % 10 === 0 ? cache.delete(reads[0]!) : null,
  ]);
}

/** Keys of products, some of which are asked for much more often than others. */
function popular(): string[] {
  return Array.from({ length: ROUND_READS }, () => `page:product:${Math.floor(PAGES * Math.random() ** 3)}`);
}
