/** The parts of the page that need no browser: figures over time, values as text, times as they are typed. */
import { afterEach, beforeEach, describe, expect, jest, test } from "bun:test";
import type { StatsReport } from "../../src/commands/report";
import { bytes, duration, percent, rate, ttlOf } from "../../src/page/format";
import { History, SAMPLES_MAX, WINDOW_S } from "../../src/page/history";
import { pollStats } from "../../src/page/poll";
import { Rights } from "../../src/page/rights";
import { hitRatio, perSecond, Readings, type Stats } from "../../src/page/stats";
import { hexDump, pictureType, prettyJson, textIn, viewsOf } from "../../src/page/values";
import { type Cache, CacheError } from "../../src/client/client";

/** The server's stats are what the page takes them for: this does not compile otherwise. */
const asStats = (report: StatsReport): Stats => report;

function statsOf(figures: Partial<StatsReport>): Stats {
  return asStats({ uptime: 0, hits: 0, misses: 0, commands: {}, shards: [], ...figures } as StatsReport);
}

describe("the history", () => {
  test("holds ten minutes and no more, whatever the pace", () => {
    for (const pace of [0.5, 1, 7, 400, 2000]) {
      const history = new History(2);
      for (let i = 0; i < 2 * SAMPLES_MAX; i++) {
        history.add(1_000_000 + i * pace, [i, null]);
        history.invariants();
      }
      const wanted = Math.min(SAMPLES_MAX, Math.floor(WINDOW_S / pace) + 1);
      expect({ pace, held: history.times.length }).toEqual({ pace, held: wanted });
      expect(history.last).toEqual([2 * SAMPLES_MAX - 1, null]);
    }
  });

  test("begins anew when the clock is set back", () => {
    const history = new History(1);
    for (const at of [100, 101, 50, 51]) history.add(at, [at]);
    history.invariants();
    expect(history.times).toEqual([50, 51]);
  });

  test("knows least and most, of what there is", () => {
    const history = new History(2);
    expect(history.bounds).toBe(null);
    history.add(1, [5, null]);
    history.add(2, [null, 7]);
    expect(history.bounds).toEqual({ least: 5, most: 7 });
  });
});

describe("readings", () => {
  test("give the growth a second, whatever lies between them", () => {
    const readings = new Readings();
    expect(readings.step(statsOf({ uptime: 1, hits: 100 }), 1000)).toBe(null);
    const step = readings.step(statsOf({ uptime: 5, hits: 300 }), 5000)!;
    expect(perSecond(step, ({ hits }) => hits)).toBe(50);
  });

  test("begin anew with a server that has started anew", () => {
    const readings = new Readings();
    readings.step(statsOf({ uptime: 500, commands: { get: 9 } }), 1000);
    expect(readings.step(statsOf({ uptime: 0, commands: { get: 0 } }), 2000)).toBe(null);
    expect(readings.step(statsOf({ uptime: 1, commands: { get: 5 } }), 3000)).not.toBe(null);
    // It may have been up for longer than the one before was.
    expect(readings.step(statsOf({ uptime: 2, commands: { get: 1 } }), 4000)).toBe(null);
  });

  test("the hit ratio is that of the time between, and none without reads", () => {
    const before = statsOf({ hits: 10, misses: 90 });
    expect(hitRatio(before, statsOf({ hits: 13, misses: 91 }))).toBe(0.75);
    expect(hitRatio(before, before)).toBe(null);
    expect(hitRatio(null, before)).toBe(0.1);
  });
});

describe("polling", () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  /** A cache whose stats are answered by hand. */
  function heldCache() {
    const asked: PromiseWithResolvers<Stats>[] = [];
    const stats = () => {
      asked.push(Promise.withResolvers());
      return asked.at(-1)!.promise;
    };
    return { cache: { stats } as unknown as Cache, asked };
  }

  /** Lets promises run, and then the time pass. */
  async function pass(ms: number): Promise<void> {
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    jest.advanceTimersByTime(ms);
  }

  test("asks again when it was answered, and not before, also after a failure", async () => {
    const { cache, asked } = heldCache();
    const taken: Stats[] = [];
    const over = pollStats(cache, (stats) => void taken.push(stats));
    await pass(60_000);
    expect(asked.length).toBe(1);
    asked[0]!.resolve(statsOf({ hits: 1, shards: [{} as StatsReport] }));
    await pass(1000);
    expect([asked.length, taken.map(({ hits }) => hits)]).toEqual([2, [1]]);
    asked[1]!.reject(new CacheError("timeout", ""));
    await pass(1000);
    expect(asked.length).toBe(3);
    asked[2]!.reject(new CacheError("closed", ""));
    await over;
    await pass(60_000);
    expect([asked.length, taken.length]).toEqual([3, 1]);
  });

  test("asks less often where there are many shards", async () => {
    const { cache, asked } = heldCache();
    void pollStats(cache, () => {});
    asked[0]!.resolve(statsOf({ shards: Array.from({ length: 4096 }, () => ({}) as StatsReport) }));
    await pass(15_000);
    expect(asked.length).toBe(1);
    await pass(1000);
    expect(asked.length).toBe(2);
  });

  test("ends with the right to ask", async () => {
    const { cache, asked } = heldCache();
    void pollStats(cache, () => {});
    asked[0]!.reject(new CacheError("forbidden", ""));
    await pass(60_000);
    expect(asked.length).toBe(1);
  });
});

