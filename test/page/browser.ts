/** The page in Chromium, watched: whatever its policy refuses, whatever it throws and whatever it asks of others is a problem. */
import { afterAll, beforeAll, expect } from "bun:test";
import { type Browser, type BrowserContextOptions, chromium, type Locator, type Page } from "playwright-core";
import { CHROMIUM, QUIET } from "../support/chromium";

const WAIT_MS = 60_000;
/** For a test that goes on from there by itself. */
export const BLANK = "about:blank";

export interface WatchedPage {
  readonly page: Page;
  /** Closes it; nothing may have gone wrong. */
  close(): Promise<void>;
}

export class PageBrowser {
  private browser!: Browser;

  /** To be made at the top of a describe. */
  constructor() {
    beforeAll(async () => {
      this.browser = await chromium.launch({ executablePath: CHROMIUM, args: QUIET });
    }, WAIT_MS);
    afterAll(async () => {
      await this.browser.close();
    });
  }

  /**
   * Opens a page in a context of its own: nothing is left of pages of before.
   * @param expected of the problems, those that the test makes by itself
   */
  async open(url: string, options: BrowserContextOptions = {}, expected?: RegExp): Promise<WatchedPage> {
    const context = await this.browser.newContext(options);
    context.setDefaultTimeout(WAIT_MS);
    const page = await context.newPage();
    const problems: string[] = [];
    const note = (problem: string) => {
      if (!expected?.test(problem)) problems.push(problem);
    };
    page.on("pageerror", ({ message }) => note(message));
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) note(message.text());
    });
    page.on("request", (request) => {
      const asked = request.url();
      if (url !== BLANK && !asked.startsWith(`${new URL(url).origin}/`) && !asked.startsWith("blob:"))
        note(`asked ${asked}`);
    });
    await page.addInitScript(() => {
      const { document, console } = globalThis as any;
      document.addEventListener("securitypolicyviolation", (event: any) =>
        console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`),
      );
    });
    await page.goto(url);
    return {
      page,
      close: async () => {
        await context.close();
        expect(problems).toEqual([]);
      },
    };
  }
}

export const connected = (page: Page) => page.getByText("Connected", { exact: true }).waitFor();

export const tab = (page: Page, name: string) => page.getByRole("tab", { name });

/** Resolves when there is such a text in the element. */
export const says = (place: Locator, text: string | RegExp) => place.filter({ hasText: text }).waitFor();

/** The key is opened in the section of keys, which is shown. */
export async function openKey(page: Page, key: string): Promise<void> {
  await page.getByLabel("Keys that begin with").fill(key);
  await page.getByRole("button", { name: "Browse" }).click();
  await page.getByRole("button", { name: key, exact: true }).click();
  await says(page.locator("#entry-title"), key);
}
