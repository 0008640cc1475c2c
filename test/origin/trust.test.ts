/** Whether copies may be served: rules one by one, random steps against a model, and threads that read and distrust at once. */
import { describe, expect, test } from "bun:test";
import { SLOTS } from "../../src/origin/slots";
import { createTrustMemory, isTrusted, MASTERS_MAX, Trust } from "../../src/origin/trust";
import { Random } from "../support/random";
import { Board, LIVE_MASTER, MAX_AGE_MS, SILENT_MASTER, type TrustOrder } from "./trust-thread";

const START = 1_000_000;

function newTrust(maxAgeMs = 1000): Trust {
  return new Trust(createTrustMemory(START), maxAgeMs);
}

describe("a slot", () => {
  test("is not trusted until its master is proven and has claimed it", () => {
    const trust = newTrust();
    const first = trust.epochOf(7);
    expect([isTrusted(first), trust.holds(7, first, START)]).toEqual([false, false]);
    trust.proven(3, START);
    trust.claim(3, 7);
    const epoch = trust.epochOf(7);
    expect([isTrusted(epoch), trust.holds(7, epoch, START), trust.holds(8, epoch, START)]).toEqual([
      true,
      true,
      false,
    ]);
    trust.invariants();
  });

  test("is held as long as the last proof is no older than the maximum", () => {
    const trust = newTrust();
    trust.proven(3, START);
    trust.claim(3, 7);
    const epoch = trust.epochOf(7);
    expect([1000, 1001].map((age) => trust.holds(7, epoch, START + age))).toEqual([true, false]);
    trust.proven(3, START + 500);
    expect([1500, 1501].map((age) => trust.holds(7, epoch, START + age))).toEqual([true, false]);
    expect(trust.holds(7, epoch, START)).toBe(true);
  });

  test("that is distrusted voids its copies for good", () => {
    const trust = newTrust();
    trust.proven(0, START);
    trust.claim(0, 1);
    const before = trust.epochOf(1);
    trust.distrust(1);
    trust.distrust(1);
    const between = trust.epochOf(1);
    trust.claim(0, 1);
    const after = trust.epochOf(1);
    expect([before, between, after].map((epoch) => trust.holds(1, epoch, START))).toEqual([
      false,
      false,
      true,
    ]);
    expect(trust.counts).toEqual({ epochsRaised: 1, proofs: 1 });
  });

  test("that changes hands is lost once, one that is claimed again by its owner is not", () => {
    const trust = newTrust();
    trust.proven(0, START);
    trust.proven(1, START);
    trust.claim(0, 1);
    const epoch = trust.epochOf(1);
    trust.claim(0, 1);
    expect(trust.epochOf(1)).toBe(epoch);
    trust.claim(1, 1);
    expect([trust.epochOf(1), trust.counts.epochsRaised]).toEqual([epoch + 2, 1]);
    trust.invariants();
  });

  test("is lost with its master, the slots of others stay", () => {
    const trust = newTrust();
    for (const master of [0, MASTERS_MAX - 1]) {
      trust.proven(master, START);
      trust.claim(master, master);
    }
    trust.lose(0);
    expect([0, MASTERS_MAX - 1].map((slot) => isTrusted(trust.epochOf(slot)))).toEqual([false, true]);
    trust.distrustAll();
    expect(isTrusted(trust.epochOf(MASTERS_MAX - 1))).toBe(false);
    trust.invariants();
  });

  test("says how stale a copy is: exactly while it is trusted, to a second after one loss, not at all after two", () => {
    const trust = newTrust();
    trust.proven(0, START + 1500);
    trust.claim(0, 1);
    const epoch = trust.epochOf(1);
    expect(trust.staleFor(1, epoch, START + 1700)).toBe(200);
    trust.distrust(1);
    expect(trust.staleFor(1, epoch, START + 9000)).toBe(8000);
    trust.proven(0, START + 9000);
    trust.claim(0, 1);
    expect(trust.staleFor(1, epoch, START + 9000)).toBe(8000);
    trust.distrust(1);
    expect([epoch, epoch + 1].map((stamp) => trust.staleFor(1, stamp, START + 9000))).toEqual([
      Infinity,
      Infinity,
    ]);
    expect(trust.staleFor(1, epoch + 2, START + 9000)).toBe(0);
  });

  test("goes on when milliseconds no longer fit a word", () => {
    const trust = newTrust();
    const late = START + 2 ** 32;
    trust.proven(0, late - 300);
    trust.claim(0, 1);
    const epoch = trust.epochOf(1);
    expect([late, late + 700, late + 701].map((now) => trust.holds(1, epoch, now))).toEqual([
      true,
      true,
      false,
    ]);
    trust.distrust(1);
    const stale = trust.staleFor(1, epoch, late);
    expect(stale).toBeGreaterThanOrEqual(300);
    expect(stale).toBeLessThan(1300);
  });
});

