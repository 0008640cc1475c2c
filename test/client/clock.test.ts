/** The client's time: it goes on while a machine sleeps, and is not moved by whoever sets the machine's clock. */
import { expect, test } from "bun:test";
import { SystemClock } from "../../src/client/clock";

function clocks() {
  const at = { steady: 1000, wall: 1_700_000_000_000 };
  const clock = new SystemClock(
    () => at.steady,
    () => at.wall,
  );
  const start = clock.now();
  /** Both go on by what they are given; what the client's time went on by since the start. */
  const go = (steadyMs: number, wallMs: number) => {
    at.steady += steadyMs;
    at.wall += wallMs;
    return clock.now() - start;
  };
  return go;
}

test("it goes on with the steady clock", () => {
  const go = clocks();
  expect(go(0.5, 0)).toBe(0.5);
  expect(go(999.5, 1000)).toBe(1000);
});

test("what the wall clock is ahead after sleep counts", () => {
  const go = clocks();
  go(100, 100);
  expect(go(1, 3_600_001)).toBe(3_600_101);
  expect(go(10, 10)).toBe(3_600_111);
  expect(go(0, 2000)).toBe(3_602_111);
});

test("a wall clock that is set back moves nothing, and sleep after that counts", () => {
  const go = clocks();
  expect(go(10, -3_600_000)).toBe(10);
  expect(go(10, 10)).toBe(20);
  expect(go(0, 5000)).toBe(5020);
});

test("it never goes back, and rounding of either clock does not move it", () => {
  const go = clocks();
  let before = 0;
  for (let i = 0; i < 1000; i++) {
    const now = go(16, i % 7 === 0 ? 112 : 0);
    expect(now).toBeGreaterThanOrEqual(before);
    before = now;
  }
  expect(before).toBe(16_000);
});

test("the real one goes on", async () => {
  const clock = new SystemClock();
  const start = clock.now();
  await new Promise<void>((resolve) => clock.after(5, resolve));
  expect(clock.now() - start).toBeGreaterThanOrEqual(4.9);
  const stop = clock.after(1, () => expect.unreachable());
  stop();
  await new Promise<void>((resolve) => clock.after(5, resolve));
});
