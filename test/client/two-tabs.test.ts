/** The example page in a real browser, served as its first lines say: two tabs, one of which loses its way to the server. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { connect } from "../../src/client/client";
import { CHROMIUM, MISSING_CHROMIUM, QUIET } from "../support/chromium";
import { startServer, type TestServer } from "../support/server";
import { Relay } from "./relay";

const PAGE = new URL("../../src/client/examples/two-tabs.html", import.meta.url).pathname;

describe.skipIf(MISSING_CHROMIUM)("the example page in Chromium", () => {
  let browser: Browser;
  let context: BrowserContext;
  let server: TestServer;
  let relay: Relay;
  let site: Bun.Subprocess<"ignore", "pipe", "inherit">;
  let origin: string;

  beforeAll(async () => {
    site = Bun.spawn([process.execPath, PAGE, "--port", "0"], { stdout: "pipe" });
    origin = await originOf(site);
    server = await startServer({ flags: ["--allow-origin", origin] });
    relay = await Relay.to(server.port);
    browser = await chromium.launch({ executablePath: CHROMIUM, args: QUIET });
    context = await browser.newContext();
  }, 60_000);

  afterAll(async () => {
    await browser.close();
    relay.close();
    site.kill();
    await site.exited;
    expect(await server.stop()).toBe(0);
  });

  /** What the page says of its errors is this test's failure. */
  async function open(url: string): Promise<Page> {
    const page = await context.newPage();
    page.on("pageerror", (error) => {
      throw error;
    });
    await page.goto(`${origin}/?server=${url}`);
    return page;
  }

  async function add(page: Page, text: string): Promise<void> {
    await page.getByLabel("To buy").first().fill(text);
    await page.getByRole("button", { name: "Add" }).click();
  }

  /** Resolves when the page shows these, in this order. */
  const shows = (page: Page, ...texts: string[]) =>
    page.waitForFunction(
      (wanted) => {
        const items = [...(globalThis as any).document.querySelectorAll("li > span")];
        return JSON.stringify(items.map((item: any) => item.textContent)) === JSON.stringify(wanted);
      },
      texts,
      { timeout: 60_000 },
    );

  const says = (page: Page, selector: string, pattern: RegExp) =>
    page.waitForFunction(
      ([selector, source]) =>
        new RegExp(source!).test((globalThis as any).document.querySelector(selector).textContent),
      [selector, pattern.source] as const,
      { timeout: 60_000 },
    );

  test("two tabs stay in step, also after one was cut off, and what is shown says how old it can be", async () => {
    const here = await open(server.ws);
    const there = await open(relay.url);
    for (const page of [here, there]) await says(page, "#state", /^Connected$/);
    await add(here, "milk");
    await shows(there, "milk");
    await add(there, "bread");
    for (const page of [here, there]) await shows(page, "milk", "bread");
    await there.getByRole("button", { name: "Remove milk" }).click();
    for (const page of [here, there]) await shows(page, "bread");
    for (const page of [here, there]) await says(page, "#age", /^at most 1\.\d seconds ago$/);

    relay.hold();
    relay.cut();
    await says(there, "#state", /^Connecting again/);
    await add(here, "<b>eggs</b>");
    await here.getByRole("button", { name: "Remove bread" }).click();
    await shows(here, "<b>eggs</b>");
    await says(there, "#age", /^at most [2-9]\.\d seconds ago$/);
    await shows(there, "bread");
    relay.release();
    await says(there, "#state", /^Connected$/);
    await shows(there, "<b>eggs</b>");
    await says(there, "#age", /^at most 1\.\d seconds ago$/);
    for (const page of [here, there]) {
      expect(await page.locator("#problem").textContent()).toBe("");
      await page.close();
    }
  }, 120_000);

  test("it is usable in the dark, without a mouse, and by those who do not see it", async () => {
    const page = await open(server.ws);
    await says(page, "#state", /^Connected$/);
    const colors = async (scheme: "light" | "dark") => {
      await page.emulateMedia({ colorScheme: scheme });
      return await page.evaluate(() => {
        const { getComputedStyle, document } = globalThis as any;
        return getComputedStyle(document.documentElement).color as string;
      });
    };
    expect(await colors("light")).not.toBe(await colors("dark"));
    await page.keyboard.press("Tab");
    await page.keyboard.type("tea");
    await page.keyboard.press("Enter");
    const item = page.getByRole("list", { name: "To buy" }).getByRole("listitem");
    await item.filter({ hasText: "tea" }).waitFor();
    await page.getByRole("button", { name: "Remove tea" }).focus();
    await page.keyboard.press("Enter");
    await item.filter({ hasText: "tea" }).waitFor({ state: "detached" });
    expect(await page.getByRole("status").textContent()).toBe("Connected");
    await page.close();
  }, 60_000);

  test("without a server it says why", async () => {
    const page = await open("ws://127.0.0.1:1");
    await says(page, "#state", /^Not connected$/);
    expect(await page.getByRole("alert").textContent()).toContain("nobody listens there");
    await page.close();
  }, 60_000);

  test("a page without the client hears the same changes by EventSource, and again after a broken connection", async () => {
    const page = await open(server.ws);
    await page.evaluate(
      (url) =>
        new Promise<void>((resolve) => {
          const events: unknown[] = ((globalThis as any).events = []);
          const source = new (globalThis as any).EventSource(url);
          for (const name of ["ready", "changed", "reset"])
            source.addEventListener(name, ({ data }: any) => {
              events.push([name, JSON.parse(data)]);
              if (name === "ready") resolve();
            });
          (globalThis as any).source = source;
        }),
      `${relay.url.replace("ws", "http")}/events?prefix=news:`,
    );
    const heard = (count: number) =>
      page
        .waitForFunction((count) => (globalThis as any).events.length >= count, count, { timeout: 60_000 })
        .then(() => page.evaluate(() => (globalThis as any).events as [string, object][]));
    await using cache = await connect(server.ws);
    const version = await cache.put("news:1", "x");
    expect((await heard(2)).at(-1)).toEqual(["changed", { key: "news:1", version }]);
    relay.cut();
    // The browser connects again by itself; the stream says that it begins anew.
    expect((await heard(3)).at(-1)).toEqual(["ready", { prefix: "news:" }]);
    await cache.clear("news:");
    expect((await heard(4)).at(-1)).toEqual(["reset", { prefix: "news:" }]);
    await page.evaluate(() => (globalThis as any).source.close());
    await page.close();
  }, 60_000);
});

/** Where the page is served, once it is. */
async function originOf(site: Bun.Subprocess<"ignore", "pipe", "inherit">): Promise<string> {
  let text = "";
  for await (const chunk of site.stdout) {
    text += Buffer.from(chunk).toString();
    const [, origin] = /url: (http:\/\/localhost:\d+)\//.exec(text) ?? [];
    if (origin !== undefined) return origin;
  }
  throw new Error(`the page is not served: ${text}`);
}
