/** The page and tokens: it asks for one where one is needed, keeps it in memory alone, and offers what the token allows; the server refuses the rest. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { MISSING_CHROMIUM } from "../support/chromium";
import { scopedToken, SECRET } from "../support/scoped";
import { startServer, type TestServer } from "../support/server";
import { temporaryFile } from "../support/temporary";
import { connected, openKey, PageBrowser, says, tab } from "./browser";
import { storeExamples } from "./load";

const ALL = "token-that-may-do-everything";
const READ = "token-that-may-only-read";
/** What a browser itself says of an answer that refuses. */
const REFUSED = /the server responded with a status of 40[13]/;

const TOKENS = "page-tokens";

let server: TestServer;
const authorized = { Authorization: `Bearer ${ALL}` };

beforeAll(async () => {
  const tokens = temporaryFile(TOKENS, `all ${ALL}\nread ${READ}\n`);
  const secrets = temporaryFile("page-secrets", `${SECRET}\n`);
  server = await startServer({ flags: ["--token-file", tokens, "--token-secret-file", secrets] });
  await storeExamples(server.http, authorized);
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

describe("GET /access", () => {
  const ask = async (token: string) => {
    const response = await fetch(`${server.http}/access`, { headers: { Authorization: `Bearer ${token}` } });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };

  test("says what a token allows, on which keys, and until when", async () => {
    const all = await ask(ALL);
    expect(all).toMatchObject({ status: 200, body: { prefix: null, expiresAt: null } });
    expect(all.body.verbs).toContain("delete");
    expect((await ask(READ)).body.verbs).toEqual(["get", "info", "scan", "stats", "watch", "unwatch"]);
    const scoped = await ask(scopedToken("user:", ["get", "put"], 60));
    expect(scoped.body).toMatchObject({
      verbs: ["get", "put", "info", "ping", "watch", "unwatch", "lease", "release"],
    });
    expect(scoped.body.prefix).toBe("user:");
    const left = Date.parse(String(scoped.body.expiresAt)) - Date.now();
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(60_000);
  });

  test("needs one, and GET / tells that beforehand", async () => {
    expect((await ask("wrong")).status).toBe(401);
    expect((await fetch(`${server.http}/access`)).status).toBe(401);
    expect(await (await fetch(server.http)).json()).toMatchObject({ needsToken: true });
  });
});

describe.skipIf(MISSING_CHROMIUM)("the page", () => {
  const browser = new PageBrowser();

  async function signIn(page: Page, token: string): Promise<void> {
    await page.getByLabel("Token").fill(token);
    await page.getByRole("button", { name: "Open" }).click();
    await connected(page);
  }

  test("asks for a token, says what is wrong with it, and keeps it in memory alone", async () => {
    const { page, close } = await browser.open(server.http, {}, REFUSED);
    expect(await page.getByRole("tab").first().isHidden()).toBe(true);
    await page.getByLabel("Token").fill("wrong");
    await page.keyboard.press("Enter");
    await says(page.getByRole("alert"), "token");
    for (const text of ["töken", "two words", "x".repeat(5000)]) {
      await page.getByLabel("Token").fill(text);
      await page.keyboard.press("Enter");
      await says(page.getByRole("alert"), "can be no token");
    }
    // As it comes along from a terminal.
    await signIn(page, ` ${ALL} `);
    for (const name of ["Overview", "Shards", "Keys", "Try it"]) await tab(page, name).click();
    const kept = await page.evaluate(async () => {
      const { localStorage, sessionStorage, document, location, indexedDB, caches, history } =
        globalThis as any;
      return {
        stored: localStorage.length + sessionStorage.length + (await indexedDB.databases()).length,
        caches: (await caches.keys()).length,
        cookie: document.cookie,
        elsewhere: JSON.stringify([location.href, history.state, document.documentElement.outerHTML]),
        typed: [...document.querySelectorAll("input")].map(({ value }: any) => value).join(" "),
      };
    });
    expect(kept).toMatchObject({ stored: 0, caches: 0, cookie: "" });
    expect(kept.elsewhere + kept.typed).not.toContain(ALL);
    await page.getByRole("button", { name: "Forget the token" }).click();
    await page.getByLabel("Token").waitFor();
    expect(await page.getByRole("tab").first().isHidden()).toBe(true);
    await close();
  }, 60_000);

  test("a read token can't put, touch or delete: the buttons say why, and the server refuses as well", async () => {
    const { page, close } = await browser.open(`${server.http}/#keys`, {}, REFUSED);
    await signIn(page, READ);
    await openKey(page, "user:42:name");
    await says(page.getByRole("region", { name: "Value" }), "Ada");
    const remove = page.getByRole("button", { name: "Delete", exact: true });
    for (const button of [
      remove,
      page.getByRole("button", { name: "Touch" }),
      page.getByRole("button", { name: "Put" }),
    ])
      expect(await button.isDisabled()).toBe(true);
    expect(await remove.getAttribute("aria-describedby")).toBe("entry-reason");
    await says(page.locator("#entry-reason"), "This token does not allow TOUCH, DELETE, and PUT.");
    // Whoever gets around the page gets no further.
    await remove.evaluate((button: any) => (button.disabled = false));
    await remove.click();
    await page.getByRole("button", { name: "Delete it" }).click();
    await says(page.locator("#problem"), "this token may only read");
    const status = await page.evaluate(async (token) => {
      const headers = { Authorization: `Bearer ${token}` };
      return (await fetch("/kv/user:42:name", { method: "DELETE", headers })).status;
    }, READ);
    expect(status).toBe(403);
    expect(await (await fetch(`${server.http}/kv/user:42:name`, { headers: authorized })).text()).toBe("Ada");
    await close();
  }, 60_000);

  test("a scoped token sees its own keys, and no figures unless it may", async () => {
    const { page, close } = await browser.open(server.http, {}, REFUSED);
    await signIn(page, scopedToken("user:42:", ["get", "put", "scan"]));
    await tab(page, "Overview").click();
    await says(page.getByRole("tabpanel"), "This token does not allow STATS.");
    expect(await page.locator("#overview canvas").count()).toBe(0);
    await tab(page, "Keys").click();
    await says(
      page.locator("#browse-reason"),
      "This token sees keys that begin with user:42:, and no others.",
    );
    await says(page.locator("#found"), "2 keys.");
    await page.getByLabel("Keys that begin with").fill("user:");
    await page.getByRole("button", { name: "Browse" }).click();
    await says(page.locator("#problem"), "outside of what this token may name");
    expect(await page.locator("#found").textContent()).toBe("");
    expect(await page.getByLabel("Key", { exact: true }).inputValue()).toBe("user:42:");
    await page.getByLabel("Key", { exact: true }).fill("user:43:name");
    await page.getByRole("button", { name: "Put" }).click();
    await says(page.locator("#put-state"), "outside of what this token may name");
    await page.getByLabel("Key", { exact: true }).fill("user:42:town");
    await page.getByRole("button", { name: "Put" }).click();
    await says(page.locator("#put-state"), "Stored as version");
    await close();
  }, 60_000);

  test("a token that is withdrawn takes the page's connection with it, and the page says so", async () => {
    const { page, close } = await browser.open(server.http, {}, REFUSED);
    await signIn(page, READ);
    temporaryFile(TOKENS, `all ${ALL}\n`);
    await server.renew();
    await page.getByText(/^Closed: /).waitFor();
    await page.getByRole("button", { name: "Sign in again" }).click();
    await page.getByLabel("Token").waitFor();
    await close();
  }, 60_000);
});
