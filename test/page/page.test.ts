/** The page in Chromium: what it shows under load, and what can be done with it by hand, by keyboard, on a phone and in the dark. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "../../src/client/client";
import { Relay } from "../client/relay";
import { MISSING_CHROMIUM } from "../support/chromium";
import { startServer, type TestServer } from "../support/server";
import { connected, openKey, PageBrowser, says, tab } from "./browser";
import { startLoad, storeExamples } from "./load";

const LARGE_BYTES = 300_000;
const TABS = ["Overview", "Shards", "Keys", "Try it"];

describe.skipIf(MISSING_CHROMIUM)("the page", () => {
  const browser = new PageBrowser();
  let server: TestServer;

  beforeAll(async () => {
    server = await startServer({ flags: ["--shards", "16", "--max-value", "512kb"] });
    await storeExamples(server.http);
  });

  afterAll(async () => {
    expect(await server.stop()).toBe(0);
    expect(server.log()).not.toContain(" error ");
  });

  test("its charts move under load, and say in words what they show", async () => {
    const { page, close } = await browser.open(server.http);
    await connected(page);
    const panel = page.getByRole("region", { name: "Operations a second" });
    const chart = panel.getByRole("img", { name: /the last ten minutes: now / });
    await chart.waitFor();
    const canvas = panel.locator("canvas");
    const picture = () => canvas.evaluate((element: any) => element.toDataURL() as string);
    const before = await picture();
    const load = await startLoad(server.ws, 10);
    await says(panel.locator(".now"), /^\d+,\d{3}$/);
    expect(await picture()).not.toBe(before);
    await panel.getByRole("img", { name: /now get [1-9].*most \d+,\d{3}$/ }).waitFor();
    await says(page.getByRole("region", { name: "Hit ratio" }).locator(".now"), /^\d.* %$/);
    await says(page.getByRole("region", { name: "Memory" }).locator(".now"), /MiB of 64 MiB$/);
    await says(page.getByRole("region", { name: "Workers" }).locator(".now"), "2 at work");
    await page.getByRole("row", { name: /^put \d/ }).waitFor();
    await tab(page, "Shards").click();
    await page
      .getByRole("row", { name: /^\d+ [\d.]+ % [1-9]/ })
      .first()
      .waitFor();
    await load.stop();
    await close();
  }, 120_000);

  test("figures of an origin are shown where the server has one, with what is wrong with it", async () => {
    const before = await startServer({
      flags: ["--origin", "redis://127.0.0.1:1", "--origin-timeout", "50ms"],
    });
    const { page, close } = await browser.open(before.http);
    const panel = page.getByRole("region", { name: "Origin, calls a second" });
    await panel.getByText(/^down: .*127\.0\.0\.1:1/).waitFor();
    expect((await fetch(`${before.http}/kv/name`)).status).toBe(503);
    await says(panel, /failed [1-9]/);
    await close();
    expect(await before.stop()).toBe(0);
    const { page: plain, close: closePlain } = await browser.open(server.http);
    await plain.getByRole("row", { name: /^stats / }).waitFor();
    expect(await plain.getByRole("region", { name: "Origin, calls a second" }).count()).toBe(0);
    await closePlain();
  }, 60_000);

  test("each shard has a bar as high as it is full, and arrows go from bar to bar", async () => {
    const { page, close } = await browser.open(`${server.http}/#shards`);
    const bars = page.getByRole("list", { name: "Shards" }).getByRole("listitem");
    await bars.first().waitFor();
    expect(await bars.count()).toBe(16);
    await using cache = await connect(server.ws);
    const { shards } = (await cache.stats()) as { shards: { entries: number }[] };
    await page
      .getByRole("listitem", { name: new RegExp(`^Shard 0: .* ${shards[0]!.entries} entries`) })
      .waitFor();
    await bars.first().focus();
    await page.keyboard.press("ArrowRight");
    await says(page.locator("#shard-detail"), /^Shard 1: /);
    await page.keyboard.press("End");
    await says(page.locator("#shard-detail"), /^Shard 15: /);
    await close();
  }, 60_000);

  test("a key is put, found, read in each view, edited, touched and deleted", async () => {
    const { page, close } = await browser.open(`${server.http}/#keys`);
    await connected(page);
    await page.getByLabel("Key", { exact: true }).fill("by/hand:1");
    await page.getByRole("textbox", { name: "Value" }).fill('{"n":9007199254740993,"empty":{}}');
    await page.getByLabel("Content-Type").fill("application/json");
    await page.getByLabel("Time to live", { exact: true }).fill("1h");
    await page.getByRole("button", { name: "Put" }).click();
    await says(page.locator("#put-state"), "Stored as version");
    await openKey(page, "by/hand:1");
    const value = page.getByRole("region", { name: "Value" });
    const facts = page.locator("#entry-facts");
    await says(facts, "application/json");
    await says(facts, "59 min");
    expect(await value.textContent()).toBe('{\n  "n": 9007199254740993,\n  "empty": {}\n}');
    await page.getByLabel("hex").check();
    expect(await value.textContent()).toStartWith("00000000  7b 22 6e 22");
    expect(await page.getByLabel("image").isDisabled()).toBe(true);

    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByRole("textbox", { name: "Value" }).fill("[1]");
    await page.getByRole("button", { name: "Put" }).click();
    await page.getByLabel("text").check();
    await says(value, /^\[1\]$/);
    await page.getByLabel("Time to live from now").fill("soon");
    await page.getByRole("button", { name: "Touch" }).click();
    await says(page.getByRole("alert"), "must be a time of at least 1ms");
    await page.getByLabel("Time to live from now").fill("");
    await page.getByRole("button", { name: "Touch" }).click();
    await says(facts, "never expires");

    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByRole("button", { name: "Keep it" }).click();
    expect((await fetch(`${server.http}/kv/by%2Fhand:1`)).status).toBe(200);
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByRole("button", { name: "Delete it" }).click();
    await says(page.locator("#found"), "There is no entry by/hand:1 any more");
    expect((await fetch(`${server.http}/kv/by%2Fhand:1`)).status).toBe(404);
    await close();
  }, 120_000);

  test("an entry that is open follows what others do, and an edit does not undo it", async () => {
    await using cache = await connect(server.ws);
    await cache.put("shared:1", "first");
    const { page, close } = await browser.open(`${server.http}/#keys`, {}, /412/);
    await openKey(page, "shared:1");
    const value = page.getByRole("region", { name: "Value" });
    await says(value, "first");
    await page.getByRole("button", { name: "Edit" }).click();
    await cache.put("shared:1", "second");
    await says(value, "second");
    await page.getByRole("textbox", { name: "Value" }).fill("mine");
    await page.getByRole("button", { name: "Put" }).click();
    await says(page.locator("#put-state"), "changed or removed meanwhile");
    expect(await cache.get("shared:1")).toBe("second");
    await page.getByLabel("only if there is no entry with this key").check();
    await page.getByRole("button", { name: "Put" }).click();
    await says(page.locator("#put-state"), "there is an entry with this key");
    await cache.delete("shared:1");
    await says(page.locator("#found"), "There is no entry shared:1 any more");
    await close();
  }, 120_000);

  test("keys come a page at a time", async () => {
    await using cache = await connect(server.ws);
    const { page, close } = await browser.open(`${server.http}/#keys`);
    await says(page.locator("#found"), /^\d+ keys/);
    await Promise.all(Array.from({ length: 450 }, (_, i) => cache.put(`many:${i}`, "")));
    await page.getByLabel("Keys that begin with").fill("many:");
    await page.getByRole("button", { name: "Browse" }).click();
    const list = page.getByRole("list", { name: "Keys found" }).getByRole("listitem");
    for (const text of ["200 keys, and there are more.", "400 keys, and there are more.", "450 keys."]) {
      await says(page.locator("#found"), text);
      expect(await list.count()).toBe(Number.parseInt(text));
      if (text !== "450 keys.") await page.getByRole("button", { name: "More keys" }).click();
    }
    expect(await page.getByRole("button", { name: "More keys" }).isHidden()).toBe(true);
    await cache.clear("many:");
    await close();
  }, 60_000);

  test("of a large value the beginning is shown, and a download has all of it", async () => {
    const text = "0123456789".repeat(LARGE_BYTES / 10);
    await fetch(`${server.http}/kv/large.txt`, {
      method: "PUT",
      body: text,
      headers: { "Content-Type": "text/plain" },
    });
    const { page, close } = await browser.open(`${server.http}/#keys`);
    await openKey(page, "large.txt");
    await says(page.locator("#entry-state"), "The first 64 KiB are shown");
    expect((await page.getByRole("region", { name: "Value" }).textContent())!.length).toBe(64 * 1024);
    expect(await page.getByRole("button", { name: "Edit" }).isHidden()).toBe(true);
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download" }).click();
    expect((await download).suggestedFilename()).toBe("large.txt");
    expect(await Bun.file(await (await download).path()).text()).toBe(text);
    await close();
  }, 60_000);

  test("a picture is shown as one; HTML and SVG are text, and nothing of them runs", async () => {
    const svg =
      "<svg xmlns='http://www.w3.org/2000/svg' onload='document.title=1'><script>document.title=1</script></svg>";
    for (const [key, type] of [
      ["evil:svg", "image/svg+xml"],
      // An SVG that says it is a picture of points is one that cannot be decoded.
      ["evil:png", "image/png"],
    ])
      await fetch(`${server.http}/kv/${key}`, {
        method: "PUT",
        body: svg,
        headers: { "Content-Type": type! },
      });
    const { page, close } = await browser.open(`${server.http}/#keys`);
    const value = page.getByRole("region", { name: "Value" });
    await openKey(page, "picture:pixel");
    const image = value.getByRole("img");
    await image.waitFor();
    expect(await image.evaluate((element: any) => element.decode().then(() => element.naturalWidth))).toBe(
      10,
    );
    for (const key of ["page:home", "evil:svg"]) {
      await openKey(page, key);
      await says(value, "<script>document.title");
      expect(await page.getByLabel("image").isDisabled()).toBe(true);
    }
    await openKey(page, "evil:png");
    await says(value, "These bytes are no picture of this type.");
    expect(await page.title()).toStartWith("Breadbox on ");
    expect(await page.locator("#value script, #value svg").count()).toBe(0);
    await close();
  }, 60_000);

  test("its policy refuses markup made of text, inline scripts and styles, and addresses elsewhere", async () => {
    const { page, close } = await browser.open(server.http);
    await connected(page);
    const refused = async (attempt: string) => {
      const violation = page.waitForEvent("console", (message) => message.text().startsWith("policy: "));
      await page.evaluate((attempt) => {
        const { document, fetch } = globalThis as any;
        const attempts: Record<string, () => void> = {
          markup: () => (document.body.innerHTML = "<p>"),
          style: () => document.body.setAttribute("style", "color: red"),
          script: () =>
            document.body.append(Object.assign(document.createElement("script"), { textContent: "1" })),
          elsewhere: () => void fetch("http://127.0.0.1:9/").catch(() => {}),
        };
        try {
          attempts[attempt]!();
        } catch {
          // Trusted Types throw, and tell of it like the others.
        }
      }, attempt);
      return /^policy: (\S+)/.exec((await violation).text())![1];
    };
    expect(await refused("markup")).toBe("require-trusted-types-for");
    expect(await refused("style")).toBe("style-src-attr");
    expect(await refused("script")).toBe("require-trusted-types-for");
    expect(await refused("elsewhere")).toBe("connect-src");
    // And what was refused does not go unnoticed by these tests.
    await expect(close()).rejects.toThrow("policy: ");
  }, 60_000);

  test("keys that look like markup are text as well", async () => {
    await using cache = await connect(server.ws);
    const key = "<img src=x onerror=document.title=1>";
    await cache.put(key, key);
    const { page, close } = await browser.open(`${server.http}/#keys`);
    await openKey(page, key);
    await says(page.getByRole("region", { name: "Value" }), key);
    expect(await page.locator("#keys img").count()).toBe(0);
    await cache.delete(key);
    await close();
  }, 60_000);

  test("goes on by itself after a broken connection", async () => {
    const relay = await Relay.to(server.port);
    const { page, close } = await browser.open(relay.url.replace("ws", "http"), {}, /WebSocket|ERR_/);
    await connected(page);
    relay.hold();
    relay.cut();
    await page.getByText("Connection lost").or(page.getByText("Connecting again…")).waitFor();
    relay.release();
    await connected(page);
    const now = page.getByRole("region", { name: "Operations a second" }).locator(".now");
    await using cache = await connect(server.ws);
    const asking = setInterval(() => void cache.many(Array.from({ length: 500 }, () => "none")), 50);
    await says(now, /^\d+,\d{3}$/);
    clearInterval(asking);
    await close();
    relay.close();
  }, 60_000);

  test("by keyboard: from the tabs into what they show, and back", async () => {
    const { page, close } = await browser.open(server.http);
    await connected(page);
    await page.keyboard.press("Tab");
    const focused = () => page.evaluate(() => (globalThis as any).document.activeElement.id as string);
    expect(await focused()).toBe("tab-overview");
    for (const [key, panel] of [
      ["ArrowRight", "shards"],
      ["ArrowRight", "keys"],
      ["End", "try"],
      ["ArrowRight", "overview"],
      ["ArrowLeft", "try"],
      ["Home", "overview"],
    ] as const) {
      await page.keyboard.press(key);
      expect(await focused()).toBe(`tab-${panel}`);
      expect(await page.getByRole("tabpanel").getAttribute("id")).toBe(panel);
      expect(new URL(page.url()).hash).toBe(`#${panel}`);
    }
    await page.keyboard.press("Tab");
    expect(await focused()).toBe("overview");
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    for (const step of ["keys", "prefix"]) {
      await page.keyboard.press("Tab");
      expect(await focused()).toBe(step);
    }
    await page.keyboard.type("user:42:");
    await page.keyboard.press("Enter");
    await says(page.locator("#found"), "2 keys.");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await says(page.locator("#entry-title"), "user:42:profile");
    await says(page.getByRole("region", { name: "Value" }), '"Ada"');
    expect(await focused()).toBe("entry-title");
    await close();
  }, 60_000);

  test("every control has a name, and the page its landmarks", async () => {
    const { page, close } = await browser.open(server.http);
    await connected(page);
    for (const landmark of ["banner", "main", "contentinfo"] as const)
      expect(await page.getByRole(landmark).count()).toBe(1);
    for (const name of TABS) {
      await tab(page, name).click();
      const nameless = await page.evaluate(() =>
        [
          ...(globalThis as any).document.querySelectorAll(
            "input, textarea, button, [role=img], [role=region]",
          ),
        ]
          .filter((element: any) => element.checkVisibility())
          .filter(
            (element: any) =>
              !element.labels?.length && !element.getAttribute("aria-label") && !element.textContent.trim(),
          )
          .map((element: any) => element.outerHTML),
      );
      expect(nameless).toEqual([]);
    }
    await close();
  }, 60_000);

  test("on a phone nothing is wider than the screen", async () => {
    const viewport = { width: 360, height: 700 };
    const { page, close } = await browser.open(server.http, { viewport, hasTouch: true, isMobile: true });
    await connected(page);
    for (const name of TABS) {
      await tab(page, name).click();
      if (name === "Keys") await openKey(page, "user:42:profile");
      const width = await page.evaluate(
        () => (globalThis as any).document.documentElement.scrollWidth as number,
      );
      expect({ name, width }).toEqual({ name, width: 360 });
    }
    await close();
  }, 60_000);

  test("in light and in the dark there is contrast enough (WCAG AA)", async () => {
    const grounds = new Set<string>();
    for (const colorScheme of ["light", "dark"] as const) {
      const { page, close } = await browser.open(server.http, { colorScheme, reducedMotion: "reduce" });
      await connected(page);
      for (const name of TABS) {
        await tab(page, name).click();
        if (name === "Keys") await openKey(page, "user:42:profile");
        const { faint, checked, ground } = await page.evaluate(contrasts);
        grounds.add(ground);
        expect({ colorScheme, name, faint }).toEqual({ colorScheme, name, faint: [] });
        expect(checked).toBeGreaterThan(5);
      }
      await close();
    }
    expect(grounds.size).toBe(2);
  }, 120_000);
});

/** Runs in the page: elements with text of their own that is too faint on what is behind it. */
function contrasts(): { faint: string[]; checked: number; ground: string } {
  const { document, getComputedStyle } = globalThis as any;
  const channels = (color: string) => (color.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (color: string) => {
    const [r, g, b] = channels(color)
      .slice(0, 3)
      .map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const groundOf = (element: any): string => {
    for (let at = element; at !== null; at = at.parentElement) {
      const { backgroundColor } = getComputedStyle(at);
      if (channels(backgroundColor)[3] !== 0) return backgroundColor;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = [...document.querySelectorAll("body *")].filter(
    (element: any) =>
      element.checkVisibility() &&
      !element.closest(":disabled") &&
      [...element.childNodes].some((node: any) => node.nodeType === 3 && node.textContent.trim() !== ""),
  );
  const faint = texts
    .map((element: any) => {
      const [low, high] = [luminance(getComputedStyle(element).color), luminance(groundOf(element))].sort(
        (a, b) => a - b,
      );
      return { text: element.textContent.slice(0, 30), contrast: (high! + 0.05) / (low! + 0.05) };
    })
    .filter(({ contrast }) => contrast < 4.5)
    .map(({ text, contrast }) => `${text}: ${contrast.toFixed(2)}`);
  return { faint, checked: texts.length, ground: getComputedStyle(document.body).backgroundColor };
}
