/** The circuit of a node: when it opens, who probes, when it closes. */
import { expect, test } from "bun:test";
import { Circuit, CircuitState, FAILURES_MAX, PROBE_AFTER_MS } from "../../src/origin/circuit";
import { Random } from "../support/random";

function opened() {
  const clock = { now: 1000 };
  const circuit = new Circuit(() => clock.now);
  for (let i = 0; i < FAILURES_MAX; i++) circuit.failed();
  return { clock, circuit };
}

test("opens after failures in a row, and only then", () => {
  const circuit = new Circuit(() => 0);
  for (let i = 1; i < FAILURES_MAX; i++) expect(circuit.failed()).toBe(false);
  circuit.answered();
  for (let i = 1; i < FAILURES_MAX; i++) expect(circuit.failed()).toBe(false);
  expect(circuit.isClosed).toBe(true);
  expect(circuit.failed()).toBe(true);
  expect(circuit.isClosed).toBe(false);
  expect(circuit.openings).toBe(1);
});

test("is probed by one after a while, and closes when that is answered", () => {
  const { circuit, clock } = opened();
  clock.now += PROBE_AFTER_MS - 1;
  expect(circuit.takeProbe()).toBe(false);
  clock.now++;
  expect(circuit.takeProbe()).toBe(true);
  expect(circuit.takeProbe()).toBe(false);
  expect(circuit.isClosed).toBe(false);
  circuit.proven();
  expect(circuit.isClosed).toBe(true);
});

test("opens again when the probe fails, for as long as the first time", () => {
  const { circuit, clock } = opened();
  clock.now += PROBE_AFTER_MS;
  circuit.takeProbe();
  expect(circuit.failed()).toBe(true);
  expect(circuit.takeProbe()).toBe(false);
  clock.now += PROBE_AFTER_MS;
  expect(circuit.takeProbe()).toBe(true);
  expect(circuit.openings).toBe(1);
});

test("a late answer to what was sent before it opened closes nothing; a new connection does", () => {
  const { circuit, clock } = opened();
  circuit.answered();
  expect(circuit.state).toBe(CircuitState.OPEN);
  clock.now += PROBE_AFTER_MS;
  circuit.takeProbe();
  circuit.answered();
  expect(circuit.state).toBe(CircuitState.HALF_OPEN);
  const another = opened().circuit;
  another.proven();
  expect(another.isClosed).toBe(true);
});

test("its invariants hold whatever happens, and see a state that cannot be", () => {
  const random = new Random(1);
  let now = 0;
  const circuit = new Circuit(() => now);
  const steps = [
    () => circuit.answered(),
    () => circuit.failed(),
    () => circuit.proven(),
    () => circuit.takeProbe(),
  ];
  for (let i = 0; i < 5000; i++) {
    now += random.below(PROBE_AFTER_MS);
    random.pick(steps)();
    circuit.invariants();
  }
  const broken = new Circuit(() => 0);
  broken.state = CircuitState.HALF_OPEN;
  expect(() => broken.invariants()).toThrow("half-open after 0 failures");
});
