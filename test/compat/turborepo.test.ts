/** Turborepo's own client, against the server. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { ALL, type DialectServer, READ, scoped, startDialects } from "../http/dialects/support";
import { installClients, MADE, Project, TWO_PACKAGES, WIPE } from "./clients";

let dialects: DialectServer;
let env: Record<string, string>;

beforeAll(async () => {
  await installClients();
  dialects = await startDialects();
  env = { TURBO_API: dialects.server.http, TURBO_TOKEN: ALL, TURBO_TEAM: "web" };
});

afterAll(async () => {
  expect(await dialects.server.stop()).toBe(0);
});

test("what one machine built, another gets from the cache, with its output", async () => {
  const project = new Project(TWO_PACKAGES, env);
  const first = await project.run("turbo run build");
  expect(first).toContain("Remote caching enabled");
  expect(first).toContain("0 cached, 2 total");
  const made = await project.run(MADE);

  // Asks before each request where to send it, which changes nothing else.
  const other = new Project(TWO_PACKAGES, env);
  const second = await other.run("turbo run build --preflight");
  expect(second).toContain("2 cached, 2 total");
  expect(second).toContain("built a");
  expect(await other.run(MADE)).toBe(made);
  expect(first + second).not.toMatch(/unavailable|failed|error/i);

  // Another team has none of it.
  await other.run(WIPE);
  expect(await other.run("turbo run build", { TURBO_TEAM: "app" })).toContain("0 cached, 2 total");
});

test("its signatures come back with the artifacts, and a wrong one is noticed", async () => {
  const signed = {
    ...TWO_PACKAGES,
    "turbo.json": JSON.stringify({
      remoteCache: { signature: true },
      tasks: { build: { dependsOn: ["^build"], outputs: ["out/**"] } },
    }),
  };
  const held = { TURBO_TOKEN: scoped("turborepo:signers:", ["get", "put"]), TURBO_TEAM: "signers" };
  const project = new Project(signed, { ...env, ...held, TURBO_REMOTE_CACHE_SIGNATURE_KEY: "one key" });
  expect(await project.run("turbo run build")).toContain("0 cached, 2 total");
  await project.run(WIPE);
  expect(await project.run("turbo run build")).toContain("2 cached, 2 total");
  await project.run(WIPE);
  const wrong = await project.run("turbo run build", { TURBO_REMOTE_CACHE_SIGNATURE_KEY: "another key" });
  expect(wrong).toContain("0 cached, 2 total");
});

test("a token that may only read breaks no build where it misses", async () => {
  const project = new Project(TWO_PACKAGES, { ...env, TURBO_TEAM: "readers", TURBO_TOKEN: READ });
  expect(await project.run("turbo run build")).toContain("0 cached, 2 total");
});
