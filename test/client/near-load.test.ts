/** The near cache's guarantee against a real server, and the judge that says so. */
import { describe, expect, test } from "bun:test";
import { runNearLoad } from "./near-load";
import { createJournal, WriteJournal } from "./write-journal";

describe("the judge", () => {
  const KEY = 1;

  function written(times: readonly number[]): WriteJournal {
    let now = 0;
    const journal = new WriteJournal(createJournal(2), () => now);
    for (const time of times) {
      journal.begin(KEY);
      now = time;
      journal.end(KEY);
    }
    return journal;
  }

  test("knows for how long a value had been replaced", () => {
    const journal = written([100, 200, 300]);
    expect(journal.replacedFor(KEY, 3, 5000)).toBe(0);
    expect(journal.replacedFor(KEY, 2, 300)).toBe(0);
    expect(journal.replacedFor(KEY, 2, 351)).toBe(50);
    expect(journal.replacedFor(KEY, 1, 351)).toBe(150);
    expect(journal.replacedFor(KEY, 0, 351)).toBe(250);
    expect(journal.replacedFor(0, 0, 351)).toBe(0);
  });

  test("takes a write that was not answered for one that may not have happened, and one that has not begun for impossible", () => {
    const journal = written([100]);
    journal.begin(KEY);
    expect(journal.replacedFor(KEY, 1, 5000)).toBe(0);
    expect(journal.hasBegun(KEY, 2)).toBe(true);
    expect(journal.hasBegun(KEY, 3)).toBe(false);
  });

  test("knows of what it has forgotten that it was replaced before all that it remembers", () => {
    const journal = written(Array.from({ length: 1000 }, (_, i) => i));
    expect(journal.replacedFor(KEY, 998, 2000)).toBe(1001);
    const remembered = journal.replacedFor(KEY, 800, 2000);
    expect(remembered).toBe(1199);
    expect(journal.replacedFor(KEY, 5, 2000)).toBeGreaterThan(remembered);
  });

  test("takes an absent value for the latest deletion", () => {
    expect(written([]).latestDeletion(KEY)).toBe(0);
    expect(written(Array.from({ length: 17 }, (_, i) => i)).latestDeletion(KEY)).toBe(16);
  });
});

test("nothing too old is served to clients on two workers, while others write, ways are held up and cut, and workers die", async () => {
  const maxAgeMs = 100;
  const { tooOld, neverWritten, backwards, ...report } = await runNearLoad({
    ...{ readers: 4, writers: 2, disturbed: 2, seed: 7 },
    ...{ reads: 300_000, writesPerSecond: 1000, keys: 1000, skew: 0.99 },
    ...{ maxBytes: 200 * 500, maxAgeMs },
  });
  expect({ tooOld, neverWritten, backwards }).toEqual({ tooOld: 0, neverWritten: 0, backwards: 0 });
  // The load has shown old values, evictions and broken connections to the judge.
  expect(report.oldestMs).toBeGreaterThan(0);
  expect(report.invalidations).toBeGreaterThan(100);
  expect(report.evictions).toBeGreaterThan(100);
  expect(report.revalidations).toBeGreaterThan(0);
  expect(report.workerDeaths).toBeGreaterThan(0);
  expect(report.hits).toBeGreaterThan(report.reads / 10);
  expect(report.requests).toBeLessThan(report.reads);
});
