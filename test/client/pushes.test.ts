/** Pushes as bytes: what is told, in which order, and what is no push. */
import { describe, expect, test } from "bun:test";
import { isPush, type Pushes, readPushes } from "../../src/client/pushes";
import { connected } from "./fake-connection";
import { changed, filled, leased, metaValue, miss, reset, value } from "./wire-replies";

/** Everything that a message tells, in its order. */
function toldBy(message: Buffer): unknown[] {
  const told: unknown[] = [];
  const to: Pushes = {
    changed: (key, version) => told.push([key, version]),
    reset: (prefix) => told.push({ reset: prefix }),
    filled: (ticket, { status }) => told.push({ ticket, status }),
  };
  readPushes(Uint8Array.from(message).buffer, to);
  return told;
}

describe("what is told", () => {
  test("changes, resets and filled tickets, many in one message", () => {
    const message = Buffer.concat([
      changed(["a", 5], ["grüße 🍞", 2 ** 53 - 1], ["", 0]),
      reset("user:", 2),
      filled(7, metaValue("v", 9)),
      filled(0xffffffff, leased(3)),
      changed(),
      filled(8, miss()),
    ]);
    expect(toldBy(message)).toEqual([
      ["a", 5],
      ["grüße 🍞", 2 ** 53 - 1],
      ["", 0],
      { reset: "user:" },
      { ticket: 7, status: 2 },
      { ticket: 0xffffffff, status: 0x0a },
      { ticket: 8, status: 3 },
    ]);
  });

  test("65,535 changes in one message", () => {
    const told = toldBy(changed(...Array.from({ length: 65_535 }, (_, i): [string, number] => [`${i}`, i])));
    expect(told).toHaveLength(65_535);
    expect(told.at(-1)).toEqual(["65534", 65_534]);
  });

  test("a prefix that ends within a character is told without it", () => {
    expect(toldBy(reset(Buffer.from([0x61, 0xf0, 0x9f])))).toEqual([{ reset: "a" }]);
    expect(toldBy(reset(Buffer.from([0xff, 0x61])))).toEqual([{ reset: "" }]);
  });

  test("of a push of an unknown kind, and of what comes after it, nothing", () => {
    expect(toldBy(Buffer.concat([changed(["a", 5]), Buffer.of(0xf3, 1, 2, 3), changed(["b", 6])]))).toEqual([
      ["a", 5],
    ]);
    expect(toldBy(Buffer.of(0xff))).toEqual([]);
  });

  test("a message is one of pushes by its first byte", () => {
    const firstBytes = [0x00, 0x87, 0xef, 0xf0, 0xf2, 0xff];
    expect(firstBytes.map((byte) => isPush(Uint8Array.of(byte).buffer))).toEqual([
      false,
      false,
      false,
      true,
      true,
      true,
    ]);
    expect([isPush(new ArrayBuffer(0)), isPush("text")]).toEqual([false, false]);
  });
});

const WHOLE = Buffer.concat([changed(["key", 5]), reset("pre"), filled(7, metaValue("v", 9))]);
const [CHANGED_BYTES, RESET_BYTES] = [changed(["key", 5]).length, reset("pre").length];

describe("what is no push", () => {
  test("a message that is cut short anywhere but between pushes", () => {
    const whole = [0, CHANGED_BYTES, CHANGED_BYTES + RESET_BYTES, WHOLE.length];
    for (let length = 0; length <= WHOLE.length; length++) {
      const read = () => toldBy(WHOLE.subarray(0, length));
      if (whole.includes(length)) expect(read).not.toThrow();
      else expect(read).toThrow();
    }
  });

  test("a reply among pushes, and a reply of unknown status in one", () => {
    expect(() => toldBy(Buffer.concat([reset(), miss()]))).toThrow("a push of unknown kind 3");
    expect(() => toldBy(filled(7, Buffer.of(0x55)))).toThrow("reply of unknown status 85");
    expect(() => toldBy(filled(7, filled(8, miss())))).toThrow("reply of unknown status 242");
  });
});

describe("a client that watches nothing", () => {
  test("goes on, whatever is pushed to it between its replies", async () => {
    const { cache, asked, receive, events } = await connected({ heartbeatMs: 0 });
    const gets = [cache.get("a"), cache.get("b")];
    await asked();
    await receive(WHOLE, value("A"), Buffer.of(0xfe, 1, 2, 3), filled(9, leased(5)), value("B"));
    expect(await Promise.all(gets)).toEqual(["A", "B"]);
    expect(events).toEqual([]);
    // Nobody took the lease, and it was not asked for.
    expect(await asked()).toEqual([]);
  });

  test("leaves a server whose pushes make no sense, as one whose replies do", async () => {
    for (const garbage of [WHOLE.subarray(0, 5), Buffer.concat([reset(), miss()])]) {
      const { cache, asked, receive, events, reconnect } = await connected({ heartbeatMs: 0 });
      const get = cache.get("a");
      await asked();
      await receive(garbage);
      expect(events[0]).toMatchObject(["close", { code: 1002, willReconnect: true }]);
      await reconnect();
      await receive(value("A"));
      expect(await get).toBe("A");
    }
  });
});
