/** A second worker over the store of a BinaryPath, in the same thread: it watches keys, and never looks at what it is told. */
import type { BinaryPath } from "../support/binary-path";
import { Store } from "../../src/store/store";
import { NO_TYPE } from "../../src/store/value-type";
import type { Feed } from "../../src/streaming/feed";
import { Streams } from "../../src/streaming/streams";
import { NO_COUNTS, rethrow } from "../support/small-streams";

const OWNER = 2;

export class StreamPeer {
  private readonly store: Store;
  private readonly streams: Streams;
  private readonly feed: Feed;

  constructor({ storeMemory, streamMemory }: BinaryPath) {
    this.store = new Store(storeMemory, OWNER);
    this.streams = new Streams({
      memory: streamMemory,
      store: this.store,
      worker: 1,
      clock: () => 1,
      counts: NO_COUNTS,
      onFault: rethrow,
    });
    this.feed = this.streams.newFeed({ onNews() {}, makeRoom: () => true });
    this.streams.listen();
  }

  watch(keys: readonly string[]): void {
    const wish = { held: 0, watches: true };
    const info = { version: 0, expiresAt: 0, valueLength: 0, type: NO_TYPE };
    const sink = { bytes: Buffer.alloc(4096), begin: () => 0 };
    const key = this.store.newKey();
    for (const text of keys) {
      const bytes = Buffer.from(text);
      key.aim(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
      this.store.shardFor(key).read(key, wish, sink, info, 1);
      this.streams.watched(this.feed, key);
    }
  }
}
