/** The table of who owns which slot, and the place of a scan over all masters. */
import { expect, test } from "bun:test";
import { nodeHash, packPlace, unpackPlace } from "../../src/origin/cursor";
import { SLOTS } from "../../src/origin/slots";
import { rangesOf, SlotTable, wholeRange } from "../../src/origin/topology";
import { Random } from "../support/random";

const bytes = (text: string) => Buffer.from(text, "latin1");
const A = { host: "a", port: 1 };
const B = { host: "b", port: 2 };

test("the table knows owners, who owns nothing, and what has moved", () => {
  const table = new SlotTable([
    { first: 100, last: 200, master: B, replicas: [{ host: "r", port: 3 }] },
    { first: 0, last: 49, master: A, replicas: [] },
    { first: 201, last: SLOTS - 1, master: A, replicas: [] },
  ]);
  table.invariants();
  expect(table.uncovered).toBe(50);
  expect(table.ownerOf(49)?.name).toBe("a:1");
  expect(table.ownerOf(50)).toBe(null);
  expect(table.ownerOf(200)?.endpoint).toEqual(B);
  expect(table.masters.map(({ name }) => name)).toEqual(["a:1", "b:2"]);
  expect(table.firstSlots()).toEqual([0, 100]);
  expect(table.known).toContainEqual({ host: "r", port: 3 });
  table.move(20, B);
  table.move(60, { host: "c", port: 4 });
  table.invariants();
  expect(table.firstSlots()).toEqual([0, 20, 60]);
  expect(table.ownerOf(60)?.name).toBe("c:4");
  expect(table.uncovered).toBe(49);
});

test("a single server owns everything", () => {
  const table = new SlotTable(wholeRange(A));
  expect([table.uncovered, table.firstSlots()]).toEqual([0, [0]]);
});

test("CLUSTER SLOTS is read; who does not say its address has the one that was asked", () => {
  const reply = [
    [0, 9, [bytes("B"), 2, bytes("id")], [bytes("10.0.0.1"), 5, bytes("id"), []]],
    [10, 19, [null, 7, bytes("id")]],
    [20, 29, [bytes(""), 8]],
    [30, 39, [bytes("?"), 9]],
  ];
  const ranges = rangesOf(reply, A);
  expect(ranges.map(({ first, last }) => [first, last])).toEqual([
    [0, 9],
    [10, 19],
    [20, 29],
    [30, 39],
  ]);
  expect(ranges.map(({ master }) => master)).toEqual([
    B,
    { host: "a", port: 7 },
    { host: "a", port: 8 },
    { host: "a", port: 9 },
  ]);
  expect(ranges[0]!.replicas).toEqual([{ host: "10.0.0.1", port: 5 }]);
});

test("the place of a scan survives as one number below 2^63; any number is a place", () => {
  const random = new Random(2);
  for (let i = 0; i < 1000; i++) {
    const place = {
      slot: random.below(SLOTS),
      nodeHash: nodeHash(`127.0.0.1:${random.below(65_536)}`),
      nodeCursor: BigInt(random.below(2 ** 39)),
    };
    const packed = packPlace(place)!;
    expect(packed < 2n ** 63n).toBe(true);
    expect(unpackPlace(packed)).toEqual(place);
  }
  expect(packPlace({ slot: SLOTS - 1, nodeHash: 1023, nodeCursor: 2n ** 39n - 1n })).toBe(2n ** 63n - 1n);
  expect(packPlace({ slot: 0, nodeHash: 0, nodeCursor: 2n ** 39n })).toBe(null);
  expect(unpackPlace(0n)).toEqual({ slot: 0, nodeHash: 0, nodeCursor: 0n });
  expect(unpackPlace(2n ** 64n - 1n).slot).toBe(SLOTS - 1);
});
