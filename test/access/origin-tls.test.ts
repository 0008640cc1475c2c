/** `rediss://`: values and the password go over TLS alone, to a server whose certificate is trusted, and nobody is told the password. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { makeCertificate } from "../support/certificate";
import { type Engine, startEngine } from "../support/engine";
import { startServer } from "../support/server";

const PASSWORD = "a-password-that-nobody-sees";
/** As startServer has it. */
const WORKERS = 2;

let engine: Engine;
let trusted: string;
let url: string;

beforeAll(async () => {
  const tls = await makeCertificate("origin");
  trusted = tls.certFile;
  engine = await startEngine({ tls, password: PASSWORD });
  url = engine.url.replace("127.0.0.1", "localhost");
});
afterAll(() => engine.kill());

const serving = (env: Record<string, string>) =>
  startServer({ env: { BREADBOX_ORIGIN: url, BREADBOX_ORIGIN_TIMEOUT: "5s", ...env } });

test("a certificate that is trusted: values go there and come back", async () => {
  const server = await serving({ NODE_EXTRA_CA_CERTS: trusted });
  await server.loggedTimes("origin: connected to", WORKERS);
  await server.logged("tracks the master");
  expect((await fetch(`${server.http}/kv/a`, { method: "PUT", body: "1" })).status).toBe(204);
  expect(await (await fetch(`${server.http}/kv/a`)).text()).toBe("1");
  expect(await engine.command("EXISTS", "bb:a")).toBe(1);
  const stats = await (await fetch(`${server.http}/stats`)).text();
  expect(await server.stop()).toBe(0);
  expect(server.log() + stats).not.toContain(PASSWORD);
});

test("one that is not: nothing is sent, and the log says why", async () => {
  const before = await engine.info("total_commands_processed");
  const server = await serving({});
  await server.logged(/origin: .*certificate|origin: .*cannot be connected/i);
  expect((await fetch(`${server.http}/kv/a`)).status).toBe(503);
  expect(await server.stop()).toBe(0);
  expect(server.log()).not.toContain(PASSWORD);
  // The look itself is one.
  expect(Number(await engine.info("total_commands_processed"))).toBe(Number(before) + 1);
});