describe("values", () => {
  const valueOf = (contentType: string, value: string | number[], isWhole = true) => ({
    contentType,
    isWhole,
    bytes: new Uint8Array(typeof value === "string" ? new TextEncoder().encode(value) : value),
  });

  test("are shown as suits them best, and never as a document", () => {
    expect(viewsOf(valueOf("application/octet-stream", '{"a":1}'))).toEqual(["json", "text", "hex"]);
    expect(viewsOf(valueOf("application/json", "no json"))).toEqual(["text", "hex"]);
    expect(viewsOf(valueOf("application/json", [0xff]))).toEqual(["hex"]);
    expect(viewsOf(valueOf("image/png", [0xff]))).toEqual(["image", "hex"]);
    for (const type of ["image/svg+xml", "text/html", "application/pdf", "image/png+xml", "image"])
      expect([type, pictureType(valueOf(type, "<svg/>"))]).toEqual([type, null]);
    expect(pictureType(valueOf("Image/PNG; x=y", ""))).toBe("image/png");
    expect(pictureType(valueOf("image/png", "", false))).toBe(null);
  });

  test("JSON is indented, and otherwise as it was stored", () => {
    const text =
      '{"n":12345678901234567890, "s" : "a,{\\"b\\"}:" ,"e":{ },"l":[ ],"a":[1,{"b":null}],"n":1e2}';
    const pretty = prettyJson(valueOf("", text))!;
    expect(pretty.split("\n")).toEqual([
      "{",
      '  "n": 12345678901234567890,',
      '  "s": "a,{\\"b\\"}:",',
      '  "e": { },',
      '  "l": [ ],',
      '  "a": [',
      "    1,",
      "    {",
      '      "b": null',
      "    }",
      "  ],",
      '  "n": 1e2',
      "}",
    ]);
    expect(prettyJson(valueOf("", '"text"'))).toBe('"text"');
    expect(prettyJson(valueOf("", text, false))).toBe(null);
    expect(prettyJson(valueOf("", "{"))).toBe(null);
  });

  test("a beginning may end within a character", () => {
    const bytes = [...new TextEncoder().encode("grün🍞")];
    expect(textIn(valueOf("", bytes))).toBe("grün🍞");
    for (const cut of [1, 2, 3]) {
      expect(textIn(valueOf("", bytes.slice(0, -cut), false))).toBe("grün");
      expect(textIn(valueOf("", bytes.slice(0, -cut)))).toBe(null);
    }
  });

  test("bytes are offsets, hex and what of it is ASCII", () => {
    const dump = hexDump(Uint8Array.from({ length: 18 }, (_, i) => i + 0x78));
    expect(dump.split("\n")).toEqual([
      "00000000  78 79 7a 7b 7c 7d 7e 7f 80 81 82 83 84 85 86 87  xyz{|}~.........",
      "00000010  88 89                                            ..",
    ]);
  });
});

test("rights say what is missing, and null where nothing is", () => {
  const rights = new Rights({ verbs: ["get", "info"], prefix: "a:", expiresAt: null });
  expect([rights.against("get"), rights.prefix]).toEqual([null, "a:"]);
  expect(rights.against("get", "put", "delete")).toBe("This token does not allow PUT and DELETE.");
});

test("times are typed as on the command line", () => {
  expect(["", " ", "1ms", "60s", "5m", "2h", "7d"].map(ttlOf)).toEqual([
    undefined,
    undefined,
    1,
    60_000,
    300_000,
    7_200_000,
    604_800_000,
  ]);
  for (const wrong of ["0s", "60", "1.5h", "-1s", "soon", "999999999999999d"])
    expect(() => ttlOf(wrong)).toThrow("must be a time of at least 1ms");
});

test("figures as people read them", () => {
  expect([bytes(0), bytes(1023), bytes(1536), bytes(3 * 2 ** 30)]).toEqual([
    "0 B",
    "1,023 B",
    "1.5 KiB",
    "3 GiB",
  ]);
  expect([duration(0), duration(59_999), duration(3_723_000), duration(90_000_000)]).toEqual([
    "0 ms",
    "59 s",
    "1 h 2 min",
    "1 d 1 h",
  ]);
  expect([rate(null), rate(0.25), rate(1234.5), percent(null), percent(0.9876)]).toEqual([
    "–",
    "0.3",
    "1,235",
    "–",
    "98.8 %",
  ]);
});
