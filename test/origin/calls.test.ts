/** Open calls: their deadlines, and the order of those for one key. */
import { expect, test } from "bun:test";
import { Call, CallPhase, type Command } from "../../src/origin/call";
import { Deadlines, OPEN_CALLS_MAX } from "../../src/origin/deadlines";
import { KeyOrder } from "../../src/origin/order";
import { Random } from "../support/random";

function commandOf(parts: Partial<Command> = {}): Command {
  return { name: "GET", args: [], slot: 0, isWrite: false, line: null, ...parts };
}

test("a call is settled once", () => {
  const told: unknown[] = [];
  const call = new Call(commandOf(), 1, 0, (error, reply) => told.push(error ?? reply));
  call.send("a");
  call.resolve(5);
  call.resolve(6);
  call.reject(new Error("late"));
  expect(told).toEqual([5]);
  expect(call.phase).toBe(CallPhase.SETTLED);
});

test("the late ones are told together, in their order; others wait on", async () => {
  let now = 0;
  const told: number[][] = [];
  let tell = () => {};
  const nextRound = () => new Promise<void>((resolve) => (tell = resolve));
  const deadlines = new Deadlines(
    () => now,
    (late) => {
      told.push(late.map(({ number }) => number));
      late.forEach((call) => call.reject(new Error("late")));
      tell();
    },
  );
  const add = (number: number, deadline: number) => {
    const call: Call = new Call(commandOf(), number, deadline, () => deadlines.remove(call));
    deadlines.add(call);
    return call;
  };
  const calls = [add(1, 2), add(2, 2), add(3, 4)];
  const first = nextRound();
  calls[1]!.resolve(null);
  now = 2;
  await first;
  const second = nextRound();
  deadlines.invariants();
  expect(told).toEqual([[1]]);
  const drained = deadlines.drained();
  now = 4;
  await second;
  await drained;
  expect(told).toEqual([[1], [3]]);
  expect(deadlines.size).toBe(0);
  deadlines.invariants();
});

test("a bound on open calls", () => {
  const deadlines = new Deadlines(
    () => 0,
    () => {},
  );
  const calls: Call[] = [];
  for (let i = 0; i < OPEN_CALLS_MAX; i++) {
    expect(deadlines.isFull).toBe(false);
    const call: Call = new Call(commandOf(), i, 1e6, () => deadlines.remove(call));
    calls.push(call);
    deadlines.add(call);
  }
  expect(deadlines.isFull).toBe(true);
  calls[0]!.resolve(null);
  expect(deadlines.isFull).toBe(false);
  for (const call of calls) call.resolve(null);
  expect(deadlines.size).toBe(0);
});

test("a line stops when a call of it is taken back, and later calls wait with it", () => {
  const order = new KeyOrder();
  const callOf = (number: number, isWrite: boolean) =>
    new Call(commandOf({ isWrite, line: order.enter("k", isWrite) }), number, 0, () => {});
  expect(order.enter("k", false)).toBe(null);
  const [first, second, third] = [callOf(1, true), callOf(2, false), callOf(3, true)];
  expect(first.waitsInLine()).toBe(false);
  first.send("a");
  second.send("a");
  const line = first.command.line!;
  expect([line.inFlight, first.takeBack(true), third.waitsInLine()]).toEqual([2, true, true]);
  expect([line.stopped, line.isDelayed]).toEqual([[first, third], true]);
  order.invariants();
});

test("a write is overtaken by a later call that was executed, a read never is; without a line nothing waits", () => {
  const order = new KeyOrder();
  const callOf = (number: number, isWrite: boolean) =>
    new Call(commandOf({ isWrite, line: order.enter("k", isWrite) }), number, 0, () => {});
  const [first, second, third, fourth] = [
    callOf(1, true),
    callOf(2, false),
    callOf(3, true),
    callOf(4, true),
  ];
  third.executed();
  second.executed();
  expect([first, second, third, fourth].map((call) => call.isOvertaken)).toEqual([true, false, false, false]);
  const single = new Call(commandOf(), 5, 0, () => {});
  single.send("a");
  expect([single.takeBack(true), single.waitsInLine(), single.isOvertaken]).toEqual([false, false, false]);
});

test("lines live as long as their calls", () => {
  const order = new KeyOrder();
  const random = new Random(4);
  const open: NonNullable<ReturnType<KeyOrder["enter"]>>[] = [];
  for (let i = 0; i < 5000; i++) {
    if (random.below(2) === 0 && open.length > 0) order.leave(open.splice(random.below(open.length), 1)[0]!);
    else {
      const line = order.enter(String(random.below(10)), random.below(2) === 0);
      if (line !== null) open.push(line);
    }
    order.invariants();
    expect(order.size).toBe(new Set(open.map(({ key }) => key)).size);
  }
  for (const line of open) order.leave(line);
  expect(order.size).toBe(0);
});
