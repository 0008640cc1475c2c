/** Nx's own client, against the server. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type DialectServer, scoped, startDialects } from "../http/dialects/support";
import { installClients, MADE, Project, TWO_PACKAGES, WIPE } from "./clients";

const BUILD = "nx run-many -t build";
let dialects: DialectServer;
let env: Record<string, string>;

beforeAll(async () => {
  await installClients();
  dialects = await startDialects();
  env = {
    NX_SELF_HOSTED_REMOTE_CACHE_SERVER: dialects.server.http,
    NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN: scoped("nx:web:", ["get", "put"]),
  };
});

afterAll(async () => {
  expect(await dialects.server.stop()).toBe(0);
});

const timesRemote = (output: string) => output.split("[remote cache]").length - 1;

test("what was built once comes from the cache, where the local one is gone; a reader hits, and breaks no build", async () => {
  const project = new Project(TWO_PACKAGES, env);
  const reader = { NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN: scoped("nx:web:", ["get"]) };
  expect(timesRemote(await project.run(BUILD, reader))).toBe(0);
  await project.run(WIPE);
  expect(timesRemote(await project.run(BUILD))).toBe(0);
  const made = await project.run(MADE);
  await project.run(WIPE);
  expect(timesRemote(await project.run(BUILD, reader))).toBe(2);
  expect(await project.run(MADE)).toBe(made);
});

test("a wrong token is told as what it is", async () => {
  const project = new Project(TWO_PACKAGES, { ...env, NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN: "wrong" });
  await expect(project.run(BUILD)).rejects.toThrow("a valid token is needed: Authorization: Bearer TOKEN");
});
