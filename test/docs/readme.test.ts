/** What the README shows of programs is so: the client's example, the WebSocket's, and the frames. Its commands are in commands.test.ts. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startServer, type TestServer } from "../support/server";
import { temporaryFile } from "../support/temporary";
import { WireClient } from "../support/wire-client";
import { blocksOf, claimsOf, moduleOf } from "./examples";

const ROOT = new URL("../../", import.meta.url).pathname;
const README = readFileSync(join(ROOT, "README.md"), "utf8");
let server: TestServer;

beforeAll(async () => {
  server = await startServer();
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

test("the client's example runs, and what its comments claim is so", async () => {
  const [code] = blocksOf(README, "ts");
  const example = { name: "README.md", code: code! };
  expect(claimsOf(example)).toBeGreaterThanOrEqual(3);
  const file = temporaryFile("readme-example.ts", moduleOf(example, server.ws));
  const child = Bun.spawn([process.execPath, file], { stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, exit] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  expect({ exit, stderr, stdout }).toEqual({ exit: 0, stderr: "", stdout: "" });
});

test("the WebSocket's example prints what stands behind it, and then the frames are as shown", async () => {
  const [code] = blocksOf(README, "js");
  const file = temporaryFile("readme-socket.js", code!.replace("ws://localhost:7171/ws", server.ws));
  const child = Bun.spawn([process.execPath, file], { stdout: "pipe", stderr: "inherit" });
  const { value } = await child.stdout.getReader().read();
  child.kill();
  const printed = new TextDecoder().decode(value).trim();
  const [, wanted] = /^\/\/ (.+)$/m.exec(code!)!;
  expect(printed.replaceAll(/\d{5,}/g, "…")).toBe(wanted!);

  const [request, reply] = [...README.matchAll(/`((?:[0-9a-f]{2,} ?){3,})`/g)].map(([, hex]) =>
    Buffer.from(hex!.replaceAll(" ", ""), "hex"),
  );
  const client = await WireClient.connect(server.ws);
  client.send(request!);
  expect(await client.message()).toEqual(reply!);
  client.close();
});

test("it is short", () => {
  expect(README.trimEnd().split("\n").length).toBeLessThanOrEqual(150);
});
