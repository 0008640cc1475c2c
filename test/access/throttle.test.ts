/** Guessing at tokens: who fails often waits, who is right never does, and the table of addresses has a bound. */
import { describe, expect, test } from "bun:test";
import { ADDRESSES_MAX, HELD_MAX, networkOf, Throttle } from "../../src/access/throttle";
import { createTallyMemory, Tally } from "../../src/commands/tally";
import { RefusalLog } from "../../src/http/refusal-log";
import { refuseToken } from "../../src/http/refuse";
import { startServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const MINUTE = 60_000;

function throttle(failuresMax: number) {
  const state = { now: 0 };
  return { state, throttle: new Throttle(failuresMax, () => state.now) };
}

describe("the bucket of an address", () => {
  test("takes so many failures at once, and fills again within a minute", () => {
    const { state, throttle: t } = throttle(3);
    const paces = (count: number) => Array.from({ length: count }, () => t.failed("192.0.2.1"));
    expect(paces(5)).toEqual(["now", "now", "now", "held", "held"]);
    expect(t.failed("192.0.2.2")).toBe("now");
    state.now += MINUTE / 3;
    expect(paces(2)).toEqual(["now", "held"]);
    state.now += 10 * MINUTE;
    expect(paces(4)).toEqual(["now", "now", "now", "held"]);
  });

  test("beyond so many held answers there is 429 instead, until some were released", () => {
    const { throttle: t } = throttle(1);
    t.failed("192.0.2.1");
    for (let i = 0; i < HELD_MAX; i++) expect(t.failed("192.0.2.1")).toBe("held");
    expect(t.failed("192.0.2.1")).toBe("too many");
    t.released();
    expect(t.failed("192.0.2.1")).toBe("held");
  });

  test("the table has a bound: the address that failed longest ago is forgotten", () => {
    const { throttle: t } = throttle(1);
    const address = (i: number) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
    for (let i = 0; i < ADDRESSES_MAX; i++) expect(t.failed(address(i))).toBe("now");
    expect(t.failed(address(0))).toBe("held");
    expect(t.failed(address(ADDRESSES_MAX))).toBe("now");
    expect(t.failed(address(0))).toBe("held");
    expect(t.failed(address(1))).toBe("now");
  });

  test("is one for 64 bits of IPv6, and for IPv4 in either spelling", () => {
    expect(networkOf("2001:db8:1:2:3:4:5:6")).toBe("2001:db8:1:2");
    expect(networkOf("2001:0DB8:1:2::1")).toBe("2001:db8:1:2");
    expect(networkOf("2001:db8::1")).toBe("2001:db8:0:0");
    expect(networkOf("::1")).toBe("0:0:0:0");
    expect(networkOf("fe80::1%eth0")).toBe("fe80:0:0:0");
    expect(networkOf("::ffff:192.0.2.1")).toBe("192.0.2.1");
    expect(networkOf("192.0.2.1")).toBe("192.0.2.1");
    expect(networkOf("")).toBe("");
  });
});

describe("the answer to a wrong token", () => {
  const tally = new Tally(createTallyMemory(1), 0);
  const refusals = new RefusalLog({ info() {}, debug() {} }, () => 0);
  const answer = (throttle: Throttle, address: string) =>
    refuseToken({ tally, throttle, refusals }, { address, method: "GET" }, "wrong", "");

  test("is 401, then 401 that waits, then 429 with Retry-After", async () => {
    const { throttle: t } = throttle(1);
    const first = answer(t, "192.0.2.1");
    expect((first as Response).status).toBe(401);
    const second = answer(t, "192.0.2.1");
    expect(second).toBeInstanceOf(Promise);
    expect((answer(t, "192.0.2.2") as Response).status).toBe(401);
    for (let i = 1; i < HELD_MAX; i++) t.failed("192.0.2.1");
    const third = answer(t, "192.0.2.1") as Response;
    expect([third.status, third.headers.get("retry-after")]).toEqual([429, "1"]);
    expect((await second).status).toBe(401);
    // One was released: there is room for one.
    expect(answer(t, "192.0.2.1")).toBeInstanceOf(Promise);
  });
});

test("while wrong tokens wait, a right one from the same address does not", async () => {
  const server = await startServer({ flags: ["--token", "right", "--auth-failures", "1", "--workers", "1"] });
  const ask = (token: string) =>
    fetch(`${server.http}/get?key=a`, { headers: { Authorization: `Bearer ${token}` } });
  expect((await ask("wrong")).status).toBe(401);
  const order: string[] = [];
  const note = (name: string) => (response: { status: number }) => order.push(`${name} ${response.status}`);
  const held = [
    ask("guess-1").then(note("wrong")),
    WireClient.connect(server.ws, { headers: { Authorization: "Bearer guess-2" } }).catch(() =>
      order.push("wrong WebSocket"),
    ),
  ];
  // The metric says that both guesses have arrived.
  const failures = async () =>
    Number(/auth_failures_total (\d+)/.exec(await (await fetch(`${server.http}/metrics`)).text())![1]);
  while ((await failures()) < 3);
  await ask("right").then(note("right"));
  const client = await WireClient.connect(server.ws, { headers: { Authorization: "Bearer right" } });
  order.push("right WebSocket");
  client.close();
  // No token at all is no guess.
  expect((await fetch(`${server.http}/get?key=a`)).status).toBe(401);
  order.push("no token");
  await Promise.all(held);
  expect(order.slice(0, 3)).toEqual(["right 404", "right WebSocket", "no token"]);
  expect(order.slice(3).sort()).toEqual(["wrong 401", "wrong WebSocket"]);
  expect(await failures()).toBe(3);
  await server.stop();
});
