/** Why there is no connection: each cause has its code and its words, in every runtime, as far as it lets anybody know. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { makeCertificate } from "../support/certificate";
import { startServer, type TestServer } from "../support/server";
import { BUN, NODE_OWN, NODE_WS, run, type Runtime } from "./runtimes";

interface Attempt {
  url: string;
  token?: string;
  connectTimeoutMs?: number;
}

const SECRET = "not-to-be-shown";
let guarded: TestServer;
let secure: TestServer;
let full: TestServer;
let cases: Record<string, Attempt>;
/** Serves pages, and keeps the tokens that it is shown. */
const seenTokens: (string | null)[] = [];
const website = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch(request) {
    seenTokens.push(request.headers.get("authorization"));
    return new Response("<h1>welcome</h1>");
  },
});
const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
const tenant = { socket: null as WebSocket | null };

beforeAll(async () => {
  const { certFile, keyFile } = await makeCertificate("own");
  [guarded, secure, full] = await Promise.all([
    startServer({ flags: ["--token", "right"] }),
    startServer({ flags: ["--token", "right", "--tls-cert", certFile, "--tls-key", keyFile] }),
    startServer({ flags: ["--max-connections", "1"] }),
  ]);
  const socket = new WebSocket(full.ws);
  tenant.socket = socket;
  await new Promise((resolve) => (socket.onopen = resolve));
  cases = {
    "no token": { url: guarded.http },
    "a wrong token": { url: guarded.http, token: SECRET },
    "a certificate that is not trusted": { url: secure.http, token: SECRET },
    "nobody listens": { url: `ws://127.0.0.1:${await freePort()}` },
    "no such host": { url: "ws://cache.invalid", connectTimeoutMs: 25_000 },
    "no TLS there": { url: guarded.http.replace("http", "https") },
    "no Breadbox": { url: `ws://127.0.0.1:${website.port}`, token: SECRET },
    "no room": { url: full.http },
    "no answer": { url: `ws://127.0.0.1:${silent.port}`, connectTimeoutMs: 300 },
  };
});

afterAll(async () => {
  tenant.socket?.close();
  silent.stop(true);
  await website.stop(true);
  expect(await Promise.all([guarded.stop(), secure.stop(), full.stop()])).toEqual([0, 0, 0]);
});

async function freePort(): Promise<number> {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = server;
  server.stop(true);
  return port;
}

/** What each attempt failed with. */
async function causes(runtime: Runtime): Promise<Record<string, [code: string, text: string]>> {
  const script = `
    const seen = {};
    for (const [name, { url, ...options }] of Object.entries(argument))
      await connect(url, { ...runtimeOptions, ...options }).then(
        (cache) => (seen[name] = ["connected", ""], cache.close()),
        ({ code, message }) => (seen[name] = [code, message]),
      );
    console.log(JSON.stringify(seen));
  `;
  const { stdout, stderr, code } = await run(runtime, script, cases);
  const warnings = stderr.replaceAll(/^\(.*\n/gm, "");
  expect({ code, warnings }).toEqual({ code: 0, warnings: "" });
  expect(stdout).not.toContain(SECRET);
  return JSON.parse(stdout) as Record<string, [string, string]>;
}

const said = (address: string, text: string) => `no connection to ${address}/ws: ${text}`;

for (const runtime of [BUN, NODE_WS, NODE_OWN])
  describe(runtime.name, () => {
    test("says why there is no connection", async () => {
      const seen = await causes(runtime);
      const tellsStatus = runtime !== NODE_OWN;
      const websiteAddress = `ws://127.0.0.1:${website.port}`;
      const certificate = "its certificate is not trusted: DEPTH_ZERO_SELF_SIGNED_CERT";
      expect(seen).toEqual({
        "no token": ["unauthorized", `no connection to ${guarded.ws}: a token is needed`],
        "a wrong token": ["unauthorized", `no connection to ${guarded.ws}: the token is not accepted`],
        "a certificate that is not trusted": ["untrusted", `no connection to ${secure.ws}: ${certificate}`],
        "nobody listens": [
          "refused",
          `no connection to ${cases["nobody listens"]!.url}/ws: nobody listens there`,
        ],
        "no such host": ["refused", said("ws://cache.invalid", "there is no such host")],
        "no TLS there": [
          "refused",
          expect.stringMatching(/: TLS fails, as where a server speaks none: (EPROTO|ERR_SSL_\w+)$/),
        ],
        "no Breadbox": [
          "refused",
          said(websiteAddress, "it speaks HTTP, but refuses the WebSocket: is it a Breadbox?"),
        ],
        "no room": tellsStatus
          ? [
              "busy",
              `no connection to ${full.ws}: the server starts, stops, or has all the connections it may have`,
            ]
          : [
              "refused",
              `no connection to ${full.ws}: it speaks HTTP, but refuses the WebSocket: is it a Breadbox?`,
            ],
        "no answer": ["timeout", said(`ws://127.0.0.1:${silent.port}`, "no answer within 300 ms")],
      });
    }, 30_000);
  });

test("a page or host name that is not allowed: forbidden", async () => {
  const script = `
    class Foreign extends WebSocket {
      constructor(url, protocols) { super(url, protocols, { origin: "https://evil.example" }); }
    }
    await connect(argument, { WebSocket: Foreign }).catch(({ code, message }) => console.log(code, message));
  `;
  const { stdout } = await run(NODE_WS, script, guarded.http);
  expect(stdout).toBe(
    `forbidden no connection to ${guarded.ws}: this origin or host name is not allowed (--allow-origin, --allow-host)\n`,
  );
});

describe("the token goes to nobody whom the WebSocket would not have trusted", () => {
  /** A WebSocket that fails and says nothing, as browsers' do. */
  const script = `
    class Mute {
      constructor() { queueMicrotask(() => this.onerror({})); }
      close() {}
    }
    await connect(argument, { WebSocket: Mute, token: "${SECRET}" }).catch(({ code }) => console.log(code));
  `;

  test("not to a server that fetch trusts, and a WebSocket class of one's own maybe not", async () => {
    const { certFile, keyFile } = await makeCertificate("other");
    const tokens: (string | null)[] = [];
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      tls: { cert: Bun.file(certFile), key: Bun.file(keyFile) },
      fetch(request) {
        tokens.push(request.headers.get("authorization"));
        return new Response("OK", { status: request.url.endsWith("/get") ? 401 : 200 });
      },
    });
    const trustAll = { NODE_TLS_REJECT_UNAUTHORIZED: "0" };
    const { stdout } = await run(BUN, script, `wss://127.0.0.1:${server.port}`, trustAll);
    expect(stdout).toBe("refused\n");
    expect(tokens).toEqual([null, null]);
    await server.stop(true);
  });

  test("where no TLS is asked for, it was sent by the WebSocket already", async () => {
    const { stdout } = await run(BUN, script, guarded.ws);
    expect(stdout).toBe("unauthorized\n");
    seenTokens.length = 0;
    await run(BUN, script, `ws://127.0.0.1:${website.port}`);
    expect(seenTokens).toEqual([null, `Bearer ${SECRET}`]);
  });
});
