/** TLS on the one port: HTTP, WebSocket, client and command line; versions; a new certificate under open connections. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, readFileSync } from "node:fs";
import { connect as connectTls } from "node:tls";
import { connect } from "../../src/client/client";
import { webSocketTrusting } from "../../src/cli/tls";
import { type Certificate, makeCertificate, openssl } from "../support/certificate";
import { runServer, startServer, type TestServer } from "../support/server";
import { temporaryFile, temporaryPath } from "../support/temporary";

const BIN = new URL("../../src/bin.ts", import.meta.url).pathname;

let first: Certificate;
let second: Certificate;
let server: TestServer;
/** What the server is told to read; the certificates are copied there. */
const certFile = temporaryPath("server.crt");
const keyFile = temporaryPath("server.key");

function install(certificate: Certificate): void {
  cpSync(certificate.certFile, certFile);
  cpSync(certificate.keyFile, keyFile);
}

beforeAll(async () => {
  [first, second] = await Promise.all([makeCertificate("first"), makeCertificate("second")]);
  install(first);
  server = await startServer({ flags: ["--tls-cert", certFile, "--tls-key", keyFile, "--token", "t"] });
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

const TOKEN = { Authorization: "Bearer t" };
const call = (path: string, init: RequestInit = {}, ca = first.cert) =>
  fetch(server.http + path, { ...init, headers: TOKEN, tls: { ca }, keepalive: false });

async function breadbox(args: string[], env: Record<string, string> = {}) {
  const child = Bun.spawn([process.execPath, BIN, ...args], {
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, BREADBOX_TOKEN: "t", BREADBOX_URL: "", ...env },
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, stdout, stderr };
}

/** The common name of the certificate that a new connection gets, and the version it agreed on. */
function handshake(): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port: server.port, host: "127.0.0.1", rejectUnauthorized: false }, () => {
      resolve(`${socket.getPeerCertificate().subject.CN}, ${socket.getProtocol()}`);
      socket.end();
    });
    socket.on("error", reject);
  });
}

describe("https and wss on one port", () => {
  test("HTTP", async () => {
    expect((await call("/put", { method: "POST", body: '{"key":"name","value":"x"}' })).status).toBe(200);
    expect(await (await call("/get?key=name")).text()).toBe('{"status":"OK","key":"name","value":"x"}');
  });

  test("the client, and who does not trust the certificate gets nothing", async () => {
    const trusting = webSocketTrusting({ ca: first.cert });
    const cache = await connect(server.http, { token: "t", WebSocket: trusting });
    await cache.put("client", "wss");
    expect(await cache.get("client")).toBe("wss");
    await cache.close();
    await expect(connect(server.http, { token: "t" })).rejects.toThrow("no connection");
  });

  test("the command line with --tls-ca, and health without", async () => {
    const url = ["--url", `https://localhost:${server.port}`];
    const trusting = [...url, "--tls-ca", first.certFile];
    expect((await breadbox(["put", "cli", "value", ...trusting])).code).toBe(0);
    expect(await breadbox(["get", "cli", ...url], { BREADBOX_TLS_CA: first.certFile })).toMatchObject({
      code: 0,
      stdout: "value",
    });
    expect(await breadbox(["get", "cli", ...url])).toMatchObject({
      code: 69,
      stderr: expect.stringContaining("its certificate is not trusted: DEPTH_ZERO_SELF_SIGNED_CERT"),
    });
    expect((await breadbox(["get", "cli", ...url, "--tls-ca", temporaryPath("missing")])).code).toBe(64);
    // As in a container: the port is all it knows.
    expect(await breadbox(["health"], { BREADBOX_PORT: String(server.port) })).toMatchObject({ code: 0 });
    expect((await breadbox(["health", ...url])).code).toBe(0);
    expect((await breadbox(["health", ...trusting])).code).toBe(0);
    expect((await breadbox(["health", ...url, "--tls-ca", second.certFile])).code).toBe(1);
    const bench = ["--keys", "50", "--connections", "2", "--requests", "200", "--warmup", "0", "--json"];
    for (const protocol of ["ws", "http"]) {
      const { code, stdout } = await breadbox(["bench", ...bench, "--protocol", protocol, ...trusting]);
      expect({ protocol, code, errors: JSON.parse(stdout).errors }).toEqual({ protocol, code: 0, errors: 0 });
    }
  });

  test("plain HTTP gets no answer", async () => {
    await expect(fetch(server.http.replace("https", "http"))).rejects.toThrow();
  });

  test("TLS 1.3 and 1.2, nothing older", async () => {
    // Without this openssl itself would refuse to speak the old ones.
    const talk = (version: string) =>
      openssl("s_client", version, "-cipher", "ALL:@SECLEVEL=0", "-connect", `127.0.0.1:${server.port}`);
    expect(await handshake()).toBe("first, TLSv1.3");
    expect(await talk("-tls1_2")).toContain("New, TLSv1.2");
    for (const version of ["-tls1_1", "-tls1"])
      await expect(talk(version)).rejects.toThrow("alert protocol version");
  });
});

