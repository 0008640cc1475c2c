/** When the collector is told: by the garbage that requests leave, and less often the more there is that stays. */
import { expect, test } from "bun:test";
import { Garbage } from "../../src/commands/garbage";

const MB = 1 << 20;

function collections(sessions: number) {
  let count = 0;
  const garbage = new Garbage(
    () => sessions,
    () => void count++,
  );
  return (notes: number, bytes: number) => {
    count = 0;
    for (let i = 0; i < notes; i++) garbage.note(bytes);
    return count;
  };
}

test("once for each two megabytes, however they come", () => {
  const of = collections(0);
  expect(of(511, 4096)).toBe(0);
  expect(of(1, 4096)).toBe(1);
  expect(of(10, 3 * MB)).toBe(10);
});

test("all of it after many sessions have ended, and after twice as many as are open", () => {
  for (const [open, ended, times] of [
    [0, 8191, 0],
    [0, 8192, 1],
    [4096, 81_920, 10],
    [10_000, 19_999, 0],
    [10_000, 20_000, 1],
  ] as const) {
    let count = 0;
    const garbage = new Garbage(
      () => open,
      () => {},
      () => void count++,
    );
    for (let i = 0; i < ended; i++) garbage.noteSessionEnd();
    expect({ open, ended, count }).toEqual({ open, ended, count: times });
  }
});

test("ten thousand sessions make it rarer: what stays alive is looked at each time", () => {
  expect(collections(10_000)(10_000, 4096)).toBe(1);
  expect(collections(100)(10_000, 4096)).toBe(19);
});

test("all of it after many calls to a store of record, which are old by the time that they are answered", () => {
  let count = 0;
  const garbage = new Garbage(
    () => 0,
    () => {},
    () => void count++,
  );
  for (let i = 0; i < 16_383; i++) garbage.noteCall();
  expect(count).toBe(0);
  garbage.noteCall();
  expect(count).toBe(1);
  for (let i = 0; i < 16_384; i++) garbage.noteCall();
  expect(count).toBe(2);
});
