/**
 * Pictures of the page for the documentation, of a server under load, by Chromium. They take a minute and a half: so long the charts are.
 *
 *   bun run docs:screenshots
 */
import { join } from "node:path";
import { chromium, type Page } from "playwright-core";
import { CHROMIUM, QUIET } from "../support/chromium";
import { startServer } from "../support/server";
import { startLoad, storeExamples } from "./load";

const FOLDER = join(import.meta.dir, "../../docs");
const LOAD_MS = Number(process.env.LOAD_MS ?? 80_000);
const SIZE = { width: 1280, height: 860 };
const PHONE = { width: 390, height: 844 };

const server = await startServer({ flags: ["--memory", "64mb", "--shards", "32", "--max-value", "256kb"] });
await storeExamples(server.http);
const load = await startLoad(server.ws, 8);
const browser = await chromium.launch({ executablePath: CHROMIUM, args: QUIET });

async function open(colorScheme: "light" | "dark", viewport: typeof SIZE): Promise<Page> {
  const page = await browser.newPage({ colorScheme, viewport });
  await page.goto(`http://localhost:${server.port}/`);
  await page.getByText("Connected").waitFor();
  return page;
}

const save = (page: Page, name: string) => page.screenshot({ path: join(FOLDER, `${name}.png`) });

const [light, dark, phone] = [await open("light", SIZE), await open("dark", SIZE), await open("dark", PHONE)];
await Bun.sleep(LOAD_MS);
for (const [page, name] of [
  [light, "page-light"],
  [dark, "page-dark"],
  [phone, "page-phone"],
] as const) {
  await page.bringToFront();
  await page.locator(".chart canvas").first().waitFor();
  await save(page, name);
}
await dark.bringToFront();
await dark.getByRole("tab", { name: "Shards" }).click();
await dark.locator("#strip li").nth(5).focus();
await save(dark, "shards-dark");
await light.bringToFront();
await light.getByRole("tab", { name: "Keys" }).click();
await light.getByLabel("Keys that begin with").fill("user:");
await light.getByRole("button", { name: "Browse" }).click();
await light.getByRole("button", { name: "user:42:profile" }).click();
await light.getByText('"Ada"').waitFor();
await save(light, "keys-light");
await light.getByRole("tab", { name: "Try it" }).click();
await save(light, "try-light");

await browser.close();
await load.stop();
process.exit(await server.stop());
