/** The client library of the origin is loaded where there is one, and nowhere else: a server without it serves where the library cannot be found. */
import { beforeAll, expect, test } from "bun:test";
import { cpSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { startServer } from "../support/server";
import { temporaryPath } from "../support/temporary";

const ROOT = new URL("../../", import.meta.url).pathname;
const LIBRARY = "iovalkey";
const CHECKOUT = temporaryPath("checkout-without-library");

beforeAll(() => {
  cpSync(join(ROOT, "src"), join(CHECKOUT, "src"), { recursive: true });
  cpSync(join(ROOT, "package.json"), join(CHECKOUT, "package.json"));
  mkdirSync(join(CHECKOUT, "node_modules"));
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const others = Object.keys(dependencies).filter((name) => name !== LIBRARY);
  expect(others).toHaveLength(Object.keys(dependencies).length - 1);
  for (const name of others)
    symlinkSync(join(ROOT, "node_modules", name), join(CHECKOUT, "node_modules", name));
});

/** Whatever is installed further up, or fetched on demand, is not to be found. */
const launcher = (flags: string[]) => [
  process.execPath,
  "--no-install",
  join(CHECKOUT, "src/main.ts"),
  ...flags,
];

test("without --origin it is not looked for", async () => {
  const server = await startServer({ launcher });
  expect((await fetch(`${server.http}/kv/a`, { method: "PUT", body: "1" })).status).toBe(204);
  expect(await (await fetch(`${server.http}/kv/a`)).text()).toBe("1");
  expect(await server.stop()).toBe(0);
  expect(server.log()).not.toContain(LIBRARY);
});

test("with --origin it is missed", async () => {
  const flags = ["--origin", "redis://127.0.0.1:1"];
  await expect(startServer({ flags, launcher })).rejects.toThrow(LIBRARY);
});
