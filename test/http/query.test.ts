/** Query parameters: what an endpoint does not know is refused, and never taken for "nothing asked". */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startServer, type TestServer } from "../support/server";

let server: TestServer;

beforeAll(async () => {
  server = await startServer();
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

const call = (path: string, init?: RequestInit) => fetch(server.http + path, init);
const put = (path: string, body: string, headers: Record<string, string> = {}) =>
  call(path, { method: "PUT", body, headers });

async function messageOf(response: Response): Promise<string> {
  expect(response.status).toBe(400);
  return ((await response.json()) as { message: string }).message;
}

describe("parameters that are not known", () => {
  test("a misspelt ttl or condition of a put is refused, and nothing is stored", async () => {
    await put("/kv/lock", "mine");
    for (const query of ["TTL=60", "expires=60", "ttl=60000&If=absent", "if-absent", "=", "ttl%3D=1"])
      expect(await messageOf(await put(`/kv/lock?${query}`, "theirs"))).toContain("unknown query parameter");
    expect(await (await call("/kv/lock")).text()).toBe("mine");
  });

  test("every endpoint refuses them and says what it knows", async () => {
    for (const [path, method, known] of [
      ["/kv/lock?ttl=1", "GET", "only lease, wait"],
      ["/kv/lock?if=present", "DELETE", "none"],
      ["/kv/lock?x=1", "PUT", "only ttl, if, lease"],
      ["/events?key=a", "GET", "only prefix"],
      ["/get?key=a&ttl=1", "GET", "only key"],
      ["/get?key=a&key=b", "GET", "twice"],
      ["/put?ttl=1", "POST", "none"],
      ["/batch?x", "POST", "none"],
      ["/stats?pretty", "GET", "none"],
      ["/metrics?x=1", "GET", "none"],
      ["/healthz?x=1", "GET", "none"],
      ["/?x=1", "GET", "none"],
      ["/ws?token=secret", "GET", "none"],
    ] as const) {
      const body = method === "PUT" || method === "POST" ? { body: "[]" } : {};
      expect(await messageOf(await call(path, { method, ...body }))).toContain(known);
    }
  });

  test("an empty query asks nothing", async () => {
    await put("/kv/plain?", "x");
    for (const path of ["/kv/plain?", "/kv/plain?&", "/stats?"]) expect((await call(path)).status).toBe(200);
  });
});

describe("?if=", () => {
  test("absent stores once", async () => {
    expect((await put("/kv/once?if=absent", "first")).status).toBe(204);
    expect((await put("/kv/once?if=absent", "second")).status).toBe(412);
    expect(await (await call("/kv/once")).text()).toBe("first");
  });

  test("present stores only over an entry", async () => {
    expect((await put("/kv/never?if=present", "x")).status).toBe(412);
    expect((await call("/kv/never")).status).toBe(404);
    expect((await put("/kv/once?if=present&ttl=1h", "third")).status).toBe(204);
  });

  test("anything else, and both ways of saying it, are refused", async () => {
    expect(await messageOf(await put("/kv/once?if=maybe", "x"))).toContain("absent or present");
    const twice = await put("/kv/once?if=present", "x", { "If-Match": "*" });
    expect(await messageOf(twice)).toContain("not in both");
  });
});

describe("?ttl=", () => {
  for (const [text, ms] of [
    ["60000", 60_000],
    ["1500ms", 1500],
    ["60s", 60_000],
    ["1.5s", 1500],
    ["5m", 300_000],
    ["2h", 7_200_000],
    ["7d", 604_800_000],
  ] as const)
    test(`${text} is ${ms} milliseconds`, async () => {
      expect((await put(`/kv/life?ttl=${text}`, "x")).status).toBe(204);
      const info = await call("/batch", { method: "POST", body: '[{"op":"info","key":"life"}]' });
      const [{ ttl }] = (await info.json()) as [{ ttl: number }];
      expect(ttl).toBeLessThanOrEqual(ms);
      expect(ttl).toBeGreaterThan(ms - 1500);
    });

  test("what is no time is refused with examples", async () => {
    for (const text of ["0", "0s", "-1", "1.5", "s", "60  s", "1w", "99999999999999999", "9007199254740991d"])
      expect(await messageOf(await put(`/kv/life?ttl=${encodeURIComponent(text)}`, "x"))).toContain("60s");
  });
});
