/** Slots of keys: what the specification says, and what a server says. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { slotOf } from "../../src/origin/slots";
import { type Cluster, startCluster } from "../support/cluster";
import { Random } from "../support/random";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster({ masters: 1, replicas: 0 });
});
afterAll(() => cluster.stop());

const slotOfText = (text: string) => slotOf(Buffer.from(text), 0, Buffer.byteLength(text));

test("the specification's CRC of 123456789 is 31C3", () => {
  expect(slotOfText("123456789")).toBe(0x31c3);
});

test("the specification's examples of hash tags", () => {
  expect(slotOfText("{user1000}.following")).toBe(slotOfText("{user1000}.followers"));
  expect(slotOfText("{user1000}.following")).toBe(slotOfText("user1000"));
  expect(slotOfText("foo{{bar}}zap")).toBe(slotOfText("{bar"));
  expect(slotOfText("foo{bar}{zap}")).toBe(slotOfText("bar"));
  expect(slotOfText("foo{}{bar}")).not.toBe(slotOfText("bar"));
  expect(slotOfText("")).toBe(0);
});

test("only the bytes of the range count, braces outside of it do not", () => {
  const bytes = Buffer.from("{a}user1000}");
  expect(slotOf(bytes, 3, 11)).toBe(slotOfText("user1000"));
  expect(slotOf(Buffer.from("x{user1000}"), 1, 10)).toBe(slotOfText("{user1000"));
});

test("a server has the same slots, whatever the bytes", async () => {
  const random = new Random(1);
  const keys = Array.from({ length: 2000 }, () => {
    const bytes = random.bytes(random.below(40));
    // Most random bytes are no braces.
    for (let at = 0; at < bytes.length; at++)
      if (random.below(5) === 0) bytes[at] = random.pick([0x7b, 0x7d]);
    return bytes;
  });
  const answers = await Promise.all(keys.map((key) => cluster.nodes[0]!.command("CLUSTER", "KEYSLOT", key)));
  expect(keys.map((key) => slotOf(key, 0, key.length))).toEqual(answers as number[]);
});
