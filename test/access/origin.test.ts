/** Pages of other origins, and names that are not ours: what a browser would send, and what it is told. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Hosts } from "../../src/http/host";
import { Origins } from "../../src/http/origin";
import { isLoopback } from "../../src/system/loopback";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const LISTED = "https://ok.example";
let server: TestServer;

beforeAll(async () => {
  server = await startServer({
    flags: [
      "--allow-origin",
      `${LISTED},http://Dev.example:80,app://breadbox`,
      "--allow-host",
      "Cache.Example",
    ],
  });
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

const call = (path: string, headers: Record<string, string>, init: RequestInit = {}) =>
  fetch(server.http + path, { ...init, headers });

describe("whose page it is", () => {
  const origins = new Origins([LISTED, "http://Dev.example:80", "app://breadbox"], false);
  for (const [origin, host, standing] of [
    ["http://localhost:7171", "localhost:7171", "own"],
    ["http://LOCALHOST:7171", "localhost:7171", "own"],
    ["http://cache.example", "cache.example:80", "own"],
    ["http://cache.example:80", "cache.example", "own"],
    // A proxy before us speaks TLS.
    ["https://cache.example", "cache.example", "own"],
    ["https://cache.example", "cache.example:443", "own"],
    ["https://cache.example", "cache.example:80", "stranger"],
    ["http://localhost:7172", "localhost:7171", "stranger"],
    ["http://localhost", "localhost:7171", "stranger"],
    ["chrome-extension://localhost:7171", "localhost:7171", "stranger"],
    ["null", "null", "stranger"],
    ["null", "localhost", "stranger"],
    ["", "", "stranger"],
    ["http://", "", "stranger"],
    ["http://localhost", null, "stranger"],
    [LISTED, "localhost", "listed"],
    ["https://OK.example", "localhost", "listed"],
    ["https://ok.example:443", "localhost", "listed"],
    ["http://ok.example", "localhost", "stranger"],
    ["https://ok.example:8443", "localhost", "stranger"],
    ["https://ok.example.evil", "localhost", "stranger"],
    ["https://evil-ok.example", "localhost", "stranger"],
    ["http://dev.example", "localhost", "listed"],
    ["app://breadbox", "localhost", "listed"],
  ] as const)
    test(`${origin || "nothing"} to ${host} is ${standing}`, () =>
      expect(origins.standingOf(origin, host)).toBe(standing));

  test("with TLS, a page that came without it is none of ours", () => {
    const secure = new Origins([], true);
    expect(secure.standingOf("http://localhost:7171", "localhost:7171")).toBe("stranger");
    expect(secure.standingOf("https://localhost:7171", "localhost:7171")).toBe("own");
  });

  test("* lists all, even those that will not say who they are", () => {
    for (const origin of ["null", "https://any.example"])
      expect(new Origins(["*"], false).standingOf(origin, "localhost")).toBe("listed");
  });
});

describe("what a page is told", () => {
  test("a listed one may read the answer, errors too", async () => {
    for (const path of ["/stats", "/get?key=nothing", "/get", "/nowhere", "/healthz"]) {
      const { headers } = await call(path, { Origin: LISTED });
      expect(headers.get("access-control-allow-origin")).toBe(LISTED);
      expect(headers.get("vary")).toBe("Origin");
      expect(headers.get("access-control-expose-headers")).toContain("ETag");
      expect(headers.has("access-control-allow-credentials")).toBe(false);
    }
    const leased = await call("/kv/leased?lease=5s", { Origin: LISTED });
    const exposed = leased.headers.get("access-control-expose-headers")!.split(", ");
    expect([leased.status, leased.headers.has("lease"), exposed.includes("Lease")]).toEqual([
      404,
      true,
      true,
    ]);
    const stored = await call("/kv/o", { Origin: LISTED }, { method: "PUT", body: "x" });
    expect([stored.status, stored.headers.get("access-control-allow-origin")]).toEqual([204, LISTED]);
  });

  test("what one page may read is not said to the next, nor to who is no page", async () => {
    await call("/stats", { Origin: LISTED });
    const headers = (await call("/stats", {})).headers;
    expect(headers.has("access-control-allow-origin")).toBe(false);
    // The answer to a page of the list would differ, which a cache in between has to know.
    expect(headers.get("vary")).toBe("Origin");
    const dev = await call("/stats", { Origin: "http://dev.example" });
    expect(dev.headers.get("access-control-allow-origin")).toBe("http://dev.example");
  });

  test("the server's own page needs no permission, a stranger gets none and changes nothing", async () => {
    const own = await call("/get?key=o", { Origin: server.http });
    expect([own.status, own.headers.has("access-control-allow-origin")]).toEqual([200, false]);
    for (const origin of ["https://evil.example", "null"]) {
      const body = JSON.stringify({ key: "o", value: "evil" });
      const refused = await call(
        "/put",
        { Origin: origin, "Content-Type": "application/json" },
        { method: "POST", body },
      );
      expect([refused.status, refused.headers.has("access-control-allow-origin")]).toEqual([403, false]);
      await expect(WireClient.connect(server.ws, { headers: { Origin: origin } })).rejects.toThrow();
    }
    expect(await (await call("/kv/o", {})).text()).toBe("x");
  });

  test("a preflight names the path's methods and the headers of the API", async () => {
    const preflight = (origin: string, path: string) =>
      call(path, { Origin: origin, "Access-Control-Request-Method": "PUT" }, { method: "OPTIONS" });
    const { status, headers } = await preflight(LISTED, "/kv/some%2Fkey");
    expect(status).toBe(204);
    expect(headers.get("access-control-allow-origin")).toBe(LISTED);
    expect(headers.get("access-control-allow-methods")).toBe("GET, HEAD, PUT, DELETE, PROPFIND, MKCOL");
    for (const name of ["Authorization", "Content-Type", "If-Match", "If-None-Match"])
      expect(headers.get("access-control-allow-headers")).toContain(name);
    expect(headers.get("access-control-max-age")).toBe("7200");
    expect(headers.get("vary")).toBe("Origin");
    expect((await preflight(LISTED, "/nowhere")).status).toBe(404);
    const refused = await preflight("https://evil.example", "/kv/a");
    expect([refused.status, refused.headers.has("access-control-allow-methods")]).toEqual([403, false]);
    // Without an Origin it is no preflight.
    expect((await call("/kv/a", {}, { method: "OPTIONS" })).status).toBe(405);
  });

  test("with a token, a preflight needs none, and a page can read that its request did", async () => {
    const guarded = await startServer({ flags: ["--token", "t", "--allow-origin", LISTED] });
    const page = (headers: Record<string, string>, method = "GET") =>
      fetch(`${guarded.http}/get?key=a`, { method, headers: { Origin: LISTED, ...headers } });
    expect((await page({ "Access-Control-Request-Method": "GET" }, "OPTIONS")).status).toBe(204);
    const refused = await page({});
    expect([refused.status, refused.headers.get("access-control-allow-origin")]).toEqual([401, LISTED]);
    expect((await page({ Authorization: "Bearer t" })).status).toBe(404);
    await guarded.stop();
  });
});

describe("the name in Host", () => {
  test("on loopback it is loopback's, or one on the list, with any port", async () => {
    for (const [host, status] of [
      ["localhost", 200],
      ["LocalHost:1", 200],
      ["127.0.0.1:80", 200],
      ["127.8.9.10", 200],
      ["[::1]:7171", 200],
      ["cache.example:9", 200],
      ["evil.example", 403],
      ["evil.example:7171", 403],
      ["localhost.evil.example", 403],
      ["127.0.0.1.evil.example", 403],
      ["evil.example", 403],
    ] as const) {
      const response = await call("/stats", { Host: host });
      expect({ host, status: response.status }).toEqual({ host, status });
      if (status === 403) expect(await response.text()).toContain("--allow-host");
    }
    const rebound = { Host: "evil.example", Origin: "http://evil.example" };
    expect((await call("/get?key=a", rebound)).status).toBe(403);
    expect((await call("/nowhere", rebound)).status).toBe(403);
    await expect(WireClient.connect(server.ws, { headers: rebound })).rejects.toThrow();
  });

  test("elsewhere any name is answered, unless there is a list", () => {
    expect(new Hosts("0.0.0.0", []).allowsName("anything")).toBe(true);
    const listed = new Hosts("192.0.2.7", ["cache.example"]);
    expect(["cache.example", "192.0.2.7:7171", "localhost"].map((host) => listed.allowsName(host))).toEqual([
      true,
      true,
      true,
    ]);
    expect(listed.allowsName("evil.example")).toBe(false);
    expect(new Hosts("2001:db8::1", ["a"]).allowsName("[2001:db8::1]:7171")).toBe(true);
  });

  test("who was allowed last is remembered, who was refused is not", () => {
    const listed = new Hosts("192.0.2.7", ["cache.example"]);
    const asked = ["evil.example", "cache.example", "cache.example.evil", "cache.example", "evil.example"];
    expect(asked.map((host) => listed.allows(new Request(`http://${host}/get?key=a`)))).toEqual([
      false,
      true,
      false,
      true,
      false,
    ]);
  });

  test("what counts as loopback", () => {
    expect(["127.0.0.1", "127.1.2.3", "::1", "[::1]", "LocalHost"].every(isLoopback)).toBe(true);
    expect(["0.0.0.0", "::", "192.168.0.1", "cache.example", "128.0.0.1"].some(isLoopback)).toBe(false);
  });
});
