/** Places for values on their way: taken in turn, handed on, and refused when none becomes free in time. */
import { expect, test } from "bun:test";
import { Gate, WAITING_MAX } from "../../src/origin/gate";
import { Random } from "../support/random";

function setup(places: number) {
  let now = 0;
  const gate = new Gate({ places, timeoutMs: 250, clock: () => now });
  const begun: string[] = [];
  const ends = new Map<string, (error?: Error) => void>();
  const pass = (name: string) =>
    gate.pass(() => {
      begun.push(name);
      return new Promise<string>((resolve, reject) =>
        ends.set(name, (error) => (error === undefined ? resolve(name) : reject(error))),
      );
    });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return { gate, begun, ends, pass, settle, wait: (ms: number) => (now += ms) };
}

test("work begins at once while there are places, and then in turn, also behind work that fails", async () => {
  const { gate, begun, ends, pass, settle } = setup(2);
  const [one, two, three, four] = ["1", "2", "3", "4"].map(pass);
  expect(begun).toEqual(["1", "2"]);
  ends.get("2")!(new Error("lost"));
  expect(await two!.catch((error) => error.message)).toBe("lost");
  await settle();
  gate.invariants();
  expect(begun).toEqual(["1", "2", "3"]);
  ends.get("1")!();
  await settle();
  expect(begun).toEqual(["1", "2", "3", "4"]);
  for (const name of ["3", "4"]) ends.get(name)!();
  expect(await Promise.all([one, three, four])).toEqual(["1", "3", "4"]);
  gate.invariants();
});

test("who has waited longer than a call may take is refused, and the next one goes on", async () => {
  const { ends, pass, settle, wait, begun } = setup(1);
  const first = pass("1");
  const late = pass("2");
  wait(200);
  const inTime = pass("3");
  wait(100);
  ends.get("1")!();
  await first;
  expect(await late.catch(({ kind, failure }) => [kind, failure])).toEqual(["BUSY", "full"]);
  await settle();
  expect(begun).toEqual(["1", "3"]);
  ends.get("3")!();
  expect(await inTime).toBe("3");
});

test("no more than WAITING_MAX wait", async () => {
  const { pass } = setup(1);
  for (let i = 0; i <= WAITING_MAX; i++) void pass(String(i));
  expect(await pass("too many").catch(({ failure }) => failure)).toBe("full");
});

test("random work never takes more places than there are, and all of it ends", async () => {
  const random = new Random(4);
  const { gate, ends, pass, settle } = setup(3);
  const results: Promise<unknown>[] = [];
  for (let step = 0; step < 2000; step++) {
    if (random.below(2) === 0) results.push(pass(String(step)));
    else {
      const [name] = [...ends.keys()];
      if (name !== undefined) ends.get(name)!();
      if (name !== undefined) ends.delete(name);
      await settle();
    }
    gate.invariants();
  }
  while (ends.size > 0) {
    for (const [name, end] of [...ends]) {
      end();
      ends.delete(name);
    }
    await settle();
  }
  expect((await Promise.allSettled(results)).every(({ status }) => status === "fulfilled")).toBe(true);
});
