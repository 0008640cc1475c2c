/** SIGTERM and SIGINT: what came in is answered, WebSockets are closed with 1001, the exit code is 0. */
import { expect, test } from "bun:test";
import { request } from "../support/frames";
import { startServer } from "../support/server";
import { SlowPut } from "../support/slow-put";
import { WireClient } from "../support/wire-client";

const PING = request({ op: 10, value: Buffer.from("x") });

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal} under load: every request of a batch that was answered in part is answered whole`, async () => {
    const server = await startServer();
    const batch = Buffer.concat(Array.from({ length: 500 }, () => PING));
    const clients = await Promise.all(Array.from({ length: 8 }, () => WireClient.connect(server.ws)));
    const underWay = Promise.withResolvers<void>();
    const outcomes = clients.map(async (client) => {
      let replies = 0;
      try {
        while (true) {
          client.send(batch);
          for (let i = 0; i < 500; i++) {
            await client.reply();
            replies++;
          }
          underWay.resolve();
        }
      } catch {
        return { partial: replies % 500, code: (await client.closed).code };
      }
    });
    await underWay.promise;
    const exit = server.stop(signal);
    for (const outcome of await Promise.all(outcomes)) expect(outcome).toEqual({ partial: 0, code: 1001 });
    expect(await exit).toBe(0);
  });
}

test("a request whose body is still coming is answered", async () => {
  const server = await startServer();
  const put = await SlowPut.begin(server);
  const code = server.stop();
  await server.logged("SIGTERM");
  expect(await put.complete()).toStartWith("HTTP/1.1 204 ");
  expect(await code).toBe(0);
});

test("the drain timeout ends what does not end by itself", async () => {
  const server = await startServer({ flags: ["--drain-timeout", "300ms"] });
  const put = await SlowPut.begin(server);
  // 1 when the supervisor's patience ended before the worker's.
  expect([0, 1]).toContain(await server.stop());
  put.abandon();
});

test("under npx the server ends with the shell that npx started", async () => {
  // npx ▸ sh ▸ script ▸ server, each a shell that passes no signal on; the first is called what npx calls itself.
  const main = new URL("../../src/main.ts", import.meta.url).pathname;
  const script = `"${process.execPath}" "${main}" --port 0 --memory 16mb --workers 1; true`;
  const shell = `echo $$ >&2; sh -c '${script}'; true`;
  const npx = Bun.spawn(["bash", "-c", `exec -a "npm exec bun" sh -c "$0; true"`, `sh -c "$SHELL_LINE"`], {
    env: { ...process.env, SHELL_LINE: shell },
    stderr: "pipe",
  });
  let log = "";
  for await (const chunk of npx.stderr) {
    const before = log;
    log += new TextDecoder().decode(chunk);
    if (!before.includes("serves") && log.includes("serves"))
      process.kill(Number.parseInt(log, 10), "SIGTERM");
  }
  // Standard error is closed once every process that had it is gone.
  expect(log).toContain("the end of npx: answering");
});

test("who read its log is gone: a line that nobody hears ends nothing", async () => {
  const main = new URL("../../src/main.ts", import.meta.url).pathname;
  // head prints the line that says it serves, and ends; the next line finds the pipe closed.
  const shell = `exec 3>&1; exec "${process.execPath}" "${main}" --port 0 --memory 16mb --workers 1 2> >(head -n 1 >&3)`;
  const child = Bun.spawn(["bash", "-c", shell], { stdout: "pipe" });
  for await (const chunk of child.stdout) if (new TextDecoder().decode(chunk).includes("serves")) break;
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
});
