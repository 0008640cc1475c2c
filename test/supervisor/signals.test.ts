/** One Ctrl-C may reach the server several times: from the terminal, and from the programs that started it. */
import { expect, test } from "bun:test";
import { dirname } from "node:path";
import { request } from "../support/frames";
import { missingCommands, testThatNeeds } from "../support/needs";
import { startServer, type TestServer } from "../support/server";
import { SlowPut } from "../support/slow-put";
import { WireClient } from "../support/wire-client";

const BUN = process.execPath;
const MAIN = new URL("../../src/main.ts", import.meta.url).pathname;
const BATCH = 50_000;
const PING = request({ op: 10, value: Buffer.from("x") });
/** Longer than signals of one cause lie apart. */
const LATER_MS = 700;

/** npx ▸ sh ▸ bun run start ▸ server, with a shell in npx's place that is called what npx calls itself. */
const LIKE_NPX = (flags: string[]) => [
  ...["bash", "-c", `exec -a "npm exec bun" sh -c '"$0" -c "$1"; true' sh "$0"`],
  `echo shell $$ >&2; "${BUN}" run start ${flags.join(" ")}; true`,
];

const start = (launcher: (flags: string[]) => string[]) =>
  startServer({
    launcher,
    flags: ["--log-level", "debug", "--drain-timeout", "60s"],
    env: { PATH: `${dirname(BUN)}:${process.env.PATH}` },
  });

const signalGroup = (server: TestServer, signal: "SIGINT" | "SIGTERM") =>
  process.kill(-server.process.pid, signal);

/** A PUT and a batch are under way; every process of the group is signalled, twice at once; both are answered. */
async function expectAnswers(server: TestServer, signal: "SIGINT" | "SIGTERM"): Promise<void> {
  const put = await SlowPut.begin(server);
  const client = await WireClient.connect(server.ws);
  client.send(...Array.from({ length: BATCH }, () => PING));
  await client.reply();
  signalGroup(server, signal);
  await server.logged(`${signal}: answering`);
  // Of signals that arrive in the same instant a process sees one; this one it sees for itself.
  signalGroup(server, signal);
  await server.logged(`${signal} again`);
  expect(await put.complete()).toStartWith("HTTP/1.1 204 ");
  for (let replies = 1; replies < BATCH; replies++) await client.reply();
  expect((await client.closed).code).toBe(1001);
  await server.silent;
}

test("Ctrl-C under `bun run start`: the terminal signals the server and bun run passes it on, which is one end", async () => {
  const server = await start((flags) => [BUN, "run", "start", ...flags]);
  await expectAnswers(server, "SIGINT");
});

testThatNeeds(
  missingCommands("timeout"),
  "timeout passes on SIGTERM twice, to the server and to the group, which is one end",
  async () => {
    const server = await start((flags) => ["timeout", "600", BUN, MAIN, ...flags]);
    await expectAnswers(server, "SIGTERM");
  },
);

testThatNeeds(
  missingCommands("bash"),
  "Ctrl-C under npx, which then ends its shell: that is the same end",
  async () => {
    const server = await start(LIKE_NPX);
    const put = await SlowPut.begin(server);
    signalGroup(server, "SIGINT");
    await server.logged("SIGINT: answering");
    process.kill(Number(/shell (\d+)/.exec(server.log())![1]), "SIGTERM");
    await server.logged("the end of npx again");
    expect(await put.complete()).toStartWith("HTTP/1.1 204 ");
    await server.silent;
  },
);

test("a second Ctrl-C under `bun run start`, a moment later, ends at once", async () => {
  const server = await start((flags) => [BUN, "run", "start", ...flags]);
  const put = await SlowPut.begin(server);
  signalGroup(server, "SIGINT");
  await server.logged("SIGINT: answering");
  await Bun.sleep(LATER_MS);
  signalGroup(server, "SIGINT");
  await server.silent;
  put.abandon();
});

test("a second signal, a moment later, ends at once and is named by the exit code", async () => {
  const server = await startServer({ flags: ["--drain-timeout", "60s"] });
  const put = await SlowPut.begin(server);
  const code = server.stop("SIGTERM");
  await server.logged("SIGTERM: answering");
  await Bun.sleep(LATER_MS);
  server.process.kill("SIGINT");
  expect(await code).toBe(130);
  put.abandon();
});
