/** What a scoped token's bearer hears: of keys under its prefix, and of nothing else. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { scopedToken, SECRET } from "../support/scoped";
import { startServer, type TestServer } from "../support/server";
import { clear, getWatched, lease, ping, put, unwatch, watch } from "../support/stream-requests";
import { temporaryFile } from "../support/temporary";
import { WireClient } from "../support/wire-client";

const FORBIDDEN = { status: "ERROR", code: 0x85 };
let server: TestServer;
let owner: WireClient;

const connect = (token: string) =>
  WireClient.connect(server.ws, { headers: { Authorization: `Bearer ${token}` } });

beforeAll(async () => {
  server = await startServer({
    flags: ["--token-secret-file", temporaryFile("watch-secrets", `${SECRET}\n`)],
    env: { BREADBOX_TOKEN: "owner", BREADBOX_READ_TOKEN: "reader" },
  });
  owner = await connect("owner");
});

afterAll(async () => {
  owner.close();
  expect(await server.stop()).toBe(0);
});

test("a watch without a prefix is of the token's own, one outside is forbidden", async () => {
  const client = await connect(scopedToken("mine:", ["get"]));
  expect(await client.ask(watch("other:"), watch("min"), getWatched("other:1"))).toMatchObject([
    FORBIDDEN,
    FORBIDDEN,
    FORBIDDEN,
  ]);
  expect(await client.ask(watch(""))).toEqual([{ status: "OK" }]);
  await owner.ask(put("other:1", "x"), put("mine:1", "x"));
  await client.ask(ping());
  expect(client.pushed.splice(0)).toMatchObject([{ push: "CHANGED", keys: [{ key: "mine:1" }] }]);
  await owner.ask(clear(""));
  await client.ask(ping());
  // Not that everything was cleared: of that it may know its own part.
  for (const push of client.pushed.splice(0))
    expect(push).toEqual({ push: "RESET", reason: 2, prefix: "mine:" });
  expect(await client.ask(unwatch(""))).toEqual([{ status: "OK" }]);
  await owner.ask(put("mine:1", "y"));
  await client.ask(ping());
  expect(client.pushed).toEqual([]);
  client.close();
});

test("who may not read may not watch, and leases need both rights", async () => {
  const writer = await connect(scopedToken("", ["put"]));
  const filling = put("k", "x", { flags: 0x80, version: 1n });
  const watching = put("k", "x", { flags: 0x40 });
  expect(await writer.ask(watch(""), lease("k"), filling, watching)).toMatchObject([
    FORBIDDEN,
    FORBIDDEN,
    FORBIDDEN,
    FORBIDDEN,
  ]);
  expect(await writer.askJson({ op: "put", key: "k", value: "x", watch: true })).toMatchObject({
    code: "FORBIDDEN",
  });
  const reader = await connect("reader");
  expect(await reader.ask(watch("k"), getWatched("k"), lease("k"))).toMatchObject([
    { status: "OK" },
    { status: "MISS" },
    FORBIDDEN,
  ]);
  writer.close();
  reader.close();
});

test("a request that waits for a value is given nothing once its token has expired or was taken away", async () => {
  const tokens = temporaryFile("waiting-tokens", "all owner-token\nall other-token\n");
  const secrets = temporaryFile("waiting-secrets", `${SECRET}\n`);
  const waited = await startServer({ flags: ["--token-file", tokens, "--token-secret-file", secrets] });
  const call = (key: string, token: string, query: string, init: RequestInit = {}) =>
    fetch(`${waited.http}/kv/${key}?${query}`, { headers: { Authorization: `Bearer ${token}` }, ...init });
  const held = async (key: string) => (await call(key, "owner-token", "lease=20s")).headers.get("lease");
  expect(await held("taken")).not.toBeNull();
  expect(await held("expired")).not.toBeNull();
  const taken = call("taken", "other-token", "lease=20s&wait=20s");
  const expired = call("expired", scopedToken("", ["get", "put"], 1), "lease=20s&wait=20s");
  expect((await expired).status).toBe(401);
  writeFileSync(tokens, "all owner-token\n");
  await waited.renew();
  expect((await taken).status).toBe(401);
  expect(await waited.stop()).toBe(0);
});

test("a connection whose token expires is told nothing more", async () => {
  const client = await connect(scopedToken("", ["get"], 1));
  await client.ask(watch("late:"));
  expect((await client.closed).code).toBe(4401);
  await owner.ask(put("late:1", "x"));
  const stats = (await (
    await fetch(`${server.http}/stats`, { headers: { Authorization: "Bearer owner" } })
  ).json()) as { prefixes: number };
  expect(stats.prefixes).toBe(0);
});
