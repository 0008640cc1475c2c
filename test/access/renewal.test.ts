/** SIGHUP: files are read again with no restart; what can't be used changes nothing, and is said without a secret. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import { missingCommands, testThatNeeds } from "../support/needs";
import { scopedToken, SECRET } from "../support/scoped";
import { runServer, startServer, type TestServer } from "../support/server";
import { temporaryFile, temporaryPath } from "../support/temporary";
import { WireClient } from "../support/wire-client";

const MAIN = new URL("../../src/main.ts", import.meta.url).pathname;
const NEW_SECRET = "the secret that comes after the first one";
const bearer = (token: string) => ({ headers: { Authorization: `Bearer ${token}` } });

let server: TestServer;
const tokens = (text: string) => temporaryFile("tokens", text);
const secrets = (text: string) => temporaryFile("secrets", text);

beforeAll(async () => {
  server = await startServer({
    flags: [
      ...["--token", "flag-token", "--token-file", tokens("all first\nread reader\n")],
      ...["--token-secret-file", secrets(`${SECRET}\n`), "--auth-failures", "1000"],
    ],
  });
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
  for (const secret of ["first", "second", "reader", SECRET, NEW_SECRET, "flag-token"])
    expect(server.log()).not.toContain(` ${secret}`);
});

const status = async (token: string) => (await fetch(`${server.http}/get?key=a:`, bearer(token))).status;

describe("SIGHUP", () => {
  test("takes new tokens, ends old ones, and closes the connections of those only", async () => {
    const [gone, stays, narrowed, flag] = await Promise.all(
      ["first", "reader", "first", "flag-token"].map((token) => WireClient.connect(server.ws, bearer(token))),
    );
    tokens("all second\nread reader\n");
    await server.renew();
    for (const client of [gone!, narrowed!])
      expect(await client.closed).toEqual({ code: 4401, reason: "the token is no longer valid" });
    for (const client of [stays!, flag!]) {
      expect(await client.askJson({ op: "get", key: "a" })).toMatchObject({ status: "MISS" });
      client.close();
    }
    expect(await status("first")).toBe(401);
    expect(await status("second")).toBe(404);
    expect(await status("flag-token")).toBe(404);
  });

  test("a token alone on its line may do all", async () => {
    tokens("all second\nalone\nread reader\n");
    await server.renew();
    const put = (token: string) =>
      fetch(`${server.http}/kv/alone`, { method: "PUT", body: "1", ...bearer(token) });
    expect((await put("alone")).status).toBe(204);
    expect((await put("reader")).status).toBe(403);
  });

  test("a token whose right has changed is another one", async () => {
    tokens("all second\nall reader\n");
    await server.renew();
    const client = await WireClient.connect(server.ws, bearer("reader"));
    tokens("all second\nread reader\n");
    await server.renew();
    expect((await client.closed).code).toBe(4401);
  });

  for (const [name, content, says] of [
    ["no token", "# nothing\n", "holds no token"],
    [
      "a right that there is not",
      "all second\nwrite hush-hush\n",
      "line 2: must be `all TOKEN`, `read TOKEN`, or a token alone",
    ],
    ["a right without a token", "all one-token\nread\n", 'line 2: "read" needs a token'],
    ["a token with a space", "\n\nall hush-hush hush\n", "line 3: must be"],
    ["a token that is no ASCII", "all hüsh-hush\n", "line 1: the token is not 1 to 512"],
    ["the same twice", "all hush-hush\nread hush-hush\n", "line 2: the token is the one of line 1"],
    ["one that a flag gives", "all flag-token\n", "holds a token that --token or --read-token gives too"],
    [
      "too many",
      Array.from({ length: 300 }, (_, i) => `all t${i}\n`).join(""),
      "301 tokens in all, at most 256",
    ],
  ] as const) {
    test(`a token file with ${name} is refused, and the old tokens stay`, async () => {
      const client = await WireClient.connect(server.ws, bearer("second"));
      const file = tokens(content);
      await server.renew();
      expect(
        server
          .log()
          .split("\n")
          .filter((line) => line.includes(" error "))
          .at(-1),
      ).toMatch(new RegExp(`SIGHUP: ${RegExp.escape(file)}.*${RegExp.escape(says)}.*stays in force`));
      expect(server.log()).not.toContain("hush");
      expect(await client.askJson({ op: "get", key: "a" })).toMatchObject({ status: "MISS" });
      client.close();
      expect(await status("second")).toBe(404);
      expect(await status("hush-hush")).toBe(401);
    });
  }

  test("new secrets: the old one verifies as long as it is there, then its connections end", async () => {
    const token = scopedToken("a:", ["get"]);
    const client = await WireClient.connect(server.ws, bearer(token));
    secrets(`${NEW_SECRET}\n${SECRET}\n`);
    await server.renew();
    expect(await status(token)).toBe(404);
    expect(await status(scopedToken("a:", ["get"], 60, NEW_SECRET))).toBe(404);
    secrets(`${NEW_SECRET}\nshort\n`);
    await server.renew();
    expect(server.log()).toContain("line 2: the secret has 5 bytes");
    expect(await status(token)).toBe(404);
    expect(await client.askJson({ op: "get", key: "a:" })).toMatchObject({ status: "MISS" });
    secrets(`${NEW_SECRET}\n`);
    await server.renew();
    expect((await client.closed).code).toBe(4401);
    expect(await status(token)).toBe(401);
    expect(await status(scopedToken("a:", ["get"], 60, NEW_SECRET))).toBe(404);
  });

  test("says of each file what came of it, and nothing of what has no file", async () => {
    const said = () =>
      server
        .log()
        .match(/SIGHUP: in force: .*/g)!
        .at(-1);
    tokens("all second\nread reader\n");
    secrets(`${NEW_SECRET}\n`);
    await server.renew();
    expect(said()).toBe("SIGHUP: in force: 3 tokens (read again), 1 secret (read again)");
    tokens("# nothing\n");
    await server.renew();
    expect(said()).toBe("SIGHUP: in force: 3 tokens (as before), 1 secret (read again)");
    secrets("short\n");
    await server.renew();
    expect(said()).toBe("SIGHUP: in force: 3 tokens (as before), 1 secret (as before)");
  });

  test("without a file to read, a service goes on and says that nothing has changed", async () => {
    const plain = await startServer({ flags: ["--token", "t"] });
    plain.process.kill("SIGHUP");
    await plain.logged("SIGHUP: there is no file to read again; nothing has changed");
    expect(await plain.stop()).toBe(0);
  });

  testThatNeeds(
    missingCommands("script"),
    "without one, in a terminal, it ends, as everything there",
    async () => {
      const command = `echo pid $$; exec ${process.execPath} ${MAIN} --port 0 --memory 16mb`;
      const terminal = Bun.spawn(["script", "--quiet", "--return", "--command", command, "/dev/null"], {
        stdin: "pipe",
        stdout: "pipe",
      });
      let output = "";
      for await (const chunk of terminal.stdout) {
        const before = output;
        output += new TextDecoder().decode(chunk);
        if (!before.includes("serves") && output.includes("serves"))
          process.kill(Number(/pid (\d+)/.exec(output)![1]), "SIGHUP");
      }
      expect(await terminal.exited).toBe(129);
    },
  );
});

