/** The plugin of Rush that keeps a build cache over HTTP, configured as the README says. Rush itself installs a package manager first. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { blocksOf } from "../docs/examples";
import { ALL, type DialectServer, scoped, startDialects } from "../http/dialects/support";
import { installClients, Project } from "./clients";

const README = readFileSync(join(import.meta.dir, "../../src/http/dialects/README.md"), "utf8");
let dialects: DialectServer;
let project: Project;

beforeAll(async () => {
  await installClients();
  dialects = await startDialects();
  project = new Project({ "entry.tgz": "an archive of what a build made" });
});

afterAll(async () => {
  expect(await dialects.server.stop()).toBe(0);
});

/** Defines `provider`, the cache that the plugin makes of a configuration, and `terminal`. */
const PRELUDE = (configuration: object) => `
  globalThis.___rush___rushLibModule = require("@microsoft/rush-lib");
  const { RushHttpBuildCachePlugin } = require("@rushstack/rush-http-build-cache-plugin/lib/RushHttpBuildCachePlugin");
  const { Terminal, StringBufferTerminalProvider } = require("@rushstack/terminal");
  const terminal = new Terminal(new StringBufferTerminalProvider());
  const made = new Promise((resolve) => {
    const initialize = { tap: (_, run) => run() };
    const registerCloudBuildCacheProviderFactory = (name, make) => resolve(make(${JSON.stringify(configuration)}));
    new RushHttpBuildCachePlugin().apply({ hooks: { initialize }, registerCloudBuildCacheProviderFactory }, { rushJsonFolder: "." });
  });
  const print = (...values) => console.log(JSON.stringify(values));
`;

/** What the README says to write into common/config/rush/build-cache.json, for this server. */
function configuration(): { cacheProvider: string; httpConfiguration: { url: string } } {
  const [text] = blocksOf(README, "json");
  const parsed = JSON.parse(text!);
  parsed.httpConfiguration.url = parsed.httpConfiguration.url.replace(
    "http://localhost:7171",
    dialects.server.http,
  );
  return parsed;
}

async function runScript(script: string, token: string): Promise<unknown> {
  project.write("script.cjs", `${PRELUDE(configuration())}\nmade.then(async (provider) => {\n${script}\n});`);
  const env = { RUSH_BUILD_CACHE_CREDENTIAL: `Bearer ${token}` };
  return JSON.parse(await project.run("node script.cjs", env));
}

test("what one machine stored, another gets, as bytes and as files", async () => {
  expect(configuration()).toMatchObject({ buildCacheEnabled: true, cacheProvider: "http" });
  const stored = await runScript(
    `print(
      await provider.trySetCacheEntryBufferAsync(terminal, "one", Buffer.from("bytes")),
      await provider.tryUploadCacheEntryFromFileAsync(terminal, "two", "entry.tgz"));`,
    ALL,
  );
  expect(stored).toEqual([true, true]);
  const found = await runScript(
    `print(
      String(await provider.tryGetCacheEntryBufferByIdAsync(terminal, "one")),
      await provider.tryDownloadCacheEntryToFileAsync(terminal, "two", "got.tgz"),
      require("node:fs").readFileSync("got.tgz", "utf8"));`,
    scoped("rush/", ["get"]),
  );
  expect(found).toEqual(["bytes", true, "an archive of what a build made"]);
});

test("a miss is a miss, and a token that may not write stores nothing", async () => {
  // The plugin asks for a missing entry three times; its pause of seconds between them is no option.
  const quick = "provider._minHttpRetryDelayMs = 1;";
  const missed = await runScript(
    `${quick} print((await provider.tryGetCacheEntryBufferByIdAsync(terminal, "none")) === undefined);`,
    ALL,
  );
  expect(missed).toEqual([true]);
  const refused = await runScript(
    `${quick} print(await provider.trySetCacheEntryBufferAsync(terminal, "three", Buffer.from("x")));`,
    scoped("rush/", ["get"]),
  );
  expect(refused).toEqual([false]);
  expect((await dialects.call("/kv/rush/three")).status).toBe(404);
});
