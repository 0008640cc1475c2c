/** Entries with a stamp: served while it holds, by every way of reading, and as absent as any other once it does not. */
import { describe, expect, test } from "bun:test";
import { Outcome } from "../../src/store/shard";
import { Write } from "../../src/store/write";
import { Random } from "../support/random";
import { keyRows } from "../support/key-rows";
import { Collected, SmallStore } from "../support/small-store";

const GROUPS = 8;

/** A store of copies whose groups have epochs, and a plain way to fill it. */
class Copies {
  readonly epochs = new Int32Array(GROUPS);
  readonly small = new SmallStore({ shardBytes: 1 << 20, pageBytes: 4096 });

  constructor() {
    this.small.store.trust({ holds: (group, epoch) => this.epochs[group] === epoch });
  }

  keyOf(text: string) {
    const bytes = Buffer.from(text);
    const key = this.small.store.newKey();
    key.aim(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
    return key;
  }

  fill(text: string, value: Buffer, { group = 0, version = 5, expiresAt = Infinity, isCurrent = true } = {}) {
    const key = this.keyOf(text);
    const write = new Write().set(value, 0, value.length);
    write.group = group;
    write.epoch = this.epochs[group]!;
    write.version = version;
    write.expiresAt = expiresAt;
    return this.small.store.shardFor(key).fill(key, write, () => isCurrent, this.small.now);
  }

  /** What the short way of a get reads; null where it does not answer. */
  ahead(text: string): string | null {
    const keys = this.small.store.newKeysAhead(4);
    keys.look(keyRows([text]), this.small.now);
    const target = Buffer.alloc(4096);
    const length = keys.read(0, target, 0, 4096);
    return length < 0 ? null : target.toString("latin1", 0, length);
  }
}

describe("a copy", () => {
  for (const expiresAt of [Infinity, 2_000_000])
    test(`is read in every way while its stamp holds, and in none afterwards, expiry ${expiresAt}`, () => {
      const copies = new Copies();
      const { small } = copies;
      expect(copies.fill("a key", Buffer.from("value"), { group: 3, version: 77, expiresAt })).toBe(
        Outcome.DONE,
      );
      expect(small.getWithMeta("a key")).toMatchObject({ version: 77, expiresAt });
      expect(small.get("a key")?.toString()).toBe("value");
      expect(small.info("a key")).toMatchObject({ version: 77, valueLength: 5 });
      expect(copies.ahead("a key")).toBe("value");
      copies.epochs[3]! += 1;
      expect(small.get("a key")).toBeNull();
      expect(small.info("a key")).toBeNull();
      expect(copies.ahead("a key")).toBeNull();
      small.validate();
    });

  test("is not stored when it is old already", () => {
    const copies = new Copies();
    expect(copies.fill("k", Buffer.from("old"), { isCurrent: false })).toBe(Outcome.REFUSED);
    expect(copies.small.get("k")).toBeNull();
  });

  test("that is old gives way to the next one of its key", () => {
    const copies = new Copies();
    for (const value of ["first", "a longer second", "3"]) {
      copies.fill("key", Buffer.from(value), { group: 1 });
      expect(copies.small.get("key")?.toString()).toBe(value);
      expect(copies.small.stats().entries).toBe(1);
      copies.epochs[1]! += 1;
    }
    copies.small.validate();
  });

  test("is ended by an invalidation, and that of another key leaves it", () => {
    const copies = new Copies();
    const { small } = copies;
    copies.fill("one", Buffer.from("1"));
    copies.fill("two", Buffer.from("2"));
    for (const name of ["one", "nothing"]) {
      const key = copies.keyOf(name);
      small.store.shardFor(key).invalidate(key, small.now);
    }
    expect(small.get("one")).toBeNull();
    expect(small.get("two")?.toString()).toBe("2");
    small.validate();
  });
});

test("random fills, changes of epochs and invalidations agree with a map, and the store stays whole", () => {
  const copies = new Copies();
  const { small } = copies;
  const random = new Random(11);
  const expected = new Map<string, { value: string; group: number; epoch: number }>();
  const sink = new Collected();
  for (let step = 0; step < 30_000; step++) {
    const name = `key ${random.below(300)}`;
    const group = Number(name.slice(4)) % GROUPS;
    const dice = random.below(20);
    if (dice === 0) copies.epochs[random.below(GROUPS)]! += 1;
    else if (dice < 3) {
      const key = copies.keyOf(name);
      small.store.shardFor(key).discard(key, small.now);
      expected.delete(name);
    } else if (dice < 10) {
      const value = `${step} ${"x".repeat(random.below(400))}`;
      copies.fill(name, Buffer.from(value), { group, expiresAt: dice < 6 ? Infinity : 9_000_000 });
      expected.set(name, { value, group, epoch: copies.epochs[group]! });
    } else {
      const known = expected.get(name);
      const isFresh = known !== undefined && known.epoch === copies.epochs[known.group];
      const key = copies.keyOf(name);
      expect(small.store.shardFor(key).get(key, sink, small.now)).toBe(isFresh);
      if (isFresh) expect(sink.bytes.toString()).toBe(known.value);
    }
    if (step % 1000 === 0) small.validate();
  }
  expect(small.stats().evictions).toBe(0);
});
