/** How late an event loop is: the longest delay is kept for at least one window, and at most for two. */
import { expect, test } from "bun:test";
import { LAG_WINDOW_MS, LagWindow } from "../../src/worker/lag";

test("the longest delay counts until the window after its own is over", () => {
  const window = new LagWindow();
  const at = 50_000;
  expect(window.note(2, at)).toBe(2);
  expect(window.note(70, at + 100)).toBe(70);
  expect(window.note(1, at + LAG_WINDOW_MS - 1)).toBe(70);
  expect(window.note(3, at + LAG_WINDOW_MS)).toBe(70);
  expect(window.note(1, at + 2 * LAG_WINDOW_MS - 1)).toBe(70);
  expect(window.note(1, at + 2 * LAG_WINDOW_MS)).toBe(3);
});

test("after a pause longer than a window, what was before is of the past", () => {
  const window = new LagWindow();
  window.note(70, 0);
  expect(window.note(90_000, 3 * LAG_WINDOW_MS)).toBe(90_000);
  expect(window.note(1, 3 * LAG_WINDOW_MS + 100)).toBe(90_000);
  expect(new LagWindow().note(0, 1)).toBe(0);
});
