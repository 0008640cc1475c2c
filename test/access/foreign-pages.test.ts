/**
 * Pages of other sites and the values here. A page that only shows a script or an image sends no Origin with its request, so
 * the answer itself has to forbid to be run or shown, and the request is known by Sec-Fetch-Site.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Browser, chromium } from "playwright-core";
import { CHROMIUM, MISSING_CHROMIUM, QUIET } from "../support/chromium";
import { startServer, type TestServer } from "../support/server";

const PATHS = ["/kv/config", "/kv/nothing", "/get?key=config", "/get?key=nothing", "/stats", "/", "/nowhere"];

async function store(server: TestServer): Promise<void> {
  const body = "globalThis.stolen = 'secret';";
  expect((await fetch(`${server.http}/kv/config`, { method: "PUT", body })).status).toBe(204);
}

describe("what an answer says to a browser", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer();
    await store(server);
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
  });

  test("every answer forbids to be run, framed with scripts, or shown by other sites, found or not", async () => {
    for (const path of [...PATHS, "/get", "/metrics", "/healthz"]) {
      const { headers } = await fetch(server.http + path);
      expect([path, headers.get("x-content-type-options")]).toEqual([path, "nosniff"]);
      expect(headers.get("content-security-policy")).toBe("sandbox; default-src 'none'");
      expect(headers.get("cross-origin-resource-policy")).toBe("same-origin");
    }
    const put = await fetch(`${server.http}/kv/other`, { method: "PUT", body: "x" });
    expect(put.headers.get("x-content-type-options")).toBe("nosniff");
  });

  test("a request that a page of another site caused is refused, whatever it asks for", async () => {
    for (const site of ["cross-site", "same-site", "anything"])
      for (const path of [...PATHS, "/healthz"]) {
        const response = await fetch(server.http + path, { headers: { "Sec-Fetch-Site": site } });
        expect([path, response.status]).toEqual([path, 403]);
        expect(((await response.json()) as { message: string }).message).toContain("--allow-origin");
      }
  });

  test("one of the server's own pages, or typed into the address bar, is answered", async () => {
    for (const site of ["same-origin", "none"])
      expect((await fetch(`${server.http}/kv/config`, { headers: { "Sec-Fetch-Site": site } })).status).toBe(
        200,
      );
    // The Origin says more than the site, and is judged alone.
    const own = { "Sec-Fetch-Site": "cross-site", Origin: server.http };
    expect((await fetch(`${server.http}/kv/config`, { headers: own })).status).toBe(200);
  });
});

describe("with --allow-origin", () => {
  test("pages that say who they are are let in; others of other sites are not", async () => {
    const server = await startServer({ flags: ["--allow-origin", "https://ok.example"] });
    await store(server);
    const ask = (headers: Record<string, string>) => fetch(`${server.http}/kv/config`, { headers });
    const listed = await ask({ Origin: "https://ok.example", "Sec-Fetch-Site": "cross-site" });
    expect([listed.status, listed.headers.get("cross-origin-resource-policy")]).toEqual([
      200,
      "cross-origin",
    ]);
    expect((await ask({ "Sec-Fetch-Site": "cross-site" })).status).toBe(403);
    expect((await ask({ Origin: "https://evil.example" })).status).toBe(403);
    const plain = await ask({});
    expect(plain.headers.get("cross-origin-resource-policy")).toBe("same-origin");
    expect(plain.headers.get("vary")).toBe("Origin");
    expect(await server.stop()).toBe(0);
  });

  test("* lets all pages in and lets them show values", async () => {
    const server = await startServer({ flags: ["--allow-origin", "*"] });
    await store(server);
    const shown = await fetch(`${server.http}/kv/config`, { headers: { "Sec-Fetch-Site": "cross-site" } });
    expect([shown.status, shown.headers.get("cross-origin-resource-policy")]).toEqual([200, "cross-origin"]);
    expect(await server.stop()).toBe(0);
  });
});

describe.skipIf(MISSING_CHROMIUM)("in Chromium", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: QUIET });
  }, 60_000);
  afterAll(async () => {
    await browser.close();
  });

  /** What happens to a page that shows each of the paths as a script, an image, a style sheet and a frame. */
  async function show(target: string): Promise<{ events: Record<string, string>; stolen: unknown }> {
    const site = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () =>
        new Response("<!doctype html><title>foreign</title>", { headers: { "Content-Type": "text/html" } }),
    });
    const page = await browser.newPage();
    // Another port of the same host is the same site; another name is another one.
    await page.goto(`http://localhost:${site.port}/`);
    const seen = await page.evaluate(async (target) => {
      const events: Record<string, string> = {};
      const load = (tag: string, path: string) =>
        new Promise<void>((resolve) => {
          const element: any = (globalThis as any).document.createElement(tag);
          const note = (event: { type: string }) => {
            events[`${tag} ${path}`] = event.type;
            resolve();
          };
          element.onload = element.onerror = note;
          if (tag === "link") Object.assign(element, { rel: "stylesheet", href: target + path });
          else element.src = target + path;
          (globalThis as any).document.body.append(element);
        });
      for (const tag of ["script", "img", "link"])
        for (const path of ["/kv/config", "/kv/nothing"]) await load(tag, path);
      return { events, stolen: (globalThis as any).stolen ?? null };
    }, target);
    await page.close();
    await site.stop(true);
    return seen;
  }

  test("a foreign page cannot run a value, nor tell which keys exist", async () => {
    const server = await startServer();
    await store(server);
    const { events, stolen } = await show(server.http);
    expect(stolen).toBe(null);
    // Present or not, everything is an error to it.
    expect(new Set(Object.values(events))).toEqual(new Set(["error"]));
    expect(Object.keys(events)).toHaveLength(6);
    expect(await server.stop()).toBe(0);
  }, 60_000);

  test("opened by its address, a value is shown in a sandbox and runs nothing", async () => {
    const server = await startServer();
    const html = "<script>document.title = 'ran'</script>";
    await fetch(`${server.http}/kv/page`, { method: "PUT", body: html });
    const page = await browser.newPage();
    const response = await page.goto(`${server.http}/get?key=page`);
    expect(response!.status()).toBe(200);
    expect(await page.title()).not.toBe("ran");
    expect(await page.evaluate(() => (globalThis as any).origin)).toBe("null");
    await page.close();
    expect(await server.stop()).toBe(0);
  }, 60_000);
});
