/** No verb reaches the store without asking the access that it is given: for the verb, and for the key or prefix. */
import { describe, expect, test } from "bun:test";
import { type Access, ANYBODY, mayDo, NOBODY, verbsOf } from "../../src/commands/access";
import { ANY_VERSION, type Commands } from "../../src/commands/commands";
import { RequestError } from "../../src/protocol/errors";
import { Op } from "../../src/protocol/wire";
import { LIMITS, smallWorker } from "../support/small-session";

const PREFIX = "mine:";
const ONLY_MINE: Access = { ...ANYBODY, prefix: Buffer.from(PREFIX) };
const sink = { bytes: Buffer.alloc(100), begin: () => 0 };

type Call = (commands: Commands, access: Access, key: string) => unknown;

/** Every verb there is, each with its key or prefix. */
const VERBS: Record<Op, Call> = {
  [Op.GET]: (commands, access, key) => commands.get(access, commands.keyOf(key), sink),
  [Op.PUT]: (commands, access, key) =>
    commands.put(access, commands.keyOf(key), commands.writeOf(Buffer.from("new"))),
  [Op.DELETE]: (commands, access, key) => commands.delete(access, commands.keyOf(key), ANY_VERSION),
  [Op.TOUCH]: (commands, access, key) => commands.touch(access, commands.keyOf(key), 1000),
  [Op.ADD]: (commands, access, key) => commands.add(access, commands.keyOf(key), 1n),
  [Op.APPEND]: (commands, access, key) =>
    commands.append(access, commands.keyOf(key), commands.writeOf(Buffer.from("0"))),
  [Op.INFO]: (commands, access, key) => commands.info(access, commands.keyOf(key)),
  [Op.SCAN]: (commands, access, key) => commands.scan(access, Buffer.from(key), 0n),
  [Op.CLEAR]: (commands, access, key) => {
    const clearing = commands.clear(access, Buffer.from(key));
    while (!clearing.step(commands.now));
  },
  [Op.PING]: (commands, access) => commands.ping(access),
  [Op.STATS]: (commands, access) => commands.stats(access),
  [Op.WATCH]: (commands, access, key) => commands.watchPrefix(access, Buffer.from(key), false),
  [Op.UNWATCH]: (commands, access, key) => commands.unwatchPrefix(access, Buffer.from(key)),
  [Op.LEASE]: (commands, access, key) =>
    commands.lease(
      { access, waits: false, withMeta: false },
      commands.keyOf(key),
      commands.leaseAsk(undefined, 0),
      sink,
    ),
  [Op.RELEASE]: (commands, access, key) => commands.release(access, commands.keyOf(key), 1),
  [Op.GETDELETE]: (commands, access, key) => commands.getAndDelete(access, commands.keyOf(key), sink),
  [Op.GETTOUCH]: (commands, access, key) => commands.getAndTouch(access, commands.keyOf(key), sink, 1000),
};
const WITHOUT_KEY: readonly number[] = [Op.PING, Op.STATS];
const verbs = Object.entries(Op).map(([name, op]) => ({ name, op, call: VERBS[op] }));

function worker() {
  const parts = smallWorker();
  parts.streams.serve(parts.streams.newFeed({ onNews() {}, makeRoom: () => true }));
  for (const key of ["mine:1", "other:1"]) parts.store.put(key, Buffer.from("7"));
  return parts;
}

/** These and no others: who may read may watch, but an access could be made that may not. */
const bitsOf = (ops: readonly Op[]) => ops.reduce((bits, op) => bits | (1 << op), 0);

function expectForbidden(call: () => unknown): void {
  let thrown: unknown;
  try {
    call();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(RequestError);
  expect((thrown as RequestError).kind).toBe("FORBIDDEN");
}

for (const { name, op, call } of verbs)
  describe(name, () => {
    test("is forbidden to an access without it, changes nothing, and is not counted", () => {
      const { commands, store } = worker();
      const before = { ...commands.report(), uptime: 0 };
      const others = bitsOf(Object.values(Op).filter((other) => other !== op));
      for (const access of [NOBODY, { ...ANYBODY, verbs: others }])
        expectForbidden(() => call(commands, access, "mine:1"));
      expect({ ...commands.report(), uptime: 0 }).toEqual(before);
      expect(store.get("mine:1")?.toString()).toBe("7");
    });

    test("is allowed to one with nothing but it", () => {
      const { commands } = worker();
      call(commands, { ...ANYBODY, verbs: bitsOf([op]) }, "mine:1");
      expect(commands.report().commands[name.toLowerCase()]).toBe(1);
    });

    if (WITHOUT_KEY.includes(op)) return;

    test("is forbidden outside of a prefix and done within it", () => {
      const { commands, store } = worker();
      for (const key of ["other:1", "mine", "Mine:1", "x"])
        expectForbidden(() => call(commands, ONLY_MINE, key));
      expect(store.get("other:1")?.toString()).toBe("7");
      expect(commands.report().commands[name.toLowerCase()]).toBe(0);
      call(commands, ONLY_MINE, "mine:1");
      expect(commands.report().commands[name.toLowerCase()]).toBe(1);
    });

    test("of a key that is too long is BAD_KEY, and FORBIDDEN comes before that", () => {
      const { commands } = worker();
      const tooLong = PREFIX.padEnd(LIMITS.keyBytesMax + 1, "x");
      expect(() => call(commands, ONLY_MINE, tooLong)).toThrow("--max-key");
      expectForbidden(() => call(commands, NOBODY, tooLong));
    });
  });

test("who may read may watch, who may read and write may lease, and two verbs in one need both rights", () => {
  const may = (ops: readonly Op[]) =>
    verbs.filter(({ op }) => mayDo({ ...ANYBODY, verbs: verbsOf(ops) }, op));
  const names = (ops: readonly Op[]) => may(ops).map(({ name }) => name);
  expect(names([Op.GET])).toEqual(["GET", "WATCH", "UNWATCH"]);
  expect(names([Op.PUT])).toEqual(["PUT"]);
  expect(names([Op.GET, Op.PUT])).toEqual(["GET", "PUT", "WATCH", "UNWATCH", "LEASE", "RELEASE"]);
  expect(names([Op.DELETE, Op.TOUCH])).toEqual(["DELETE", "TOUCH"]);
  expect(names([Op.GET, Op.DELETE])).toEqual(["GET", "DELETE", "WATCH", "UNWATCH", "GETDELETE"]);
  expect(names([Op.GET, Op.TOUCH])).toEqual(["GET", "TOUCH", "WATCH", "UNWATCH", "GETTOUCH"]);
});

test("a fill needs the right to read as well", () => {
  const { commands } = worker();
  const write = commands.writeOf(Buffer.from("new"));
  write.lease = 1;
  expectForbidden(() => commands.put({ ...ANYBODY, verbs: bitsOf([Op.PUT]) }, commands.keyOf("k"), write));
});

test("a scan without a prefix is narrowed to the token's, a clear without one is forbidden", () => {
  const { commands, store } = worker();
  const page = commands.scan(ONLY_MINE, Buffer.alloc(0), 0n);
  expect(page.keys.map(String)).toEqual(["mine:1"]);
  expectForbidden(() => commands.clear(ONLY_MINE, Buffer.alloc(0)));
  expect(store.stats().entries).toBe(2);
});
