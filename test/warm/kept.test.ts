/** The memory over several servers: what the next one finds when the last has ended, was killed, or never got so far. */
import { describe, expect, test } from "bun:test";
import { Kept, openKept, type Plan } from "../../src/warm/kept";
import { bytesOf, changeNote, fill, isFilled, lastNote, MINUTE_MS, newPlan, SHAPE } from "../support/kept";
import { runOpener, startOpener } from "../support/opener";
import type { Order } from "./opener";

const NOW = Date.now();
const FLOOR = 1_000_000;
const OTHER_BOOT = "7d3c1c1a-2b4e-4d0f-8f61-1e9a5b7c3d20";

/** A server that fills the blocks and ends, or is as good as killed. */
function live(plan: Plan, end: "close" | "abandon", now = NOW): Kept {
  const kept = openKept(plan, now);
  kept.invariants();
  fill(kept);
  kept.beat(now, now, FLOOR);
  kept.invariants();
  if (end === "close") kept.close(now, now, FLOOR);
  else kept.abandon();
  return kept;
}

/** What the next server finds; it leaves all as it is, but for the note that it runs. */
function find(plan: Plan, now = NOW) {
  const kept = openKept(plan, now);
  kept.invariants();
  const { beginning, versionFloor, seed } = kept;
  const found = { beginning, versionFloor, seed, isFilled: isFilled(kept) };
  kept.abandon();
  return found;
}

describe("the next server", () => {
  test("finds nothing at first, then what a server left that ended, and then what one left that was killed", () => {
    const plan = newPlan();
    const first = openKept(plan, NOW);
    expect(first.beginning).toEqual({ kind: "cold", reason: null });
    expect(first.versionFloor).toBe(0);
    expect(first.blocks.map(({ bytes }) => bytes)).toEqual([2560, 2560, 2560, 2560]);
    expect(isFilled(first)).toBe(false);
    fill(first);
    first.beat(NOW, NOW, FLOOR);
    first.close(NOW, NOW, FLOOR + 1);

    const second = openKept(plan, NOW + 2000);
    expect(second.beginning).toEqual({ kind: "warm", isClean: true, awayMs: 2000, clock: NOW });
    expect({ seed: second.seed, floor: second.versionFloor, filled: isFilled(second) }).toEqual({
      seed: first.seed,
      floor: FLOOR + 1,
      filled: true,
    });
    second.beat(NOW + 3000, NOW + 3000, FLOOR + 2);
    second.abandon();

    expect(find(plan, NOW + 3500)).toEqual({
      beginning: { kind: "warm", isClean: false, awayMs: 500, clock: NOW + 3000 },
      versionFloor: FLOOR + 2,
      seed: first.seed,
      isFilled: true,
    });
  });

  test("that dies before it serves makes the cache no younger, and no cleaner", () => {
    const plan = newPlan();
    live(plan, "close");
    for (const minutes of [2, 4])
      expect(find(plan, NOW + minutes * MINUTE_MS).beginning).toMatchObject({
        isClean: minutes === 2,
        clock: NOW,
        awayMs: minutes * MINUTE_MS,
      });
    expect(find(plan, NOW + 6 * MINUTE_MS).beginning).toEqual({
      kind: "cold",
      reason: "it was down for 6m, longer than --data-max-age 5m",
    });
  });

  test("with a clock a little behind the last one's heartbeat finds it no time ago", () => {
    const plan = newPlan();
    live(plan, "close");
    expect(find(plan, NOW - 3000).beginning).toMatchObject({ awayMs: 0, clock: NOW });
  });

  test.each<[string, (plan: Plan) => [Plan, number], string]>([
    [
      "other settings",
      (plan) => [{ ...plan, shape: { ...SHAPE, shards: 2 } }, NOW],
      "it was made with --shards 4, now it is 2",
    ],
    ["its age", (plan) => [plan, NOW + 12 * MINUTE_MS], "it was down for 12m, longer than --data-max-age 5m"],
    ["a clock set back", (plan) => [plan, NOW - 60 * MINUTE_MS], "the clock went back by 1h"],
    [
      "a restart of the machine",
      (plan) => {
        changeNote(plan, { bootId: OTHER_BOOT });
        return [plan, NOW];
      },
      "the machine was restarted while the server ran",
    ],
  ])("drops it for %s: blocks of zeros, another seed, and versions go on above", (_, change, reason) => {
    const plan = newPlan();
    const { seed } = live(plan, "abandon");
    const [changed, now] = change(plan);
    const found = find(changed, now);
    expect(found).toMatchObject({
      beginning: { kind: "cold", reason },
      versionFloor: FLOOR,
      isFilled: false,
    });
    expect(found.seed).not.toEqual(seed);
  });

  test("after a restart of the machine finds what a server left that had ended", () => {
    const plan = newPlan();
    live(plan, "close");
    changeNote(plan, { bootId: OTHER_BOOT });
    expect(find(plan)).toMatchObject({ beginning: { kind: "warm", isClean: true }, isFilled: true });
  });

  test("finds the machine's boot id in the note of one that runs, in both places", () => {
    const plan = newPlan();
    live(plan, "close");
    changeNote(plan, { bootId: OTHER_BOOT });
    const kept = openKept(plan, NOW);
    const { bootId, sequence } = lastNote(plan);
    expect(bootId).toMatch(/^[0-9a-f-]{36}$/);
    expect(bootId).not.toBe(OTHER_BOOT);
    changeNote(plan, { sequence: sequence - 2 });
    expect(lastNote(plan)).toMatchObject({ sequence: sequence - 1, bootId, state: 2 });
    kept.abandon();
  });
});

