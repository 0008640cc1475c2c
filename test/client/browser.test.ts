/** The built client and HTTP in a real browser: a page of another origin that the server allows, and a server that restarts. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Browser, chromium, type Page } from "playwright-core";
import { CHROMIUM, MISSING_CHROMIUM, QUIET } from "../support/chromium";
import { freeze, thaw } from "../support/process";
import { startServer, type TestServer } from "../support/server";
import { Relay } from "./relay";

const BUILT = new URL("../../dist/client.js", import.meta.url).pathname;
describe.skipIf(MISSING_CHROMIUM)("the client in Chromium", () => {
  let browser: Browser;
  let page: Page;
  let server: TestServer;
  const site = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    routes: {
      "/": new Response("<!doctype html><title>page</title>", { headers: { "Content-Type": "text/html" } }),
      "/client.js": () => new Response(Bun.file(BUILT)),
    },
  });
  const flags = ["--token", "secret", "--allow-origin", `http://127.0.0.1:${site.port}`];

  beforeAll(async () => {
    server = await startServer({ flags });
    browser = await chromium.launch({ executablePath: CHROMIUM, args: QUIET });
    page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${site.port}/`);
  }, 60_000);

  afterAll(async () => {
    await browser.close();
    await site.stop(true);
    expect(await server.stop()).toBe(0);
  });

  test("puts, gets, and pipelines", async () => {
    const result = await page.evaluate(async (url) => {
      const { connect } = await import("/client.js" as string);
      const cache = await connect(url, {
        token: "secret",
        reconnectMinMs: 5,
        reconnectMaxMs: 50,
        timeoutMs: 30_000,
      });
      (globalThis as any).cache = cache;
      await cache.put("greeting", "grüße 🍞", { ttlMs: 60_000 });
      const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
      await cache.put("bytes", bytes);
      await Promise.all(Array.from({ length: 5000 }, (_, i) => cache.put(`k${i}`, `v${i}`)));
      const values = await cache.many(Array.from({ length: 5000 }, (_, i) => `k${i}`));
      return {
        text: await cache.get("greeting"),
        bytes: [...(await cache.getBytes("bytes"))].every((byte, i) => byte === i),
        right: values.every((value: string, i: number) => value === `v${i}`),
      };
    }, server.http);
    expect(result).toEqual({ text: "grüße 🍞", bytes: true, right: true });
  }, 60_000);

  test("survives a restart of the server", async () => {
    await page.evaluate(() => {
      const seen: string[] = ((globalThis as any).seen = []);
      for (const name of ["close", "reconnecting", "open"])
        (globalThis as any).cache.on(name, () => seen.push(name));
    });
    const { port } = server;
    await server.stop();
    server = await startServer({ flags: [...flags, "--port", String(port)] });
    const result = await page.evaluate(async () => {
      const { cache, seen } = globalThis as any;
      const before = await cache.get("greeting");
      await cache.put("greeting", "again");
      return { before, after: await cache.get("greeting"), first: seen[0], last: seen.at(-1) };
    });
    expect(result).toEqual({ before: null, after: "again", first: "close", last: "open" });
  }, 60_000);

  test("says why there is no connection, as far as a browser lets it", async () => {
    const causeOn = (on: Page, url: string, token?: string) =>
      on.evaluate(
        async ([url, token]) => {
          const { connect } = await import("/client.js" as string);
          const options = token === undefined ? {} : { token };
          return await connect(url, options).then(
            () => "connected",
            ({ code, message }: any) => [code, message.replace(/^no connection to [^ ]+: /, "")],
          );
        },
        [url, token] as const,
      );
    expect(await causeOn(page, server.http)).toEqual(["unauthorized", "a token is needed"]);
    expect(await causeOn(page, server.http, "wrong")).toEqual(["unauthorized", "the token is not accepted"]);
    // Of these a browser tells its pages nothing.
    const unknown = [
      "refused",
      "nobody listens there, its certificate is not trusted, or it does not allow pages of this origin (--allow-origin)",
    ];
    expect(await causeOn(page, "ws://127.0.0.1:1")).toEqual(unknown);
    const other = await browser.newPage();
    await other.goto(`http://localhost:${site.port}/`);
    expect(await causeOn(other, server.http, "secret")).toEqual(unknown);
    await other.close();
  }, 60_000);

  test("close comes to its end though the server stands still, and a heartbeat finds that it does", async () => {
    await page.evaluate(async (url) => {
      const { connect } = await import("/client.js" as string);
      const options = { token: "secret", timeoutMs: 300, heartbeatMs: 200 };
      const one = ((globalThis as any).one = await connect(url, options));
      (globalThis as any).two = await connect(url, options);
      (globalThis as any).broke = new Promise((resolve) => one.on("close", resolve));
    }, server.http);
    await freeze(server.process.pid);
    const result = await page.evaluate(async () => {
      const { one, two, broke } = globalThis as any;
      const code = await two.get("k").catch((error: any) => error.code);
      await Promise.all([two.close(), two.close()]);
      const { reason } = await broke;
      await one.close();
      return { code, reason };
    });
    thaw(server.process.pid);
    expect(result).toEqual({ code: "timeout", reason: "nothing came for 400 ms" });
  }, 60_000);

  test("watches, keeps copies that others' writes end, and after a broken connection has 10,000 of them confirmed, not sent", async () => {
    const relay = await Relay.to(server.port);
    const KEYS = 10_000;
    const VALUE_BYTES = 200;
    await page.evaluate(
      async ([url, keys, valueBytes]) => {
        const { connect } = await import("/client.js" as string);
        const options = { token: "secret", timeoutMs: 60_000, reconnectMinMs: 5, reconnectMaxMs: 50 };
        const near = { maxBytes: 64 << 20, maxAgeMs: 60_000 };
        const cache = ((globalThis as any).cache = await connect(url, { ...options, near }));
        const names = ((globalThis as any).names = Array.from({ length: keys }, (_, i) => `near:${i}`));
        await Promise.all(names.map((name) => cache.put(name, "v".repeat(valueBytes))));
        await cache.many(names);
      },
      [relay.url, KEYS, VALUE_BYTES] as const,
    );
    const outcome = await page.evaluate(async (http) => {
      const { cache } = globalThis as any;
      const watch = cache.watch("near:");
      // A key that shares a word with the one that changes may be told beside it, with version 0.
      const first = (async () => {
        for await (const change of watch) if (change.version !== 0) return { value: change };
        throw new Error("the watch has ended");
      })();
      await cache.ping();
      await fetch(`${http}/kv/near:7`, {
        method: "PUT",
        body: "theirs",
        headers: { Authorization: "Bearer secret" },
      });
      const { value } = await first;
      const held = cache.near.peek("near:7") ?? null;
      return [value.key, held, cache.near.peek("near:8").length, await cache.get("near:7")];
    }, server.http);
    expect(outcome).toEqual(["near:7", null, VALUE_BYTES, "theirs"]);
    await page.evaluate(() => {
      (globalThis as any).reopened = new Promise((resolve) => (globalThis as any).cache.on("open", resolve));
    });
    relay.cut();
    await page.evaluate(() => (globalThis as any).reopened);
    const before = relay.bytesToClient;
    const { served, ...counts } = await page.evaluate(async () => {
      const { cache, names } = globalThis as any;
      const served = names.filter((name: string) => cache.near.peek(name) !== undefined).length;
      const values: string[] = await cache.many(names);
      const { revalidations } = cache.near.stats();
      await cache.close();
      return { served, revalidations, bytes: values.join("").length };
    });
    expect(served).toBe(0);
    expect(counts).toEqual({ revalidations: KEYS, bytes: (KEYS - 1) * VALUE_BYTES + "theirs".length });
    expect(relay.bytesToClient - before).toBeLessThan(KEYS * 10);
    relay.close();
  }, 60_000);

  test("its page may use HTTP, preflights and all; a page that is not allowed reads nothing", async () => {
    const ask = async (url: string) => {
      const headers = { Authorization: "Bearer secret", "If-None-Match": "*" };
      try {
        const put = await fetch(`${url}/kv/cors`, { method: "PUT", body: "x", headers });
        const get = await fetch(`${url}/kv/cors`, { headers: { Authorization: "Bearer secret" } });
        const refused = await fetch(`${url}/kv/cors`);
        return [put.status, put.headers.get("etag") !== null, await get.text(), refused.status];
      } catch (error) {
        return [(error as Error).name];
      }
    };
    expect(await page.evaluate(ask, server.http)).toEqual([204, true, "x", 401]);
    const other = await browser.newPage();
    await other.goto(`http://localhost:${site.port}/`);
    expect(await other.evaluate(ask, server.http)).toEqual(["TypeError"]);
    await other.close();
  }, 60_000);

  test("a page of an origin that is not allowed gets no connection", async () => {
    const other = await browser.newPage();
    await other.goto("about:blank");
    const outcome = await other.evaluate(
      (url) =>
        new Promise<string>((resolve) => {
          const socket = new WebSocket(url, ["breadbox.v1", `bearer.${btoa("secret").replaceAll("=", "")}`]);
          socket.onopen = () => resolve("open");
          socket.onerror = () => resolve("refused");
        }),
      server.ws,
    );
    expect(outcome).toBe("refused");
    await other.close();
  }, 60_000);
});
