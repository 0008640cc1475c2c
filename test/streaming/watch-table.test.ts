/** The watch table against a list of the watches that should be in it, with a ring so small that it wraps all the time. */
import { describe, expect, test } from "bun:test";
import { WatchTable } from "../../src/streaming/watch-table";
import { Random } from "../support/random";

const SLOTS = 8;

const keyOf = (text: string) => {
  const bytes = Buffer.from(text, "latin1");
  return { bytes, start: 0, end: bytes.length };
};
const textOf = ({ bytes, start, end }: { bytes: Buffer; start: number; end: number }) =>
  bytes.toString("latin1", start, end);

/** A watch of a slot whose interest was set already. */
const since = (stamp: number) => ({ stamp, isFresh: false });

interface Watch {
  slot: number;
  watcher: number;
  stamp: number;
  key: string;
}

test("random watches, changes and floods: every watch is used up once, or given up, oldest first", () => {
  const random = new Random(20_262);
  for (let round = 0; round < 20; round++) {
    const watches: Watch[] = [];
    const givenUp: string[] = [];
    const table = new WatchTable(SLOTS, 400 + random.below(3000), (watcher, key) =>
      givenUp.push(`${watcher} ${textOf(key)}`),
    );
    let stamp = 0;
    for (let step = 0; step < 500; step++) {
      const slot = random.below(SLOTS);
      const key = `${slot}:${"k".repeat(random.below(20))}`;
      givenUp.length = 0;
      if (random.below(3) > 0) {
        const watch = { slot, watcher: 1 + random.below(4), stamp: ++stamp, key };
        expect(
          table.add(slot, watch.watcher, { stamp: watch.stamp, isFresh: random.below(2) === 0 }, keyOf(key)),
        ).toBe(true);
        const lost = watches.splice(0, givenUp.length).map(({ watcher, key }) => `${watcher} ${key}`);
        expect(givenUp).toEqual(lost);
        watches.push(watch);
      } else {
        const before = stamp - random.below(6);
        const told: string[] = [];
        table.use(slot, before, keyOf(key), (watcher, changed, isSame) =>
          told.push(`${watcher} ${textOf(changed)} ${isSame}`),
        );
        const used = watches.filter((watch) => watch.slot === slot && watch.stamp < before);
        for (const watch of used) watches.splice(watches.indexOf(watch), 1);
        expect(told).toEqual(
          used.reverse().map(({ watcher, key: old }) => `${watcher} ${old} ${old === key}`),
        );
      }
      table.invariants();
      expect(table.live).toBe(watches.length);
      for (let watcher = 1; watcher <= 4; watcher++)
        expect(table.keysOf(watcher)).toEqual(
          watches
            .filter((watch) => watch.watcher === watcher)
            .map(({ key }) => key)
            .sort(),
        );
    }
  }
});

describe("the watch table", () => {
  const NOTHING = () => {};

  test("knows a watch that is there already, and none of another watcher or key", () => {
    const table = new WatchTable(SLOTS, 10_000, NOTHING);
    table.add(1, 5, since(1), keyOf("a"));
    expect(table.has(1, 5, keyOf("a"))).toBe(true);
    expect([table.has(1, 6, keyOf("a")), table.has(1, 5, keyOf("b")), table.has(2, 5, keyOf("a"))]).toEqual([
      false,
      false,
      false,
    ]);
  });

  test("takes none for in force that is older than one which found the interest of its slot gone", () => {
    const table = new WatchTable(SLOTS, 10_000, NOTHING);
    table.add(1, 5, since(1), keyOf("a"));
    table.add(1, 5, { stamp: 4, isFresh: true }, keyOf("b"));
    table.add(1, 5, since(5), keyOf("c"));
    expect(["a", "b", "c"].map((key) => table.has(1, 5, keyOf(key)))).toEqual([false, true, true]);
  });

  test("does not take a key that would fill half of it", () => {
    const table = new WatchTable(SLOTS, 1000, NOTHING);
    expect(table.add(0, 1, since(1), keyOf("k".repeat(600)))).toBe(false);
    expect(table.live).toBe(0);
    table.invariants();
  });

  test("a change that is no newer than a watch leaves it", () => {
    const table = new WatchTable(SLOTS, 10_000, NOTHING);
    table.add(0, 1, since(7), keyOf("a"));
    table.use(0, 7, keyOf("a"), () => {
      throw new Error("told of what it had seen");
    });
    let told = 0;
    table.use(0, 8, keyOf("a"), () => told++);
    expect([told, table.live]).toEqual([1, 0]);
  });

  test("a stamp keeps all its 53 bits", () => {
    const table = new WatchTable(SLOTS, 10_000, NOTHING);
    const stamp = Number.MAX_SAFE_INTEGER - 1;
    table.add(0, 1, since(stamp), keyOf("a"));
    let told = 0;
    table.use(0, stamp, keyOf("a"), () => told++);
    expect(told).toBe(0);
    table.use(0, stamp + 1, keyOf("a"), () => told++);
    expect(told).toBe(1);
  });
});
