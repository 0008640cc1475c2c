/** HTTP/2 and HTTP/3: what the table of cases does not show. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { makeCertificate } from "../support/certificate";
import { curlOver, fetchOver } from "../support/http-calls";
import { runServer, startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const TOKEN = { Authorization: "Bearer t" };
const VERSIONS = [
  fetchOver("HTTP/1.1"),
  fetchOver("HTTP/2"),
  fetchOver("HTTP/3"),
  curlOver("HTTP/2", "--http2"),
];
const HTTP3_CLIENT = new URL("./http3-client.ts", import.meta.url).pathname;
/** More for a long run: HTTP3_CONNECTIONS=200. */
const CONNECTIONS = Number(process.env.HTTP3_CONNECTIONS ?? 24);
const AT_ONCE = 8;

let server: TestServer;

beforeAll(async () => {
  const { certFile, keyFile } = await makeCertificate("versions");
  server = await startServer({
    flags: [
      ...["--tls-cert", certFile, "--tls-key", keyFile, "--http2", "--http3"],
      ...["--token", "t", "--max-value", "1mb"],
    ],
  });
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
  expect(server.log()).not.toContain(" error ");
});

for (const call of VERSIONS)
  describe(call.version, () => {
    const ask = (path: string, init: Parameters<typeof call>[1] = {}) =>
      call(server.http + path, { ...init, headers: { ...TOKEN, ...init.headers } });

    test("methods, conditions, ETags and errors are those of HTTP/1.1", async () => {
      const stored = await ask("/kv/v", { method: "PUT", body: "value" });
      const etag = stored.headers.get("etag")!;
      expect([stored.status, etag]).toEqual([204, expect.stringMatching(/^"[0-9]+"$/)]);
      const got = await ask("/kv/v");
      expect([got.status, got.headers.get("etag"), await got.text()]).toEqual([200, etag, "value"]);
      expect((await ask("/kv/v", { headers: { "If-None-Match": etag } })).status).toBe(304);
      expect((await ask("/kv/v", { method: "PUT", body: "x", headers: { "If-Match": '"1"' } })).status).toBe(
        412,
      );
      const wrong = await ask("/stats", { method: "DELETE" });
      expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
      expect((await ask("/nowhere")).status).toBe(404);
      expect((await ask("/kv/v?x=1")).status).toBe(400);
      expect((await ask("/kv/v", { headers: { Origin: "https://evil.example" } })).status).toBe(403);
    });

    test("a token is asked for", async () => {
      const refused = await call(`${server.http}/kv/v`);
      expect([refused.status, refused.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
    });

    test("a refusal reaches the client also where its body is large", async () => {
      const body = Buffer.alloc(5 << 20, 97);
      const tooLarge = await ask("/kv/large", { method: "PUT", body });
      expect([tooLarge.status, (await tooLarge.text()).includes("--max-value")]).toEqual([413, true]);
      const noToken = await call(`${server.http}/kv/large`, { method: "PUT", body });
      expect(noToken.status).toBe(401);
    });

    test("a value of a megabyte goes in and comes out", async () => {
      const body = Buffer.alloc(1 << 20, 98);
      expect((await ask("/kv/megabyte", { method: "PUT", body })).status).toBe(204);
      expect((await (await ask("/kv/megabyte")).arrayBuffer()).byteLength).toBe(1 << 20);
    });
  });

test("WebSockets work on the same port", async () => {
  const client = await WireClient.connect(server.ws, {
    headers: TOKEN,
    tls: { rejectUnauthorized: false },
  });
  expect(await client.askJson({ op: "ping" })).toEqual({ status: "OK" });
  client.close();
});

test("connections of HTTP/3 are spread over two workers, and all are answered", async () => {
  const answers: string[] = [];
  for (let from = 0; from < CONNECTIONS; from += AT_ONCE)
    answers.push(
      ...(await Promise.all(
        Array.from({ length: Math.min(AT_ONCE, CONNECTIONS - from) }, (_, i) => connectOnce(from + i)),
      )),
    );
  expect(answers).toEqual(Array(CONNECTIONS).fill("204 true 401\n"));
  // Each worker writes the first refusal of a kind into the log.
  await server.loggedTimes("a token is needed", 2);
}, 120_000);

async function connectOnce(i: number): Promise<string> {
  const command = [process.execPath, HTTP3_CLIENT, `${server.http}/kv/of-${i}`, "t"];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
  return new Response(child.stdout).text();
}

test("--http3 without a certificate is refused with one line", async () => {
  const { code, stderr } = await runServer(["--http3"]);
  expect([code, stderr]).toEqual([
    64,
    "breadbox: --http3 needs --tls-cert and --tls-key: there is no HTTP/3 without TLS\n",
  ]);
});

test("without the flags neither is spoken", async () => {
  const plain = await startServer();
  await expect(curlOver("HTTP/2", "--http2-prior-knowledge")(`${plain.http}/healthz`)).rejects.toThrow();
  expect(await plain.stop()).toBe(0);
});