describe("the end", () => {
  test("may come twice, and nothing is written after it", () => {
    const plan = newPlan();
    const kept = live(plan, "close");
    const note = lastNote(plan);
    kept.close(NOW + 1, NOW + 1, FLOOR + 1);
    kept.beat(NOW + 2, NOW + 2, FLOOR + 2);
    kept.abandon();
    kept.invariants();
    expect(lastNote(plan)).toEqual(note);
  });

  test("lets another server have it at once, while threads still look at the blocks", () => {
    const plan = newPlan();
    const kept = live(plan, "abandon");
    const next = openKept(plan, NOW);
    expect(isFilled(kept)).toBe(true);
    bytesOf(next)[0]![0] = 99;
    expect(bytesOf(kept)[0]![0]).toBe(99);
    next.abandon();
  });
});

describe("a server that is killed before one of its calls, whichever it is", () => {
  /** What the next server finds, from the first call on. */
  const MADE = ["nothing", "not begun", "running", "ended"] as const;
  const WHOLE_LIFE: Order["acts"] = ["open", "fill", "beat", "close"];

  function outcome(plan: Plan): string {
    const { beginning, isFilled } = find(plan, Date.now());
    expect(isFilled).toBe(beginning.kind === "warm");
    if (beginning.kind === "warm") return beginning.isClean ? "ended" : "running";
    if (beginning.reason === null) return "nothing";
    return beginning.reason.includes("before it served") ? "not begun" : beginning.reason;
  }

  /** The outcomes of all kills, each once, in the order in which they begin. */
  function outcomes(prepare: () => Plan, acts = WHOLE_LIFE): string[] {
    const seen: string[] = [];
    for (let killBefore = 1; ; killBefore++) {
      const plan = prepare();
      const { signal } = runOpener({ plan, acts, killBefore });
      const found = outcome(plan);
      if (seen.at(-1) !== found) seen.push(found);
      if (signal === undefined) return seen;
      expect(signal).toBe("SIGKILL");
      expect(killBefore).toBeLessThan(50);
    }
  }

  test("while it makes the file and lives in it", () => {
    expect(outcomes(newPlan)).toEqual([...MADE]);
  });

  test("while it makes the file over one that does not fit: no version is forgotten", () => {
    const reason = "it was made with --shards 4, now it is 2";
    const prepare = () => {
      const plan = newPlan();
      live(plan, "close");
      return { ...plan, shape: { ...SHAPE, shards: 2 } };
    };
    expect(outcomes(prepare)).toEqual([reason, ...MADE.slice(1)]);
    for (let killBefore = 1; killBefore < 20; killBefore++) {
      const plan = prepare();
      if (runOpener({ plan, acts: ["open"], killBefore }).signal === undefined) return;
      expect(find(plan).versionFloor).toBe(FLOOR);
    }
    throw new Error("it was always killed");
  });

  test("while it goes on after one that ended", () => {
    const prepare = () => {
      const plan = newPlan();
      live(plan, "close");
      return plan;
    };
    expect(outcomes(prepare)).toEqual(["ended", "running", "ended"]);
  });

  test("while it goes on after one that was killed", () => {
    const prepare = () => {
      const plan = newPlan();
      live(plan, "abandon");
      return plan;
    };
    expect(outcomes(prepare)).toEqual(["running", "ended"]);
  });
});

test("a server that is killed from outside, at any moment: its last heartbeat or the one after is there", async () => {
  const plan = newPlan();
  live(plan, "abandon");
  for (let kill = 1; kill <= 20; kill++) {
    const server = startOpener({ plan, acts: ["open", "beat on"] });
    expect(await server.next()).toMatchObject({ kind: "warm", isClean: false });
    let beats = 0;
    while (beats < kill * 50) beats = await server.next();
    await server.kill();
    for (let beat = beats; beat !== undefined; beat = await server.next()) beats = beat;
    const { beginning, versionFloor, isFilled } = find(plan, Date.now());
    expect(beginning).toMatchObject({ kind: "warm", isClean: false });
    expect(isFilled).toBe(true);
    expect([beats, beats + 1]).toContain(versionFloor);
  }
});
