/** Scoped tokens: which are taken, how long a verified one is remembered, and what `breadbox token` signs. */
import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import { generateKeyPairSync, sign } from "node:crypto";
import { signToken } from "../../src/access/jwt";
import { ScopedTokens, VERIFIED_MAX } from "../../src/access/scoped";
import { digestOf } from "../../src/access/tokens";
import { mayDo } from "../../src/commands/access";
import { Op } from "../../src/protocol/wire";
import { callAt } from "../../src/system/expiry";
import { jsonWebToken, scopedToken, SECRET } from "../support/scoped";
import { startServer, type TestServer } from "../support/server";
import { temporaryFile } from "../support/temporary";
import { WireClient } from "../support/wire-client";

const OLD_SECRET = "another secret for tests, the one before";
const HOUR_S = 3600;
const soon = () => Math.floor(Date.now() / 1000) + HOUR_S;
const good = () => ({ prefix: "a:", allow: ["get"], exp: soon() });

let server: TestServer;
const secretFile = temporaryFile("secrets", `${SECRET}\n\n# the one before\n${OLD_SECRET}\n`);

beforeAll(async () => {
  server = await startServer({ flags: ["--token-secret-file", secretFile, "--auth-failures", "1000"] });
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

const get = (token: string) =>
  fetch(`${server.http}/get?key=a:1`, { headers: { Authorization: `Bearer ${token}` } });

/** The same claims under a signature of RSA, as a server that trusts the header would take it for a secret. */
function signedWithRsa(): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "RS256" })}.${part(good())}`;
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return `${signed}.${sign("sha256", Buffer.from(signed), privateKey).toString("base64url")}`;
}

function unsigned(): string {
  const [, claims] = jsonWebToken(good()).split(".");
  return `${Buffer.from('{"alg":"none"}').toString("base64url")}.${claims}.`;
}

function tampered(): string {
  const [head, , signature] = jsonWebToken(good()).split(".");
  return `${head}.${Buffer.from(JSON.stringify({ ...good(), prefix: "" })).toString("base64url")}.${signature}`;
}

describe("a token is taken", () => {
  for (const [name, token] of [
    ["signed with the first secret", () => jsonWebToken(good())],
    ["signed with the second", () => jsonWebToken(good(), { secret: OLD_SECRET })],
    [
      "with claims that are none of ours",
      () => jsonWebToken({ ...good(), sub: "web", iss: "x", iat: 1, more: {} }),
    ],
    [
      "signed by our own function",
      () => signToken(SECRET, { prefix: "a:", allow: ["get"], expiresAt: soon() }),
    ],
  ] as const) {
    test(name, async () => {
      const signed = await token();
      // The first request verifies, the second remembers.
      expect((await get(signed)).status).toBe(404);
      expect((await get(signed)).status).toBe(404);
    });
  }
});

describe("a token is refused with 401", () => {
  const { prefix: _, ...withoutPrefix } = good();
  const { exp: __, ...withoutExpiry } = good();
  for (const [name, token] of [
    ["of another secret", jsonWebToken(good(), { secret: "a secret that nobody has given the server" })],
    ["unsigned (alg none)", unsigned()],
    ["of another hash", jsonWebToken(good(), { header: { alg: "HS512" }, hash: "sha512" })],
    ["that only says HS256", jsonWebToken(good(), { hash: "sha512" })],
    ["of another kind of key", signedWithRsa()],
    ["whose claims were changed", tampered()],
    ["with an extension that must be understood", jsonWebToken(good(), { header: { crit: ["x"], x: 1 } })],
    ["without expiry", jsonWebToken(withoutExpiry)],
    ["whose expiry is text", jsonWebToken({ ...good(), exp: String(soon()) })],
    ["not valid yet", jsonWebToken({ ...good(), nbf: soon() })],
    ["without prefix", jsonWebToken(withoutPrefix)],
    ["whose prefix is no text", jsonWebToken({ ...good(), prefix: 7 })],
    ["whose prefix is half a character", jsonWebToken({ ...good(), prefix: "\ud800" })],
    ["without verbs", jsonWebToken({ ...good(), allow: [] })],
    ["with a verb that there is not", jsonWebToken({ ...good(), allow: ["get", "fly"] })],
    ["with clear", jsonWebToken({ ...good(), allow: ["get", "clear"] })],
    ["that is no JSON", "YQ.YQ.YQ"],
    ["of two parts", jsonWebToken(good()).split(".").slice(0, 2).join(".")],
    ["of four parts", `${jsonWebToken(good())}.x`],
  ] as const) {
    test(name, async () => {
      const response = await get(token);
      expect(response.status).toBe(401);
      expect(await response.text()).toBe(
        '{"status":"ERROR","message":"a valid token is needed: Authorization: Bearer TOKEN"}',
      );
    });
  }

  test("that has expired: it is told so, and nobody takes it for guessing", async () => {
    const failures = async () =>
      /^breadbox_auth_failures_total (\d+)$/m.exec(await (await fetch(`${server.http}/metrics`)).text())![1];
    const before = await failures();
    const response = await get(scopedToken("a:", ["get"], -10));
    expect(response.status).toBe(401);
    expect(await response.text()).toContain("the token has expired");
    expect(await failures()).toBe(before);
  });
});

describe("what was verified once", () => {
  const SECOND = 1000;
  test("is answered at once from then on, until it expires", async () => {
    let now = Date.now();
    const tokens = new ScopedTokens([SECRET], () => now);
    const token = scopedToken("a:", ["get"], 60);
    const ask = () => tokens.accessOf(token, digestOf(token));
    const first = ask();
    expect(first).toBeInstanceOf(Promise);
    const access = await first;
    expect(ask()).toBe(access as never);
    if (typeof access === "string") throw new Error(access);
    expect(mayDo(access, Op.GET) && mayDo(access, Op.INFO) && mayDo(access, Op.PING)).toBe(true);
    expect(mayDo(access, Op.PUT) || mayDo(access, Op.STATS) || mayDo(access, Op.CLEAR)).toBe(false);
    now += 61 * SECOND;
    expect(ask()).toBe("expired");
  });

  test("is forgotten when so many others came since: the one not used for longest", async () => {
    const tokens = new ScopedTokens([SECRET]);
    const list = Array.from({ length: VERIFIED_MAX + 1 }, (_, i) => scopedToken(`${i}:`, ["get"]));
    const ask = (token: string) => tokens.accessOf(token, digestOf(token));
    for (const token of list.slice(0, -1)) await ask(token);
    expect(ask(list[0]!)).not.toBeInstanceOf(Promise);
    await ask(list.at(-1)!);
    expect(ask(list[0]!)).not.toBeInstanceOf(Promise);
    const forgotten = ask(list[1]!);
    expect(forgotten).toBeInstanceOf(Promise);
    await forgotten;
  });
});

describe("at its expiry", () => {
  test("a connection is closed with 4401, and HTTP answers 401", async () => {
    // A whole second at least: exp has no fractions.
    const token = scopedToken("a:", ["get"], 2);
    const client = await WireClient.connect(server.ws, { headers: { Authorization: `Bearer ${token}` } });
    expect(await client.askJson({ op: "get", key: "a:1" })).toMatchObject({ status: "MISS" });
    expect((await get(token)).status).toBe(404);
    expect(await client.closed).toEqual({ code: 4401, reason: "the token has expired" });
    expect((await get(token)).status).toBe(401);
  });

  test("a time beyond what setTimeout can count is waited for in pieces", () => {
    const timers = spyOn(globalThis, "setTimeout");
    let called = false;
    const stop = callAt(Date.now() + 400 * 24 * HOUR_S * 1000, () => (called = true));
    const [, delay] = timers.mock.calls[0]!;
    stop();
    timers.mockRestore();
    expect(delay).toBeLessThan(2 ** 31);
    expect(called).toBe(false);
    callAt(Date.now(), () => (called = true));
    expect(called).toBe(true);
  });
});

describe("breadbox token", () => {
  const BIN = new URL("../../src/bin.ts", import.meta.url).pathname;
  const run = async (...args: string[]) => {
    const child = Bun.spawn([process.execPath, BIN, "token", ...args], { stdout: "pipe", stderr: "pipe" });
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return { stdout, stderr, code: await child.exited };
  };

  test("signs what the server takes", async () => {
    const flags = ["--prefix", "a:", "--allow", "get,put", "--expires", "15m", "--sub", "web"];
    const { stdout, code } = await run(...flags, "--secret-file", secretFile);
    expect(code).toBe(0);
    const claims = JSON.parse(Buffer.from(stdout.split(".")[1]!, "base64url").toString());
    expect(claims).toMatchObject({ prefix: "a:", allow: ["get", "put"], sub: "web" });
    expect(claims.exp - claims.iat).toBe(900);
    expect((await get(stdout.trim())).status).toBe(404);
  });

  for (const [name, flags, says] of [
    ["without a prefix", ["--allow", "get"], "--prefix is needed"],
    ["with a verb that there is not", ["--prefix", "a", "--allow", "get,fly"], "verbs of get, put"],
    ["with clear", ["--prefix", "a", "--allow", "clear"], "verbs of get, put"],
    ["with a time that is none", ["--prefix", "a", "--allow", "get", "--expires", "soon"], "15m"],
  ] as const) {
    test(name, async () => {
      const { code, stderr } = await run(...flags, "--secret-file", secretFile);
      expect(code).toBe(64);
      expect(stderr).toContain(says);
    });
  }

  test("a secret that is too short is refused by file and line, and never shown", async () => {
    const short = temporaryFile("short", `# comment\n${SECRET}\nhush-hush\n`);
    const { code, stderr } = await run("--prefix", "a", "--allow", "get", "--secret-file", short);
    expect(code).toBe(64);
    expect(stderr).toContain(`${short}, line 3: the secret has 9 bytes, at least 32 are needed`);
    expect(stderr).not.toContain("hush");
  });
});