describe("SIGHUP with a new certificate", () => {
  test("new connections get it; open ones stay and are answered", async () => {
    const cache = await connect(server.http, {
      token: "t",
      WebSocket: webSocketTrusting({ ca: first.cert }),
      reconnectMinMs: 60_000,
    });
    let closed = false;
    cache.on("close", () => (closed = true));
    await cache.put("open", "still");
    // A request whose body is still coming; counted by the server once it has read the head.
    const counted = async () => ((await (await call("/stats")).json()) as any).httpRequests as number;
    const before = await counted();
    const slow = connectTls({ port: server.port, host: "127.0.0.1", ca: first.cert });
    const answer = new Promise<string>((resolve) => slow.on("data", (chunk) => resolve(String(chunk))));
    slow.write(
      `PUT /kv/slow HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\nContent-Length: 10\r\n\r\n12345`,
    );
    for (let asked = 1; (await counted()) < before + asked + 1; asked++);

    install(second);
    await server.renew();
    for (let i = 0; i < 20; i++) expect(await handshake()).toBe("second, TLSv1.3");
    expect((await call("/get?key=name", {}, second.cert)).status).toBe(200);
    await expect(call("/get?key=name", {}, first.cert)).rejects.toThrow();
    expect(await cache.get("open")).toBe("still");
    slow.write("67890");
    expect(await answer).toStartWith("HTTP/1.1 204");
    slow.end();
    expect(closed).toBe(false);
    await cache.close();
  });

  test("again and again, with connections opened all the time: each gets a whole pair", async () => {
    let done = false;
    const names = new Set<string>();
    // A connection that no worker had taken yet when its listener went is reset before it is one: tried again.
    const opening = (async () => {
      while (!done) names.add(await handshake().catch(() => "reset, tried again"));
    })();
    for (const certificate of [first, second, first, second]) {
      install(certificate);
      await server.renew();
    }
    done = true;
    await opening;
    expect([...names].every((name) => /^(first|second|reset), /.test(name))).toBe(true);
    expect(await handshake()).toBe("second, TLSv1.3");
  });

  test("a pair that can't be used changes nothing", async () => {
    cpSync(first.keyFile, keyFile);
    await server.renew();
    expect(server.log()).toContain(
      `${keyFile}: is not the key of the certificate in ${certFile}; what was read before`,
    );
    expect(await handshake()).toBe("second, TLSv1.3");
    expect(server.log()).not.toContain(readFileSync(keyFile, "utf8").split("\n")[1]!);
  });
});

describe("at the start", () => {
  test("what can't be used: one line, exit code 64", async () => {
    const encrypted = temporaryPath("encrypted.key");
    await openssl("pkey", "-in", first.keyFile, "-aes256", "-passout", "pass:hush", "-out", encrypted);
    const nothing = temporaryFile("nothing.pem", "nothing\n");
    const missing = temporaryPath("missing.pem");
    for (const [cert, key, says] of [
      [first.certFile, undefined, "--tls-cert and --tls-key need each other"],
      [undefined, first.keyFile, "--tls-cert and --tls-key need each other"],
      [missing, first.keyFile, `${missing}: can't be read (ENOENT)`],
      [first.certFile, missing, `${missing}: can't be read (ENOENT)`],
      [nothing, first.keyFile, `${nothing}: holds no certificate in PEM form`],
      [first.certFile, nothing, `${nothing}: holds no private key in PEM form`],
      [first.certFile, second.keyFile, `${second.keyFile}: is not the key of the certificate`],
      [first.certFile, encrypted, `${encrypted}: the key is encrypted`],
    ] as const) {
      const flags = [...(cert ? ["--tls-cert", cert] : []), ...(key ? ["--tls-key", key] : [])];
      const { code, stderr } = await runServer(flags);
      expect({ code, says: stderr.includes(says), stderr }).toEqual({ code: 64, says: true, stderr });
      expect(stderr).toMatch(/^breadbox: [^\n]+\n$/);
    }
  });

  test("an expired certificate is served with a warning, and so is one that begins later", async () => {
    const expired = await makeCertificate("expired", { from: "20200101000000Z", to: "20210101000000Z" });
    const early = await makeCertificate("early", { from: "20980101000000Z", to: "20990101000000Z" });
    for (const [{ certFile, keyFile }, says] of [
      [expired, "the certificate expired on Jan  1 00:00:00 2021 GMT"],
      [early, "the certificate is not valid before Jan  1 00:00:00 2098 GMT"],
    ] as const) {
      const warned = await startServer({ flags: ["--tls-cert", certFile, "--tls-key", keyFile] });
      expect(warned.log()).toContain(`${certFile}: ${says}`);
      await warned.stop();
    }
  });
});
