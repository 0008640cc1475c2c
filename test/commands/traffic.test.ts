/** What is counted and timed of messages: every one is counted, about every 16th is timed, in powers of two. */
import { describe, expect, test } from "bun:test";
import { createTallyMemory, Count, Tally } from "../../src/commands/tally";
import { reportTraffic, serviceTimes, Traffic, TRAFFIC_CELLS } from "../../src/commands/traffic";

/** A row of cells, and a clock that stands still until it is set, ms. */
function smallTraffic() {
  const cells = new Float64Array(TRAFFIC_CELLS);
  const time = { ms: 1000 };
  const traffic = new Traffic(cells, () => time.ms);
  /** The start of the next message that is timed. */
  const nextTimed = () => {
    for (;;) {
      const start = traffic.begin(0);
      if (!Number.isNaN(start)) return start;
    }
  };
  return { cells, time, traffic, nextTimed };
}

test("messages and bytes are counted one by one, and about every 16th message is timed", () => {
  const { cells, traffic } = smallTraffic();
  const places = new Set<number>();
  for (let i = 0; i < 16_000; i++) {
    const start = traffic.begin(3);
    traffic.sent(5);
    if (!Number.isNaN(start)) places.add(i % 16);
    traffic.end(start);
  }
  traffic.received(7);
  const report = reportTraffic(cells);
  expect(report).toMatchObject({ messages: 16_000, bytesIn: 48_007, bytesOut: 80_000 });
  expect(report.service.timed).toBeGreaterThan(800);
  expect(report.service.timed).toBeLessThan(1200);
  // A client whose every 16th request is another one than the rest is timed with all of them.
  expect(places.size).toBe(16);
});

test("a time counts for the least power of two of microseconds that it does not exceed", () => {
  for (const [us, bound] of [
    [0, 1e-6],
    [0.3, 1e-6],
    [1, 1e-6],
    [1.5, 2e-6],
    [2, 2e-6],
    [2.01, 4e-6],
    [1000, 1024e-6],
    [1025, 2048e-6],
    [2 ** 23, 8.388608],
    [2 ** 23 + 1, Infinity],
    [1e12, Infinity],
  ] as const) {
    const { cells, time, traffic, nextTimed } = smallTraffic();
    time.ms = 0;
    const start = nextTimed();
    time.ms = us / 1000;
    traffic.end(start);
    const times = serviceTimes(cells);
    expect({ us, bound: times.upTo.find(({ count }) => count > 0)!.seconds }).toEqual({ us, bound });
    expect(times.sumSeconds).toBeCloseTo(us / 1e6, 9);
    expect(times.upTo.at(-1)).toEqual({ seconds: Infinity, count: 1 });
  }
});

test("waiting for the client is no service time; a clock that goes back makes none that is negative", () => {
  const { cells, time, traffic, nextTimed } = smallTraffic();
  const start = nextTimed();
  time.ms += 3;
  const held = traffic.hold(start);
  time.ms += 10_000;
  const goesOn = traffic.goOn(held);
  time.ms += 4;
  traffic.end(goesOn);
  expect(serviceTimes(cells).sumSeconds).toBeCloseTo(0.007, 9);
  const late = nextTimed();
  time.ms -= 50;
  traffic.end(late);
  expect(serviceTimes(cells)).toMatchObject({ count: 2, sumSeconds: expect.closeTo(0.007, 9) });
});

test("what is not timed stays so over a wait", () => {
  const { cells, traffic } = smallTraffic();
  traffic.end(traffic.goOn(traffic.hold(NaN)));
  expect(serviceTimes(cells).count).toBe(0);
});

test("quantiles are bounds, and 0 before the first time", () => {
  const { cells, time, traffic, nextTimed } = smallTraffic();
  expect(reportTraffic(cells).service).toEqual({ timed: 0, mean: 0, p50: 0, p99: 0, p999: 0 });
  for (let i = 0; i < 100; i++) {
    const start = nextTimed();
    time.ms += i < 98 ? 0.003 : 20_000;
    traffic.end(start);
  }
  expect(reportTraffic(cells).service).toEqual({
    timed: 100,
    mean: expect.closeTo((98 * 0.003 + 40_000) / 100, 6),
    p50: 0.004,
    p99: 8388.608,
    p999: 8388.608,
  });
});

describe("the tally", () => {
  test("adds up what workers count, each transport by itself", () => {
    const memory = createTallyMemory(2);
    const workers = [new Tally(memory, 0), new Tally(memory, 1)];
    for (const [index, tally] of workers.entries()) {
      tally.traffic("frames").begin(10 ** index);
      tally.traffic("http").sent(3);
      tally.error("BUSY");
      tally.response(404);
      tally.response(599);
      tally.add(Count.AUTH_FAILURES, 1);
    }
    const [tally] = workers as [Tally];
    expect(reportTraffic(tally.sumOfTraffic("frames"))).toMatchObject({ messages: 2, bytesIn: 11 });
    expect(reportTraffic(tally.sumOfTraffic("text"))).toMatchObject({ messages: 0, bytesIn: 0, bytesOut: 0 });
    expect(reportTraffic(tally.sumOfTraffic("http"))).toMatchObject({ messages: 0, bytesOut: 6 });
    expect(tally.errors()).toMatchObject({ BUSY: 2, MALFORMED: 0, INTERNAL: 0 });
    expect(tally.responses()).toMatchObject({ "404": 2, other: 2, "200": 0 });
    expect(tally.sum(Count.AUTH_FAILURES)).toBe(2);
  });

  test("tells how late each worker is: what it said last, or what it is overdue", () => {
    const memory = createTallyMemory(3);
    const workers = [0, 1, 2].map((index) => new Tally(memory, index));
    workers[0]!.set(Count.LAG_MS, 5);
    workers[0]!.set(Count.LOOP_DUE, 1100);
    workers[1]!.set(Count.LAG_MS, 5);
    workers[1]!.set(Count.LOOP_DUE, 400);
    expect(workers[0]!.lags(1000)).toEqual([5, 600, 0]);
    workers[1]!.clearGauges();
    expect(workers[0]!.lags(1000)).toEqual([5, 0, 0]);
  });
});
