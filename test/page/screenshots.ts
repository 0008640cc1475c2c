/**
 * Pictures of the page for the documentation: of a server under load, by Chromium. It takes a minute and a half, so that the charts have
 * something to show.
 *
 *   bun run docs:screenshots
 */
import { join } from "node:path";
import { chromium, type Page } from "playwright-core";
import { CHROMIUM, QUIET } from "../support/chromium";
import { startServer } from "../support/server";
import { connected, openKey, tab } from "./browser";
import { startLoad, storeExamples } from "./load";

const FOLDER = join(import.meta.dir, "../../docs");
const LOAD_MS = 80_000;
const SIZE = { width: 1280, height: 850 };
const FLAGS = ["--memory", "32mb", "--shards", "32", "--max-value", "64kb"];

const server = await startServer({ flags: FLAGS });
await storeExamples(server.http);
const load = await startLoad(server.ws, 8);
const browser = await chromium.launch({ executablePath: CHROMIUM, args: QUIET });

async function open(colorScheme: "light" | "dark"): Promise<Page> {
  const page = await browser.newPage({ colorScheme, viewport: SIZE });
  await page.goto(`http://localhost:${server.port}/`);
  await connected(page);
  return page;
}

const save = (page: Page, name: string, height = SIZE.height) =>
  page.screenshot({ path: join(FOLDER, `${name}.png`), clip: { x: 0, y: 0, width: SIZE.width, height } });

const [light, dark] = [await open("light"), await open("dark")];
await Bun.sleep(LOAD_MS);
await save(light, "page-light");
await save(dark, "page-dark");
await tab(dark, "Shards").click();
await dark.locator("#strip li").nth(5).hover();
await save(dark, "shards-dark", 560);
await tab(light, "Keys").click();
await openKey(light, "user:42:profile");
await light.getByText('"Ada"').waitFor();
await light.getByLabel("Keys that begin with").fill("user:");
await light.getByRole("button", { name: "Browse" }).click();
await light.getByText("3 keys.").waitFor();
await save(light, "keys-light");

await browser.close();
await load.stop();
process.exit(await server.stop());
