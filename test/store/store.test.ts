/** Single mechanisms of the store, and every bug found in it, by name. */
import { describe, expect, test } from "bun:test";
import { entryBytesFor } from "../../src/store/entry";
import { HashedKey, hashSeedOf, shardOf } from "../../src/store/hash";
import {
  BUCKET_BYTES,
  C,
  HEADER_BYTES,
  layoutOf,
  R,
  RING_COUNT,
  RING_WORDS,
  RingId,
  SLOTS_PER_BUCKET,
  valueBytesMaxFor,
  W,
} from "../../src/store/layout";
import { Lock, ShardBusyError } from "../../src/store/lock";
import { cursorOfPlace, placeOfCursor } from "../../src/commands/cursor";
import { Outcome } from "../../src/store/shard";
import { Condition } from "../../src/store/write";
import { SCAN_START, type ScanPlace } from "../../src/store/store";
import { Random } from "../support/random";
import { MEMORY_KINDS, SmallStore } from "../support/small-store";

function hashed(text: string, seed = hashSeedOf(1, 2), offset = 0): HashedKey {
  const bytes = Buffer.concat([Buffer.alloc(offset, 0xee), Buffer.from(text), Buffer.alloc(9, 0xee)]);
  const key = new HashedKey(seed);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  key.aim(bytes, view, offset, offset + Buffer.byteLength(text));
  return key;
}

describe("sizes", () => {
  test("of the header: every word and counter lies within it, none on another", () => {
    const words = Object.values(W);
    expect(Object.keys(RingId)).toHaveLength(RING_COUNT);
    expect(Math.max(...Object.values(R))).toBeLessThan(RING_WORDS);
    const taken = [
      ...words.filter((word) => word !== W.RINGS),
      ...Object.values(C).flatMap((c) => [c * 2, c * 2 + 1]),
    ];
    for (let word = 0; word < RING_WORDS * RING_COUNT; word++) taken.push(W.RINGS + word);
    expect(new Set(taken).size).toBe(taken.length);
    expect((Math.max(...taken) + 1) * 4).toBeLessThanOrEqual(HEADER_BYTES);
    expect(BUCKET_BYTES).toBe(SLOTS_PER_BUCKET * 8);
  });

  test("of a shard: pages follow its size, and the smallest is refused below what it needs", () => {
    for (const bytes of [256 << 10, 1 << 20, 32 << 20, 1 << 30]) {
      const layout = layoutOf(bytes);
      expect(layout.pageCount).toBeGreaterThanOrEqual(512);
      expect(layout.shardBytes).toBe(bytes);
      expect(layout.metaPages / layout.pageCount).toBeLessThan(0.07);
    }
    expect(() => layoutOf(8 << 10)).toThrow(RangeError);
    expect(() => layoutOf(2 ** 31)).toThrow(RangeError);
    expect(() => layoutOf(1 << 20, 700)).toThrow(RangeError);
  });
});

describe("hashes", () => {
  test("depend on the bytes and the seed, not on where the bytes lie", () => {
    const random = new Random(3);
    for (let length = 0; length < 40; length++) {
      const text = random
        .bytes(length)
        .toString("latin1")
        .replace(/[^a-z]/g, "k");
      const wanted = hashed(text);
      for (const offset of [1, 2, 3, 4, 7]) {
        expect(hashed(text, undefined, offset).hash).toBe(wanted.hash);
      }
      if (length > 0) expect(hashed(text, hashSeedOf(1, 3)).hash).not.toBe(wanted.hash);
    }
  });

  test("every bit of the seeded hash turns with about half of the keys", () => {
    const keys = 4000;
    const ones = new Array(32).fill(0);
    for (let i = 0; i < keys; i++) {
      const { hash } = hashed(`user:${i}`);
      for (let bit = 0; bit < 32; bit++) ones[bit] += (hash >>> bit) & 1;
    }
    for (const count of ones) expect(Math.abs(count / keys - 0.5)).toBeLessThan(0.05);
  });

  test("keys that collide under djb2, which anyone can make, share neither slot nor shard", () => {
    // "Aa" and "B@" differ and are equal under djb2: 33 * 65 + 97 = 33 * 66 + 64.
    const pairs = ["Aa", "B@"];
    const keys = Array.from({ length: 256 }, (_, i) =>
      Array.from({ length: 8 }, (_, bit) => pairs[(i >> bit) & 1]).join(""),
    );
    const hashes = keys.map((key) => hashed(key).hash);
    expect(new Set(hashes).size).toBeGreaterThan(250);
    expect(new Set(hashes.map((hash) => shardOf(hash, 6))).size).toBeGreaterThan(55);
  });

  test("shards: from one to the most there may be, all are used and none beyond", () => {
    for (const bits of [0, 1, 6, 12]) {
      const seen = new Set<number>();
      for (let i = 0; i < 100_000; i++) seen.add(shardOf(hashed(`${i}`).hash, bits));
      expect(seen.size).toBe(2 ** bits);
      expect(Math.max(...seen)).toBe(2 ** bits - 1);
    }
  });
});

