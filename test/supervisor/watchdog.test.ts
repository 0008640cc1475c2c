/** Who is taken to hang: silence is counted in looks, and waiting for a lock of one that hangs is no fault. */
import { describe, expect, test } from "bun:test";
import { LOOKS, Verdict, Watchdog } from "../../src/supervisor/watchdog";

/** Workers whose heartbeats and locks the test decides. */
class Workers {
  readonly silent = new Set<number>();
  readonly holders = new Set<number>();
  readonly watchdog: Watchdog;
  private readonly beats: number[];

  constructor(count: number) {
    this.beats = new Array(count).fill(0);
    this.watchdog = new Watchdog({
      beatsOf: (worker) => this.beats[worker]!,
      lockHolders: () => this.holders,
    });
    for (let worker = 0; worker < count; worker++) this.watchdog.watch(worker);
  }

  /** So many looks, with a heartbeat before each of those who are not silent; returns all verdicts. */
  look(times: number) {
    return Array.from({ length: times }, () => {
      this.beats.forEach((_, worker) => {
        if (!this.silent.has(worker)) this.beats[worker]! += 1;
      });
      return this.watchdog.look();
    }).flat();
  }
}

describe("silence", () => {
  test("of less than the timeout is no verdict; then one, and another when the worker does not end", () => {
    const workers = new Workers(2);
    workers.silent.add(1);
    expect(workers.look(LOOKS - 1)).toEqual([]);
    expect(workers.look(1)).toEqual([[1, Verdict.HANGS]]);
    expect(workers.look(LOOKS - 1)).toEqual([]);
    expect(workers.look(1)).toEqual([[1, Verdict.STUCK]]);
    expect(workers.look(3 * LOOKS)).toEqual([]);
  });

  test("begins anew with each heartbeat", () => {
    const workers = new Workers(1);
    for (let i = 0; i < 5; i++) {
      workers.silent.add(0);
      expect(workers.look(LOOKS - 1)).toEqual([]);
      workers.silent.clear();
      expect(workers.look(1)).toEqual([]);
    }
  });

  test("of one that has ended counts no more, and its successor begins anew", () => {
    const workers = new Workers(1);
    workers.silent.add(0);
    workers.look(LOOKS);
    workers.watchdog.forget(0);
    expect(workers.look(2 * LOOKS)).toEqual([]);
    workers.watchdog.watch(0);
    expect(workers.look(LOOKS - 1)).toEqual([]);
    expect(workers.look(1)).toEqual([[0, Verdict.HANGS]]);
  });

  test("of all at once is judged for all", () => {
    const workers = new Workers(3);
    for (let worker = 0; worker < 3; worker++) workers.silent.add(worker);
    expect(workers.look(LOOKS).map(([worker]) => worker)).toEqual([0, 1, 2]);
  });
});

describe("locks", () => {
  test("while one hangs that holds a lock, those that may wait for it are not judged", () => {
    const workers = new Workers(3);
    workers.silent.add(0).add(1).add(2);
    workers.holders.add(1);
    expect(workers.look(2 * LOOKS - 1)).toEqual([[1, Verdict.HANGS]]);
    workers.watchdog.forget(1);
    workers.holders.clear();
    workers.silent.delete(2);
    // The one that goes on being silent, without a lock to wait for, is judged by what follows.
    expect(workers.look(LOOKS)).toEqual([[0, Verdict.HANGS]]);
  });

  test("a lock that is held for a moment by one that works excuses nobody", () => {
    const workers = new Workers(2);
    workers.silent.add(0);
    workers.holders.add(1);
    expect(workers.look(LOOKS)).toEqual([[0, Verdict.HANGS]]);
  });

  test("one that was judged stays judged, whoever holds a lock later", () => {
    const workers = new Workers(2);
    workers.silent.add(0);
    expect(workers.look(LOOKS)).toEqual([[0, Verdict.HANGS]]);
    workers.silent.add(1);
    workers.holders.add(1);
    expect(workers.look(LOOKS)).toEqual([
      [0, Verdict.STUCK],
      [1, Verdict.HANGS],
    ]);
  });
});