test("a generation changes with its key's hash and with all, and not with others", () => {
  const trust = newTrust();
  const hashes = [0, 1, 65_535, 0xffffffff - 1];
  const all = () => hashes.map((hash) => trust.generationOf(hash));
  const before = all();
  trust.noteChange(1);
  expect(all().map((generation, index) => generation !== before[index])).toEqual([false, true, false, false]);
  trust.noteChange(65_535 + 65_536);
  expect(trust.generationOf(65_535)).not.toBe(before[2]!);
  const noted = all();
  trust.noteChangeOfAll();
  expect(all().every((generation, index) => generation !== noted[index])).toBe(true);
});

test("random steps against a model", () => {
  const random = new Random(11);
  const trust = newTrust();
  const slots = [0, 1, 2, 8191, SLOTS - 1];
  const masters = [0, 1, 2];
  const model = slots.map(() => ({ epoch: 1, owner: -1 }));
  const provenAt = masters.map(() => -Infinity);
  const raise = (state: { epoch: number }) => void (isTrusted(state.epoch) && state.epoch++);
  const given: { index: number; epoch: number }[] = [];
  for (let step = 0, now = START; step < 20_000; step++, now += random.below(200)) {
    const index = random.below(slots.length);
    const master = random.pick(masters);
    const state = model[index]!;
    const act = random.below(20);
    if (act < 8) {
      trust.proven(master, now);
      provenAt[master] = now;
    } else if (act < 14 && provenAt[master]! > -Infinity) {
      trust.claim(master, slots[index]!);
      if (state.owner !== master) raise(state);
      if (!isTrusted(state.epoch)) state.epoch++;
      state.owner = master;
    } else if (act < 18) {
      trust.distrust(slots[index]!);
      raise(state);
    } else {
      trust.lose(master);
      for (const each of model) if (each.owner === master) raise(each);
    }
    given.push({ index, epoch: trust.epochOf(slots[index]!) });
    if (given.length > 50) given.shift();
    for (const stamp of given) {
      const { epoch, owner } = model[stamp.index]!;
      const isFresh =
        isTrusted(stamp.epoch) && stamp.epoch === epoch && now - provenAt[owner]! <= trust.maxAgeMs;
      expect(trust.holds(slots[stamp.index]!, stamp.epoch, now)).toBe(isFresh);
    }
    if (step % 1000 === 0) trust.invariants();
  }
});

test("threads: what a silent master's slot held is never served, while others distrust and it changes hands", async () => {
  const slots = 8;
  const changes = 1_000_000;
  const memory = createTrustMemory(0);
  const board = new Int32Array(new SharedArrayBuffer(4 * (Board.SLOTS + slots)));
  const trust = new Trust(memory, MAX_AGE_MS);
  // The threads look at the time 1,000,000: one master is proven then, the other was long before.
  trust.proven(LIVE_MASTER, 1_000_000);
  trust.proven(SILENT_MASTER, 1_000_000 - 2 * MAX_AGE_MS);
  const roles = ["reader", "reader", "doubter"] as const;
  const ends = roles.map((role) => {
    const thread = new Worker(new URL("./trust-thread.ts", import.meta.url));
    const order: TrustOrder = { memory, board: board.buffer as SharedArrayBuffer, role, slots };
    thread.postMessage(order);
    return new Promise<void>((resolve, reject) => {
      thread.onmessage = () => {
        thread.terminate();
        resolve();
      };
      thread.onerror = ({ message }) => reject(new Error(message));
    });
  });
  const mayGoOn = () =>
    Atomics.load(board, Board.STARTED) === roles.length && Atomics.load(board, Board.READS) > 1000;
  let step = 0;
  for (; step < changes || !mayGoOn(); step++) {
    const slot = step % slots;
    trust.claim(LIVE_MASTER, slot);
    // What the slot will have while it is the silent one's: two more than now, or three where a doubter is first.
    trust.distrust(slot);
    const next = trust.epochOf(slot) + 1;
    Atomics.store(board, Board.SLOTS + slot, next);
    trust.claim(SILENT_MASTER, slot);
    if (step % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  Atomics.store(board, Board.IS_OVER, 1);
  await Promise.all(ends);
  expect(Atomics.load(board, Board.WRONG)).toBe(0);
  expect(Atomics.load(board, Board.READS)).toBeGreaterThan(1000);
  trust.invariants();
}, 60_000);
