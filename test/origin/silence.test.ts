/** Who keeps copies of its own is told when nobody knows any more what has changed. */
import { describe, expect, test } from "bun:test";
import { Silence } from "../../src/origin/silence";
import { createTrustMemory, MASTERS_MAX, Trust } from "../../src/origin/trust";
import { settled } from "../support/fake-engine";
import { isPush, pushes, request } from "../support/frames";
import { SmallNode } from "../support/small-node";

const AGE = 400;
const [GET, PING] = [1, 10];
const GET_WATCH = 0x10;
const START = 1_000_000;

describe("a master", () => {
  test("is silent when its last proof is too old, once, and again when it has spoken meanwhile", () => {
    const trust = new Trust(createTrustMemory(START), AGE);
    const silence = new Silence(trust);
    trust.proven(7, START);
    expect([0, 399, 400, 401, 402, 5000].map((ms) => silence.hasBegun(START + ms))).toEqual([
      false,
      false,
      false,
      true,
      false,
      false,
    ]);
    trust.proven(7, START + 5000);
    expect([5401, 5801, 6300].map((ms) => silence.hasBegun(START + ms))).toContain(true);
  });

  test("does not hide another one's silence", () => {
    const trust = new Trust(createTrustMemory(START), AGE);
    const silence = new Silence(trust);
    trust.proven(0, START);
    trust.proven(MASTERS_MAX - 1, START);
    expect(silence.hasBegun(START)).toBe(false);
    trust.proven(1, START + 300);
    expect(silence.hasBegun(START + 401)).toBe(true);
    expect(silence.hasBegun(START + 701)).toBe(true);
    expect(silence.hasBegun(START + 5000)).toBe(false);
  });

  test("that is not tracked any more is not waited for", () => {
    const trust = new Trust(createTrustMemory(START), AGE);
    const silence = new Silence(trust);
    for (const master of [0, 1]) trust.proven(master, START);
    trust.retire(0);
    expect(trust.silenceOf(0, START + 500)).toBeNull();
    trust.distrustAll();
    expect(silence.hasBegun(START + 500)).toBe(false);
  });
});

test("who watches drops everything before the first answer after that, and what it reads then is not its to keep", async () => {
  const node = new SmallNode(undefined, { maxAgeMs: AGE });
  const { engine, copies } = node;
  engine.record.put("key", Buffer.from("1"));
  const { session, taken } = node.connect();
  const watched = request({ op: GET, key: "key", flags: GET_WATCH });
  session.receive(watched);
  await settled();
  expect((taken() as Buffer[]).some(isPush)).toBe(false);
  copies.now += AGE + 1;
  session.receive(request({ op: PING }));
  await settled();
  const [first, second] = taken() as Buffer[];
  expect([pushes(first!), isPush(second!)]).toMatchObject([[{ push: "RESET", prefix: "" }], false]);
  session.receive(watched);
  await settled();
  expect((taken() as Buffer[]).filter(isPush).flatMap(pushes)).toMatchObject([{ push: "CHANGED" }]);
  node.prove();
  session.receive(watched);
  await settled();
  expect((taken() as Buffer[]).some(isPush)).toBe(false);
});