describe("at the start", () => {
  test("a file that can't be used: one line, exit code 64", async () => {
    const missing = temporaryPath("missing");
    for (const [flags, says] of [
      [["--token-file", missing], `${missing}: can't be read (ENOENT)`],
      [["--token-file", temporaryFile("bad-1", "all one\nsome hush-hush\n")], "line 2: must be"],
      [["--token-secret-file", temporaryFile("bad-2", "hush-hush\n")], "line 1: the secret has 9 bytes"],
      [["--token-secret-file", temporaryFile("bad-3", `${SECRET}\n`.repeat(17))], "17 secrets, at most 16"],
    ] as const) {
      const { code, stderr } = await runServer([...flags]);
      expect(code).toBe(64);
      expect(stderr).toMatch(/^breadbox: [^\n]+\n$/);
      expect(stderr).toContain(says);
      expect(stderr).not.toContain("hush");
    }
  });

  test("a file that everybody may read is named once, however often it is read", async () => {
    const open = temporaryFile("open", "all token\n");
    const closed = temporaryFile("closed", SECRET);
    chmodSync(open, 0o644);
    const warned = await startServer({ flags: ["--token-file", open, "--token-secret-file", closed] });
    await warned.renew();
    await warned.renew();
    await warned.stop();
    expect(warned.log().match(/open to every user/g)).toHaveLength(1);
    expect(warned.log()).toContain(`chmod o= ${open}`);
  });
});
