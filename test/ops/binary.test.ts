/** The program compiled into one file, as the image has it: `bun run build:binary`. */
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Glob } from "bun";
import { PseudoTerminal } from "../cli/pseudo-terminal";
import { startCluster } from "../support/cluster";
import { request } from "../support/frames";
import { startServer } from "../support/server";
import { temporaryPath } from "../support/temporary";
import { WireClient } from "../support/wire-client";

const ROOT = new URL("../../", import.meta.url).pathname;
/** As startServer has it. */
const WORKERS = 2;
const BINARY = join(ROOT, "dist/breadbox");
const { scripts, version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));

beforeAll(() => {
  const build = Bun.spawnSync([process.execPath, "run", "build:binary"], { cwd: ROOT });
  if (build.exitCode !== 0) throw new Error(build.stderr.toString());
});

test("every entry of a thread is compiled in, the command first", () => {
  const entries = [...scripts["build:binary"].matchAll(/ src\/(\S+)\.ts/g)].map(([, path]) => path!);
  const source = [...new Glob("src/**/*.ts").scanSync(ROOT)].map((file) =>
    readFileSync(join(ROOT, file), "utf8"),
  );
  const opened = source.flatMap((text) =>
    [...text.matchAll(/entryUrl\("([^"]+)"\)/g)].map(([, path]) => path!),
  );
  expect(entries[0]).toBe("bin");
  expect([...new Set(opened)].sort()).toEqual([...entries].sort());
  const workers = source.join("").match(/new Worker\(/g)!.length;
  expect(workers).toBe(entries.length - 1);
});

describe("it", () => {
  test("serves over HTTP and WebSocket, with the schemas that are loaded late, and drains", async () => {
    const server = await startServer({ launcher: (flags) => [BINARY, "serve", ...flags] });
    const put = await fetch(`${server.http}/put`, {
      method: "POST",
      body: '{"value":"/w==","key":"a","encoding":"base64","ttl":60000}',
    });
    expect(put.status).toBe(200);
    const wrong = await fetch(`${server.http}/put`, { method: "POST", body: '{"key":"a"}' });
    expect(await wrong.json()).toEqual({ status: "ERROR", message: "value: is missing" });
    expect(((await (await fetch(`${server.http}/openapi.json`)).json()) as any).info.version).toBe(version);
    const command = await fetch(`${server.http}/upstash`, { method: "POST", body: '["GET","none"]' });
    expect(await command.json()).toEqual({ result: null });
    const page = await (await fetch(server.http, { headers: { Accept: "text/html" } })).text();
    const files = [...page.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, path]) => path!);
    expect(files.map((path) => path.replace(/^\/page\/.*\./, ""))).toEqual(["svg", "css", "js"]);
    for (const path of files) expect((await fetch(server.http + path)).status).toBe(200);
    const client = await WireClient.connect(server.ws);
    expect(await client.ask(request({ op: 1, key: "a" }))).toEqual([
      { status: "VALUE", value: Buffer.from([0xff]) },
    ]);
    client.close();
    const health = Bun.spawn([BINARY, "health", "--port", String(server.port)]);
    expect(await health.exited).toBe(0);
    expect(await server.stop()).toBe(0);
    expect(server.log()).not.toContain(" error ");
  });

  test("has the origin's client library, and serves before a cluster", async () => {
    const cluster = await startCluster({ replicas: 0 });
    const server = await startServer({
      flags: ["--origin", cluster.url, "--origin-timeout", "5s"],
      launcher: (flags) => [BINARY, "serve", ...flags],
    });
    try {
      await server.loggedTimes("origin: connected to 3 masters", WORKERS);
      expect((await fetch(`${server.http}/kv/a`, { method: "PUT", body: "1" })).status).toBe(204);
      expect(await (await fetch(`${server.http}/kv/a`)).text()).toBe("1");
      expect(await cluster.call("STRLEN", "bb:a")).toBeGreaterThan(0);
      expect(await server.stop()).toBe(0);
    } finally {
      await cluster.stop();
    }
  });

  test("keeps the cache from one process to the next", async () => {
    const folder = mkdtempSync(join(tmpdir(), "breadbox-binary-"));
    const start = () =>
      startServer({ flags: ["--data-dir", folder], launcher: (flags) => [BINARY, "serve", ...flags] });
    try {
      const first = await start();
      await fetch(`${first.http}/kv/kept`, { method: "PUT", body: "value" });
      expect(await first.stop()).toBe(0);
      const second = await start();
      expect(await (await fetch(`${second.http}/kv/kept`)).text()).toBe("value");
      expect(await second.stop()).toBe(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("is a prompt at a terminal, and tells changes to who watches", async () => {
    const server = await startServer({ launcher: (flags) => [BINARY, "serve", ...flags] });
    const watch = Bun.spawn([BINARY, "watch", "user:", "--url", server.http, "--count", "1"], {
      stdout: "pipe",
      stderr: "pipe",
    });
    const decoder = new TextDecoder();
    const said = watch.stderr.getReader();
    for (let text = ""; !text.includes("watching");)
      text += decoder.decode((await said.read()).value!, { stream: true });
    const ready = `${new URL(server.http).host}> `;
    const env = { BREADBOX_URL: server.http, XDG_STATE_HOME: temporaryPath("binary-state") };
    const terminal = new PseudoTerminal([BINARY], env);
    await terminal.shows(ready);
    terminal.type("put user:42 typed\r");
    await terminal.shows(ready);
    expect(await new Response(watch.stdout).text()).toMatch(/^changed "user:42" \d+\n$/);
    expect(await watch.exited).toBe(0);
    terminal.type("get us\t");
    await terminal.shows("get user:42");
    terminal.type("\r");
    await terminal.shows("typed\r\n");
    terminal.type("\x04");
    expect(await terminal.exited).toBe(0);
    expect(await server.stop()).toBe(0);
  });

  test("is the command line as well, with the load generator's threads and a server of its own", async () => {
    const run = Bun.spawn(
      [BINARY, "bench", "--self", "--duration", "200ms", "--warmup", "0", "--keys", "100", "--json"],
      {
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    const [output, problem] = await Promise.all([
      new Response(run.stdout).text(),
      new Response(run.stderr).text(),
    ]);
    expect({ code: await run.exited, problem }).toEqual({ code: 0, problem: expect.any(String) });
    expect(JSON.parse(output)).toMatchObject({ wrong: 0 });
    expect(Bun.spawnSync([BINARY, "--version"]).stdout.toString()).toBe(`breadbox ${version}\n`);
  });

  test("takes no settings from files of the directory it is started in", () => {
    const folder = mkdtempSync(join(tmpdir(), "breadbox-binary-"));
    try {
      writeFileSync(join(folder, ".env"), "BREADBOX_PORT=nonsense\n");
      writeFileSync(join(folder, "preload.ts"), "process.exit(9);\n");
      writeFileSync(join(folder, "bunfig.toml"), 'preload = ["./preload.ts"]\n');
      const { exitCode, stderr } = Bun.spawnSync([BINARY, "serve", "--memory", "nonsense"], { cwd: folder });
      expect({ exitCode, problem: stderr.toString() }).toEqual({
        exitCode: 64,
        problem: expect.stringContaining("--memory"),
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
