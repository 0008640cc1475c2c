/** The judge of what two servers answered: it lets pass what can be, and nothing else. */
import { expect, test } from "bun:test";
import { type Actor, type Change, History, type Read } from "../faults/nodes/history";

const AGE = 100;
const actor = (name: string, node = 0, ownAgeMs = 0): Actor => ({ name, node, maxAgeMs: AGE, ownAgeMs });
const [ANN, BOB] = [actor("ann"), actor("bob", 1)];

type Asked = Partial<Change> & Pick<Change, "value" | "sent" | "done">;

/** Each case: writes, reads, and what is wrong with them. */
class Case {
  readonly history = new History();
  private turn = 0;

  write(asked: Asked): this {
    const plain = { key: "k", by: ANN, turn: this.turn++, version: 0, ttlMs: Infinity };
    this.history.changed({ ...plain, ...asked });
    return this;
  }

  read(value: string | null, sent: number, more: Partial<Read> = {}): this {
    const plain = { key: "k", version: 0, by: BOB, turn: this.turn++, received: sent + 1 };
    this.history.read({ ...plain, value, sent, ...more });
    return this;
  }

  get errors(): string[] {
    return this.history.judge().errors;
  }
}

const twoWrites = () =>
  new Case()
    .write({ value: "a", sent: 0, done: 1, version: 1 })
    .write({ value: "b", sent: 2, done: 3, version: 2 });

test("a value may be read until it has been over for as long as is promised", () => {
  expect(twoWrites().read("b", 500, { by: ANN }).read("a", 103).errors).toEqual([]);
  expect(twoWrites().read("a", 104).errors).toHaveLength(1);
  expect(twoWrites().read("a", 103).history.judge().oldestMs).toBe(100);
});

test("a server's own writes are seen at once, and so are a connection's", () => {
  expect(twoWrites().read("a", 3, { by: actor("other") }).errors).toEqual([]);
  expect(twoWrites().read("a", 4, { by: actor("other") }).errors).toHaveLength(1);
  expect(twoWrites().read("a", 2, { by: ANN }).errors).toHaveLength(1);
  expect(twoWrites().read("a", 4, { by: actor("near", 0, 50) }).errors).toEqual([]);
  expect(twoWrites().read("a", 54, { by: actor("near", 0, 50) }).errors).toHaveLength(1);
});

test("writes at the same time are ordered by their versions, where they are known", () => {
  const both = (version: number) =>
    new Case()
      .write({ value: "a", sent: 0, done: 9, version: 2, by: BOB })
      .write({ value: "b", sent: 1, done: 8, version });
  expect(both(0).read("a", 500).errors).toEqual([]);
  expect(both(1).read("a", 500).errors).toEqual([]);
  expect(both(3).read("a", 500).errors).toHaveLength(1);
});

test("a write of which nobody knows whether it has happened may happen at any time from its sending on", () => {
  const maybe = () => twoWrites().write({ value: "c", sent: 10, done: Infinity });
  expect(maybe().read("c", 10).read("b", 900).read("c", 5000).errors).toEqual([]);
  expect(maybe().read("c", 8).errors).toHaveLength(1);
  const gone = () => twoWrites().write({ value: null, sent: 10, done: Infinity });
  const late = () => twoWrites().write({ value: null, sent: 200, done: Infinity });
  expect(gone().read(null, 9000).read("b", 9000).errors).toEqual([]);
  expect(late().read(null, 150).errors).toHaveLength(1);
});

test("a write that has certainly not happened is never read", () => {
  expect(
    twoWrites().write({ value: "c", sent: Infinity, done: Infinity }).read("c", 900).errors,
  ).toHaveLength(1);
  expect(twoWrites().read("d", 900).errors).toHaveLength(1);
});

test("nothing is there at first, after a delete, and when it has expired", () => {
  expect(twoWrites().read(null, 101).errors).toEqual([]);
  expect(twoWrites().read(null, 102).errors).toHaveLength(1);
  const deleted = () => twoWrites().write({ value: null, sent: 10, done: 11 });
  expect(deleted().read(null, 900).read("b", 111).errors).toEqual([]);
  expect(deleted().read("b", 112).errors).toHaveLength(1);
  const expiring = () => new Case().write({ value: "a", sent: 0, done: 1, ttlMs: 1000 });
  expect(expiring().read("a", 1100).read(null, 1100).errors).toEqual([]);
  expect(expiring().read("a", 1152).errors).toHaveLength(1);
  expect(expiring().read(null, 500).errors).toHaveLength(1);
  const touched = expiring();
  touched.history.touched({ key: "k", sent: 10, done: 11, ttlMs: Infinity });
  expect(touched.read("a", 9000).errors).toEqual([]);
});

test("a connection does not go back in time", () => {
  const near = actor("near", 1);
  expect(twoWrites().read("b", 50, { by: near }).read("a", 51, { by: near }).errors).toHaveLength(1);
  expect(twoWrites().read("b", 50, { by: near }).read("a", 51).errors).toEqual([]);
  const gone = () => twoWrites().write({ value: null, sent: 4, done: 5 });
  expect(gone().read("b", 50).read(null, 51).errors).toEqual([]);
  expect(gone().read("b", 50).read(null, 51).read("b", 52).errors).toHaveLength(1);
});

test("a value has one version", () => {
  expect(twoWrites().read("b", 3, { version: 2 }).errors).toEqual([]);
  expect(twoWrites().read("b", 3, { version: 3 }).errors).toHaveLength(1);
});

test("what the engine has lost is counted, and may be read before it was lost and what is left after that", () => {
  const lost = () => {
    const made = twoWrites();
    made.history.lost("k", { value: "a", from: 50, known: 60 });
    return made;
  };
  const { errors, lost: count } = lost()
    .read("b", 40)
    .read("a", 55)
    .read("b", 150)
    .read("a", 5000)
    .history.judge();
  expect([errors, count]).toEqual([[], 1]);
  expect(lost().read("b", 161).errors).toHaveLength(1);
  const kept = twoWrites();
  kept.history.lost("k", { value: "b", from: 50, known: 60 });
  expect(kept.read("b", 40).history.judge().lost).toBe(0);
});
