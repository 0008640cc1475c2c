/** Whether a cache goes on, row by row, and what the operator is told where it does not. */
import { describe, expect, test } from "bun:test";
import { timeText } from "../../src/system/duration";
import { type Header, HEADER_VERSION, State } from "../../src/warm/header";
import { misfit, type Present } from "../../src/warm/misfit";
import { MINUTE_MS, SHAPE } from "../support/kept";

const NOW = 1_800_000_000_000;
const BOOT = "0f7b3a0e-6d1c-4f3e-9b59-7a1f0c2d4e68";
const OTHER_BOOT = "7d3c1c1a-2b4e-4d0f-8f61-1e9a5b7c3d20";
const FILE_BYTES = 1_000_000;
const MB = 2 ** 20;

interface Case {
  state?: number;
  heartbeat?: number;
  wroteBoot?: string;
  present?: Partial<Present>;
}

function reasonOf({
  state = State.RUNNING,
  heartbeat = NOW,
  wroteBoot = BOOT,
  present,
}: Case): string | null {
  const header: Header = {
    headerVersion: HEADER_VERSION,
    identity: { ...SHAPE, seed: [1, 2], fileBytes: FILE_BYTES },
    note: {
      sequence: 9,
      state: state as State,
      heartbeat,
      clock: heartbeat,
      versionFloor: 1,
      bootId: wroteBoot,
    },
  };
  return misfit(header, presentBut(present));
}

function presentBut(changes: Partial<Present> = {}): Present {
  return {
    shape: SHAPE,
    fileBytes: FILE_BYTES,
    bootId: BOOT,
    now: NOW,
    maxAgeMs: 5 * MINUTE_MS,
    ...changes,
  };
}

describe("what the last server left", () => {
  const RESTARTED = "the machine was restarted while the server ran";
  const UNKNOWN =
    "its server was killed, and this machine has no boot id that tells whether it was restarted since";
  const UNBEGUN = "the server that made it ended before it served";

  test.each<[string, Case, string | null]>([
    ["clean, the machine runs on", { state: State.CLEAN }, null],
    ["clean, the machine was restarted", { state: State.CLEAN, wroteBoot: OTHER_BOOT }, null],
    ["clean, no boot id now", { state: State.CLEAN, present: { bootId: "" } }, null],
    ["clean, no boot id ever", { state: State.CLEAN, wroteBoot: "", present: { bootId: "" } }, null],
    ["killed, the machine runs on", {}, null],
    ["killed, the machine was restarted", { wroteBoot: OTHER_BOOT }, RESTARTED],
    ["killed, no boot id then", { wroteBoot: "" }, RESTARTED],
    ["killed, no boot id now", { present: { bootId: "" } }, UNKNOWN],
    ["killed, no boot id ever", { wroteBoot: "", present: { bootId: "" } }, UNKNOWN],
    ["only begun to make it", { state: State.FORMING }, UNBEGUN],
    ["a state that is none", { state: 0 }, UNBEGUN],
  ])("%s", (_, found, reason) => {
    expect(reasonOf(found)).toBe(reason);
  });
});

describe("how long the last server has been gone", () => {
  const down = (text: string) => `it was down for ${text}, longer than --data-max-age 5m`;

  test.each<[string, number, string | null]>([
    ["not at all", 0, null],
    ["exactly as long as may be", 5 * MINUTE_MS, null],
    ["a little longer", 5 * MINUTE_MS + 1, down("5.1m")],
    ["much longer", 12 * MINUTE_MS, down("12m")],
    ["days", 50 * 60 * MINUTE_MS, down("2.1d")],
    ["its heartbeat is five seconds ahead", -5000, null],
    ["its heartbeat is further ahead", -5001, "the clock went back by 5.1s"],
    ["its heartbeat is hours ahead", -180 * MINUTE_MS, "the clock went back by 3h"],
  ])("%s", (_, awayMs, reason) => {
    for (const state of [State.CLEAN, State.RUNNING])
      expect(reasonOf({ state, heartbeat: NOW - awayMs })).toBe(reason);
  });

  test("after a restart of the machine that is said, and not how long it took", () => {
    expect(reasonOf({ wroteBoot: OTHER_BOOT, heartbeat: NOW - 60 * MINUTE_MS })).toContain("restarted");
  });
});

describe("what does not fit", () => {
  const shape = (changes: Partial<typeof SHAPE>): Case => ({ present: { shape: { ...SHAPE, ...changes } } });

  test.each<[string, Case, string]>([
    [
      "layout",
      shape({ layoutVersion: 5 }),
      "it was written by another version of Breadbox (layout 4, now 5)",
    ],
    ["shards", shape({ shards: 16 }), "it was made with --shards 4, now it is 16"],
    ["memory", shape({ shardBytes: 4 * MB }), "it was made with --memory 10kb, now it is 16mb"],
    [
      "memory, by little",
      shape({ shardBytes: 5 * 512 + 1 }),
      "it was made with --memory 10240, now it is 10244",
    ],
    ["pages", shape({ pageBytes: 1024 }), "it was made with pages of 512 bytes, now they have 1024"],
    ["length", { present: { fileBytes: 4096 } }, `it has 4096 bytes instead of ${FILE_BYTES}`],
  ])("%s", (_, found, reason) => {
    expect(reasonOf(found)).toBe(reason);
    expect(reasonOf({ ...found, state: State.CLEAN })).toBe(reason);
  });

  test("a damaged header, or one of another version, of which nothing else is believed", () => {
    const identity = { ...SHAPE, seed: [1, 2] as const, fileBytes: FILE_BYTES };
    const note = {
      sequence: 1,
      state: State.CLEAN,
      heartbeat: NOW,
      clock: NOW,
      versionFloor: 0,
      bootId: BOOT,
    };
    const damaged = { headerVersion: HEADER_VERSION, identity, note };
    expect(misfit(damaged, presentBut())).toBeNull();
    for (const part of [{ identity: null }, { note: null }])
      expect(misfit({ ...damaged, ...part }, presentBut())).toBe("its header is damaged");
    expect(misfit({ headerVersion: 3, identity: null, note: null }, presentBut())).toBe(
      "it was written by another version of Breadbox (header 3, now 1)",
    );
  });
});

test("times are named as flags take them, and never too short", () => {
  expect([0, 1, 999, 1000, 1001, 90_000, 3_600_000, 86_400_000 * 30].map(timeText)).toEqual([
    "0ms",
    "1ms",
    "999ms",
    "1s",
    "1.1s",
    "1.5m",
    "1h",
    "30d",
  ]);
});