describe("lock", () => {
  test("gives up after a while, names the holder, and leaves the lock alone", () => {
    const words = new Int32Array(new SharedArrayBuffer(256));
    words[W.LOCK] = 5;
    const lock = new Lock(words, new Int32Array(new SharedArrayBuffer(4)), 6, 60);
    expect(() => lock.acquire()).toThrow(ShardBusyError);
    expect(() => lock.acquire()).toThrow("owner 5");
    expect(words[W.LOCK]! & 0xffff).toBe(5);
  });
});

for (const kind of MEMORY_KINDS)
  describe(`in ${kind} memory:`, () => {
    describe("expiry", () => {
      test("to the millisecond, for every verb", () => {
        const store = new SmallStore({ kind, shardBytes: 1 << 20 });
        const value = Buffer.from("5");
        for (const key of ["get", "info", "put", "present", "delete", "touch", "add", "append"])
          store.put(key, value, { expiresAt: store.now + 10 });
        store.now += 9;
        expect(store.get("get")).toEqual(value);
        store.now += 1;
        expect(store.scan("")).toEqual([]);
        expect(store.get("get")).toBeNull();
        expect(store.info("info")).toBeNull();
        expect(store.put("put", value, { condition: Condition.IF_ABSENT })).toBe(Outcome.DONE);
        expect(store.put("present", value, { condition: Condition.IF_PRESENT })).toBe(Outcome.REFUSED);
        expect(store.delete("delete")).toBe(Outcome.MISS);
        expect(store.touch("touch", Infinity)).toBe(Outcome.MISS);
        expect(store.add("add", 1n)).toBe(1n);
        expect(store.append("append", value)).toBe(Outcome.MISS);
        store.validate();
      });

      test("the sweep frees what is due and nothing else, and counts it", () => {
        const store = new SmallStore({ kind, shards: 4, shardBytes: 1 << 20 });
        for (let i = 0; i < 3000; i++)
          store.put(`k${i}`, Buffer.alloc(100), {
            expiresAt: i % 3 === 0 ? Infinity : store.now + (i % 3) * 100,
          });
        store.now += 100;
        store.sweep();
        expect(store.stats()).toMatchObject({ entries: 2000, expirations: 1000 });
        store.validate();
        store.now += 100;
        store.sweep();
        expect(store.stats()).toMatchObject({ entries: 1000, expirations: 2000, evictions: 0 });
        store.validate();
      });
    });

    describe("values as large as a shard allows", () => {
      test("are stored in a shard that is full of entries that are read all the time", () => {
        const store = new SmallStore({ kind, shardBytes: 1 << 20 });
        const largest = valueBytesMaxFor(1 << 20);
        for (let round = 0; round < 20; round++) {
          for (let i = 0; i < 3000; i++) {
            store.put(`small ${i}`, Buffer.alloc(300, i));
            store.get(`small ${i}`);
          }
          store.put(`large ${round}`, Buffer.alloc(largest, round));
          expect(store.get(`large ${round}`)?.equals(Buffer.alloc(largest, round))).toBe(true);
          store.validate();
        }
        expect(store.stats()).toMatchObject({ promiseBreaks: 0 });
      });

      test("go first when the shard is full, and do not take the small ones along", () => {
        const store = new SmallStore({ kind, shardBytes: 1 << 20 });
        for (let i = 0; i < 4000; i++) store.put(`small ${i}`, Buffer.alloc(300, i));
        store.put("large", Buffer.alloc(150_000));
        const before = store.stats().evictions;
        for (let i = 0; i < 300; i++) store.put(`after ${i}`, Buffer.alloc(300));
        expect(store.get("large")).toBeNull();
        expect(store.stats().evictions - before).toBe(1);
      });
    });

    describe("appending", () => {
      const byte = Buffer.from("x");
      const live = (store: SmallStore) => store.stats().bytesLive;

      test("an entry that is never appended to has no room to spare, and no field for it", () => {
        const store = new SmallStore({ kind, shardBytes: 1 << 20 });
        const before = live(store);
        store.put("key", Buffer.alloc(100));
        expect(live(store) - before).toBe(entryBytesFor(3, 100, false));
        expect(entryBytesFor(3, 100, false)).toBe(16 + 3 + 100 + 1);
      });

      test("one that is gets a quarter more, and is written again only when that is used up", () => {
        const store = new SmallStore({ kind, shardBytes: 1 << 20, pageBytes: 512 });
        const before = live(store);
        store.put("key", Buffer.alloc(999));
        store.append("key", byte);
        const written = store.stats().bytesAdmitted;
        expect(live(store) - before).toBe(entryBytesFor(3, 1250, false, true));
        for (let i = 0; i < 250; i++) store.append("key", byte);
        expect(store.stats()).toMatchObject({ bytesAdmitted: written, bytesPayload: 3 + 1250 });
        store.validate();
        store.append("key", byte);
        expect(store.stats().bytesAdmitted - written).toBe(entryBytesFor(3, 1251 + (1251 >> 2), false, true));
        expect(store.get("key")).toEqual(Buffer.concat([Buffer.alloc(999), Buffer.alloc(252, "x")]));
        store.validate();
      });

      test("a value that grows byte by byte is written a few times over, not once for each", () => {
        const store = new SmallStore({ kind, shardBytes: 1 << 20 });
        store.put("key", Buffer.alloc(0));
        for (let i = 0; i < 100_000; i++) store.append("key", byte);
        expect(store.stats().bytesAdmitted).toBeLessThan(7 * 100_000);
        expect(store.get("key")).toEqual(Buffer.alloc(100_000, "x"));
        expect(store.stats().promiseBreaks).toBe(0);
      });

      test("its room reaches to the longest value and no further", () => {
        const store = new SmallStore({ kind, shardBytes: 1 << 20 });
        const before = live(store);
        store.put("key", Buffer.alloc(990));
        store.append("key", byte, 1000);
        expect(live(store) - before).toBe(entryBytesFor(3, 1000, false, true));
        expect(store.append("key", Buffer.alloc(9), 1000)).toBe(Outcome.DONE);
        expect(store.append("key", byte, 1000)).toBe(Outcome.REFUSED);
        expect(store.append("key", Buffer.alloc(0), 1000)).toBe(Outcome.DONE);
        expect(store.get("key")?.length).toBe(1000);
      });

      test("a put takes the room back, and expiry and versions are as for any entry", () => {
        const store = new SmallStore({ kind, shardBytes: 1 << 20 });
        const before = live(store);
        store.put("key", Buffer.alloc(500), { expiresAt: store.now + 10 });
        store.append("key", byte);
        const { version, expiresAt } = store.getWithMeta("key")!;
        expect(expiresAt).toBe(store.now + 10);
        store.append("key", byte);
        expect(store.getWithMeta("key")).toMatchObject({ version: version + 1, expiresAt });
        store.put("key", Buffer.alloc(600, 7));
        expect(live(store) - before).toBe(entryBytesFor(3, 600, true, true));
        expect(store.getWithMeta("key")).toMatchObject({ bytes: Buffer.alloc(600, 7), expiresAt: Infinity });
        store.validate();
      });
    });

    describe("scans", () => {
      test("miss nothing while entries are replaced, moved, deleted and promoted between their pages", () => {
        const random = new Random(4);
        for (let round = 0; round < 4; round++) {
          const store = new SmallStore({ kind, shardBytes: 1 << 20, pageBytes: 512 });
          const lasting = new Set<string>();
          for (let i = 0; i < 300; i++) {
            const key = `k${i}`;
            store.put(key, Buffer.alloc(random.below(200)));
            lasting.add(key);
            if (i % 3 === 0) store.get(key);
          }
          // Some are guests from the start.
          for (const key of ["g1", "g2"]) {
            store.put(key, Buffer.alloc(110_000));
            lasting.add(key);
          }
          // Until the cleaner has been round, and what was read and not written again lies in the main ring.
          for (let step = 0; step < 15_000; step++) {
            store.get(`k${200 + random.below(100)}`);
            store.put(`k${random.below(200)}`, Buffer.alloc(random.below(220)));
          }
          expect(store.stats().bytesCopied).toBeGreaterThan(0);
          const found = new Set<string>();
          let place: ScanPlace | null = SCAN_START;
          while (place !== null) {
            place = store.store.scan(
              place,
              { prefix: Buffer.alloc(0), now: store.now, pagesMax: 12 },
              (key) => {
                found.add(key.toString("latin1"));
                return true;
              },
            );
            // Through the cursor that clients carry, as in life.
            if (place !== null) place = placeOfCursor(cursorOfPlace(place));
            // Less than a scan step passes, or the scan would never come to its end.
            for (let step = 0; step < 5; step++) {
              const key = `k${random.below(300)}`;
              // Now and then one becomes as big as a guest, and a guest as small as any.
              store.put(key, Buffer.alloc(random.below(220)));
              if (random.below(10) === 0) store.put("k7", Buffer.alloc(random.below(2) ? 50 : 110_000));
              if (random.below(30) === 0) store.put("g1", Buffer.alloc(random.below(2) ? 100 : 110_000));
              store.put(`passing ${step}`, Buffer.alloc(random.below(100)));
              if (step % 2 === 0) store.delete(`passing ${random.below(5)}`);
            }
          }
          expect(store.stats().evictions).toBe(0);
          expect([...lasting].filter((key) => !found.has(key))).toEqual([]);
        }
      });

      test("cursors are places and back, in every ring and shard", () => {
        for (const ring of Object.values(RingId))
          for (const shard of [0, 1, 4095])
            for (const sequence of [1, 2 ** 31 - 1, 2 ** 32 - 5])
              for (const offset of [0, 4, 262_140]) {
                const place = { shard, ring, sequence, offset };
                expect(placeOfCursor(cursorOfPlace(place))).toEqual(place);
                expect(cursorOfPlace(place)).toBeLessThan(2n ** 64n);
              }
      });
    });

    describe("bugs that were found", () => {
      test("a small ring whose entries had all been read was moved to main whole, within one put", () => {
        const store = new SmallStore({ kind, shardBytes: 1 << 20 });
        let next = 0;
        while (store.stats().evictions === 0 && store.stats().bytesCopied === 0) {
          store.put(`k${next}`, Buffer.alloc(100));
          store.get(`k${next++}`);
        }
        const pageBytes = layoutOf(1 << 20).pageBytes;
        for (let i = 0; i < 4000; i++) {
          const before = store.stats().bytesCopied;
          store.put(`k${next}`, Buffer.alloc(100));
          store.get(`k${next++}`);
          expect(store.stats().bytesCopied - before).toBeLessThan(40 * 140 + 16 * pageBytes + 300);
        }
        store.validate();
      });

      test("after 2^31 pages a ring's page numbers were negative, and scans and clears saw nothing", () => {
        for (const sequence of [2 ** 31 - 20, 2 ** 32 - 20]) {
          const store = new SmallStore({ kind, shardBytes: 64 << 10, pageBytes: 512 });
          const { words } = store.partsOf(0).block;
          for (const ring of Object.values(RingId))
            words[W.RINGS + ring * RING_WORDS + R.TAIL_SEQUENCE] = sequence | 0;
          for (let i = 0; i < 2000; i++) store.put(`x${i}`, Buffer.alloc(100));
          const [shard] = store.validate();
          expect(store.scan("x", 7).sort()).toEqual([...shard!.keys].sort());
          expect(store.clear("x")).toBe(shard!.entries);
        }
      });

      test("entries whose time was over, but that were not swept yet, cost live ones their place", () => {
        const store = new SmallStore({ kind, shardBytes: 1 << 20 });
        for (let i = 0; i < 4000; i++) store.put(`live${i}`, Buffer.alloc(100));
        for (let i = 0; i < 2000; i++)
          store.put(`dies${i}`, Buffer.alloc(100), { expiresAt: store.now + 10 });
        expect(store.stats().evictions).toBe(0);
        store.now += 10;
        // Nobody sweeps in the background here.
        for (let i = 0; i < 1500; i++) store.put(`more${i}`, Buffer.alloc(100));
        expect(store.stats()).toMatchObject({ evictions: 0, promiseBreaks: 0 });
        store.validate();
      });

      test("an entry over 107 MB overflowed the credit, and the cleaner stood still for the next puts", () => {
        const store = new SmallStore({ kind, shardBytes: 512 << 20 });
        store.put("large", Buffer.alloc(110 << 20));
        const credit = store.partsOf(0).block.words[W.CREDIT]!;
        expect(credit).toBeGreaterThan(0);
        expect(credit).toBeLessThanOrEqual(512 << 20);
      });

      test("in the smallest shard, filled with the tiniest entries, the largest one still finds room", () => {
        const store = new SmallStore({ kind, shardBytes: 256 << 10 });
        for (let i = 0; i < 30_000; i++) store.put(i.toString(36), Buffer.alloc(0));
        const key = "K".repeat(65_535);
        const value = Buffer.alloc(valueBytesMaxFor(256 << 10), 7);
        expect(store.put(key, value)).toBe(Outcome.DONE);
        expect(store.get(key)?.equals(value)).toBe(true);
        store.validate();
      });

      test("a table that was emptied one by one kept the pages it had grown to", () => {
        const store = new SmallStore({ kind, shardBytes: 1 << 20 });
        const empty = store.stats().bytesLive;
        for (let i = 0; i < 10_000; i++) store.put(`k${i}`, Buffer.alloc(1));
        for (let i = 0; i < 10_000; i++) store.delete(`k${i}`);
        expect(store.stats().bytesLive).toBe(empty);
        store.validate();
      });

      test("a key whose header ends with its page was written into the page behind it in memory", () => {
        // A full shard, half of it read: its pages have changed hands between the rings and are no neighbours any more.
        const store = new SmallStore({ kind, shardBytes: 64 << 10, pageBytes: 512 });
        for (let i = 0; i < 1500; i++) {
          store.put(`k${i}`, Buffer.alloc(100 + (i % 7)));
          if (i % 2 === 0) store.get(`k${i}`);
        }
        // Fillers of every length, so that an entry with the longer header begins at every distance from its page's end.
        for (let length = 0; length < 512; length += 4) {
          store.put("filler", Buffer.alloc(length, 1), { expiresAt: Infinity });
          for (let i = 0; i < 8; i++)
            store.put(`ttl ${length} ${i}`, Buffer.from("value"), { expiresAt: store.now + 1e6 });
          store.validate();
        }
      });

      test("a put that made its entry shorter in place could evict that very entry", () => {
        const store = new SmallStore({ kind, shardBytes: 64 << 10, pageBytes: 512 });
        for (let i = 0; i < 2000; i++) {
          store.put(`k${i % 400}`, Buffer.alloc(400, i));
          store.put(`k${i % 400}`, Buffer.alloc(8, i));
          expect(store.get(`k${i % 400}`)).toEqual(Buffer.alloc(8, i));
        }
        store.validate();
      });
    });
  });
