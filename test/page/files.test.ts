/** What the page consists of, as files: their headers and size, who gets them, and that they are bundled alike in every worker. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startServer, type TestServer } from "../support/server";

/** Of what a browser loads before it shows something, packed. */
const FIRST_PAINT_BYTES_MAX = 100_000;
const HTML = { Accept: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8" };
const LINK = { "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document" };

let server: TestServer;
let paths: string[];

beforeAll(async () => {
  server = await startServer({ env: { BREADBOX_TOKEN: "needed" } });
  const text = await (await get("/", HTML)).text();
  paths = [...text.matchAll(/(?:href|src)="(\/[^"]+)"/g)].map(([, path]) => path!);
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
  expect(server.log()).not.toContain(" error ");
});

const get = (path: string, headers: Record<string, string> = {}, init: BunFetchRequestInit = {}) =>
  fetch(server.http + path, { ...init, headers });

describe("GET /", () => {
  test("is the page for who takes HTML, and the list of endpoints for everybody else", async () => {
    const page = await get("/", HTML);
    expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html;charset=utf-8"]);
    expect(await page.text()).toStartWith("<!doctype html>");
    for (const headers of [{}, { Accept: "*/*" }, { Accept: "application/json" }] as Record<
      string,
      string
    >[]) {
      const index = await get("/", headers);
      expect([index.headers.get("content-type"), index.headers.get("vary")]).toEqual([
        "application/json",
        "Accept",
      ]);
      expect(await index.json()).toMatchObject({ name: "breadbox", needsToken: true });
    }
    const head = await get("/", HTML, { method: "HEAD" });
    expect([head.status, head.headers.get("content-type")]).toEqual([200, "text/html;charset=utf-8"]);
  });

  test("is where links of other sites may lead, but not their frames, scripts and requests", async () => {
    expect((await get("/", { ...HTML, ...LINK })).status).toBe(200);
    for (const other of <Record<string, string>[]>[
      { "Sec-Fetch-Dest": "iframe" },
      { "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script" },
      { Origin: "https://evil.example" },
    ])
      expect((await get("/", { ...HTML, ...LINK, ...other })).status).toBe(403);
    for (const path of ["/stats", "/kv/a", "/healthz", ...paths])
      expect((await get(path, LINK)).status).toBe(403);
    const foreign = await get("/", { ...HTML, Host: "evil.example" });
    expect(foreign.status).toBe(403);
  });
});

describe("its files", () => {
  test("are few, and small enough for a first paint", async () => {
    expect(paths.map((path) => path.slice(path.lastIndexOf(".")))).toEqual([".svg", ".css", ".js"]);
    const sizes = await Promise.all(
      ["/", ...paths].map(async (path) => {
        const response = await get(path, { ...HTML, "Accept-Encoding": "gzip" }, { decompress: false });
        expect(response.headers.get("content-encoding")).toBe("gzip");
        return (await response.arrayBuffer()).byteLength;
      }),
    );
    const sum = sizes.reduce((all, size) => all + size);
    expect(sum).toBeGreaterThan(10_000);
    expect(sum).toBeLessThan(FIRST_PAINT_BYTES_MAX);
  });

  test("need no token, have a strict policy, nothing inline, and no address elsewhere", async () => {
    for (const path of ["/", ...paths]) {
      const { status, headers } = await get(path, HTML);
      expect([path, status]).toEqual([path, 200]);
      const policy = headers.get("content-security-policy")!;
      for (const part of [
        "default-src 'none'",
        "script-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
      ])
        expect(policy.split("; ")).toContain(part);
      expect(policy).not.toContain("unsafe");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("referrer-policy")).toBe("no-referrer");
      expect(headers.get("cross-origin-resource-policy")).toBe("same-origin");
    }
    const text = await (await get("/", HTML)).text();
    expect(text).not.toMatch(/<script(?![^>]* src=)|<style|\son[a-z]+=|\sstyle=|https?:/);
  });

  test("are kept for ever under their names; the page itself is asked for, and not sent again", async () => {
    for (const path of ["/", ...paths]) {
      const first = await get(path, HTML);
      const kept = path === "/" ? "no-cache" : "public, max-age=31536000, immutable";
      expect(first.headers.get("cache-control")).toBe(kept);
      const again = await get(path, { ...HTML, "If-None-Match": first.headers.get("etag")! });
      expect([again.status, await again.text()]).toEqual([304, ""]);
      const other = await get(path, { ...HTML, "If-None-Match": '"other"' });
      expect(other.status).toBe(200);
    }
  });

  test("come packed only to those who take it so", async () => {
    for (const [encoding, packed] of [
      ["identity", null],
      ["gzip;q=0, br", null],
      ["br, gzip;q=0.5", "gzip"],
    ] as const) {
      const response = await get(paths[2]!, { "Accept-Encoding": encoding });
      expect([encoding, response.headers.get("content-encoding")]).toEqual([encoding, packed]);
      expect((await response.text()).length).toBeGreaterThan(60_000);
    }
  });

  test("are the same from every worker", async () => {
    // Each connection may come to another worker.
    const asked = await Promise.all(
      Array.from({ length: 20 }, () =>
        get("/", { ...HTML, Connection: "close" }).then((page) => page.text()),
      ),
    );
    expect(new Set(asked).size).toBe(1);
    const scripts = await Promise.all(
      Array.from({ length: 20 }, () => get(paths[2]!, { Connection: "close" }).then(({ status }) => status)),
    );
    expect(new Set(scripts)).toEqual(new Set([200]));
  });

  test("that are not there are 404, and other methods 405", async () => {
    for (const path of ["/page/", "/page/none.js", "/page/../src/page/page.ts", "/page/index.html"])
      expect([path, (await get(path)).status]).toEqual([path, 404]);
    const put = await get(paths[2]!, {}, { method: "PUT", body: "x" });
    expect([put.status, put.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });
});

test("--no-page closes it: everybody gets the list of endpoints, and no link leads here", async () => {
  const closed = await startServer({ flags: ["--no-page"] });
  const index = await fetch(closed.http, { headers: HTML });
  expect(index.headers.get("content-type")).toBe("application/json");
  expect((await fetch(closed.http, { headers: { ...HTML, ...LINK } })).status).toBe(403);
  for (const path of paths) expect((await fetch(closed.http + path)).status).toBe(404);
  expect(await closed.stop()).toBe(0);
});
