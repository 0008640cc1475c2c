/** Refused requests in the log: enough for an operator to see why, and never much. */
import { expect, test } from "bun:test";
import { RefusalLog } from "../../src/http/refusal-log";
import { startServer } from "../support/server";

const FROM = { address: "192.0.2.7", method: "GET" };

function notes() {
  const [infos, debugs]: [string[], string[]] = [[], []];
  let now = 0;
  const log = new RefusalLog(
    { info: (text) => void infos.push(text), debug: (text) => void debugs.push(text) },
    () => now,
  );
  return { log, infos, debugs, pass: (ms: number) => (now += ms) };
}

test("the first refusal of a kind has a line; a minute later the next has, with the number between", () => {
  const { log, infos, debugs, pass } = notes();
  for (let i = 0; i < 1000; i++) log.note(FROM, 403, "Host: no");
  log.note(FROM, 401, "a token is needed");
  expect(infos).toEqual([
    "refused GET from 192.0.2.7 with 403: Host: no",
    "refused GET from 192.0.2.7 with 401: a token is needed",
  ]);
  expect(debugs).toHaveLength(1001);
  pass(60_000);
  log.note(FROM, 403, "Host: no");
  expect(infos.at(-1)).toBe(
    "refused GET from 192.0.2.7 with 403: Host: no (999 more since the last such line)",
  );
  pass(60_000);
  log.note(FROM, 403, "Host: no");
  expect(infos.at(-1)).toBe("refused GET from 192.0.2.7 with 403: Host: no");
});

test("refused hosts, pages, tokens and verbs leave a line, and no token is in it", async () => {
  const server = await startServer({
    flags: ["--workers", "1", "--token", "right-token", "--read-token", "read-token"],
  });
  const ask = async (headers: Record<string, string>, method = "GET") =>
    (await fetch(`${server.http}/kv/secret-key`, { headers, method })).status;
  expect(await ask({ Host: "evil.example" })).toBe(403);
  await server.logged(/info +refused GET from 127\.0\.0\.1 with 403: Host:/);
  expect(await ask({ Origin: "https://evil.example" })).toBe(403);
  await server.logged(/info +refused GET from 127\.0\.0\.1 with 403: Origin:/);
  expect(await ask({})).toBe(401);
  await server.logged(/info +refused GET from 127\.0\.0\.1 with 401: a token is needed/);
  expect(await ask({ Authorization: "Bearer wrong-token" })).toBe(401);
  await server.logged(/info +refused GET from 127\.0\.0\.1 with 401: a valid token is needed/);
  expect(await ask({ Authorization: "Bearer read-token" }, "DELETE")).toBe(403);
  await server.logged(/info +refused DELETE from 127\.0\.0\.1 with 403: this token may only read/);
  expect(await server.stop()).toBe(0);
  for (const word of ["wrong-token", "read-token", "right-token", "secret-key", "evil"])
    expect(server.log()).not.toContain(word);
});
