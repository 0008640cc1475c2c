/** Leases over HTTP: who computes, who waits, and what becomes of a value that comes too late. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { scopedToken, SECRET } from "../support/scoped";
import { startServer, type TestServer } from "../support/server";
import { fill, lease, leaseOrWait } from "../support/stream-requests";
import { temporaryFile } from "../support/temporary";
import { WireClient } from "../support/wire-client";

let server: TestServer;
let named = 0;
const fresh = () => `k${named++}`;

beforeAll(async () => {
  server = await startServer();
});

afterAll(async () => {
  if (server.process.exitCode === null) expect(await server.stop()).toBe(0);
});

const ask = (path: string, init: RequestInit = {}) =>
  fetch(`${server.http}/kv/${path}`, { ...init, keepalive: false });
const put = (path: string, body: string) => ask(path, { method: "PUT", body });

async function leased(path: string): Promise<string> {
  const response = await ask(path);
  expect(response.status).toBe(404);
  const token = /^"(\d+)"$/.exec(response.headers.get("lease") ?? "")?.[1];
  if (token === undefined) throw new Error(`no lease: ${await response.text()}`);
  return token;
}

/** Resolves when so many callers wait. */
async function untilWaiting(tickets: number): Promise<void> {
  for (;;) {
    const stats = (await (await fetch(`${server.http}/stats`, { keepalive: false })).json()) as {
      tickets: number;
    };
    if (stats.tickets === tickets) return;
  }
}

describe("GET /kv/{key}?lease=MS", () => {
  test("a value has the Content-Type with which it was stored, for who waited for it, too", async () => {
    const key = fresh();
    const token = await leased(`${key}?lease=5s`);
    const waiting = ask(`${key}?lease=5s&wait=60s`);
    await untilWaiting(1);
    const headers = { "Content-Type": "text/x-own; charset=utf-8" };
    await ask(`${key}?lease=${token}`, { method: "PUT", body: "computed", headers });
    for (const found of [await waiting, await ask(`${key}?lease=5s`)])
      expect([found.status, found.headers.get("content-type"), await found.text()]).toEqual([
        200,
        headers["Content-Type"],
        "computed",
      ]);
  });

  test("one gets the lease and stores, another is told when to come again, and then gets the value", async () => {
    const key = fresh();
    const token = await leased(`${key}?lease=5000`);
    const other = await ask(`${key}?lease=5s`);
    expect([other.status, other.headers.get("lease"), other.headers.get("retry-after")]).toEqual([
      404,
      null,
      "5",
    ]);
    const stored = await put(`${key}?lease=${token}&ttl=60s`, "computed");
    expect(stored.status).toBe(204);
    const found = await ask(`${key}?lease=5000`);
    expect([found.status, await found.text(), found.headers.get("etag")]).toEqual([
      200,
      "computed",
      stored.headers.get("etag"),
    ]);
    expect((await put(`${key}?lease=${token}`, "again")).status).toBe(412);
    expect(
      (await ask(`${key}?lease=5000`, { headers: { "If-None-Match": found.headers.get("etag")! } })).status,
    ).toBe(304);
  });

  test("the end of its time, or a delete, makes a late value 412", async () => {
    const [late, deleted] = [fresh(), fresh()];
    const first = await leased(`${late}?lease=1`);
    const second = await leased(`${deleted}?lease=5000`);
    await ask(deleted, { method: "DELETE" });
    expect((await put(`${deleted}?lease=${second}`, "stale")).status).toBe(412);
    const next = await leased(`${late}?lease=5000&wait=5000`);
    expect((await put(`${late}?lease=${first}`, "late")).status).toBe(412);
    expect((await put(`${late}?lease="${next}"`, "in time")).status).toBe(204);
  });

  test("is not ended by the end of the connection that got it", async () => {
    const key = fresh();
    const token = await leased(`${key}?lease=60000`);
    const [again] = await Promise.all([ask(`${key}?lease=1000`)]);
    expect(again!.headers.get("retry-after")).toBe("60");
    expect((await put(`${key}?lease=${token}`, "x")).status).toBe(204);
  });
});

describe("with wait", () => {
  test("the answer is held until the value is there, whoever stores it and by which protocol", async () => {
    const key = fresh();
    const token = await leased(`${key}?lease=30000`);
    const waiting = Array.from({ length: 10 }, () => ask(`${key}?lease=30000&wait=30000`));
    await untilWaiting(10);
    await put(`${key}?lease=${token}`, "computed");
    for (const response of await Promise.all(waiting))
      expect([response.status, await response.text()]).toEqual([200, "computed"]);
    const other = fresh();
    const client = await WireClient.connect(server.ws);
    const [held] = await client.ask(lease(other));
    const late = ask(`${other}?lease=30000&wait=30s`);
    await untilWaiting(1);
    await client.ask(fill(other, "by frames", (held as { token: bigint }).token));
    expect(await (await late).text()).toBe("by frames");
    client.close();
  });

  test("the lease goes to one who waits when its holder gives up, and stays with that one", async () => {
    const key = fresh();
    const client = await WireClient.connect(server.ws);
    await client.ask(lease(key));
    const waiting = ask(`${key}?lease=30000&wait=30000`);
    await untilWaiting(1);
    client.close();
    const response = await waiting;
    const token = /^"(\d+)"$/.exec(response.headers.get("lease")!)![1]!;
    expect((await put(`${key}?lease=${token}`, "x")).status).toBe(204);
  });

  test("its time ends with Retry-After", async () => {
    const key = fresh();
    await leased(`${key}?lease=60000`);
    const response = await ask(`${key}?lease=60000&wait=20`);
    expect([response.status, response.headers.get("retry-after")]).toEqual([404, "60"]);
    await untilWaiting(0);
  });

  test("a caller who goes is forgotten", async () => {
    const key = fresh();
    const token = await leased(`${key}?lease=60000`);
    const abort = new AbortController();
    const waiting = ask(`${key}?lease=60000&wait=60000`, { signal: abort.signal });
    waiting.catch(() => {});
    await untilWaiting(1);
    abort.abort();
    await untilWaiting(0);
    const client = await WireClient.connect(server.ws);
    const [pending] = await client.ask(leaseOrWait(key));
    expect(pending!.status).toBe("PENDING");
    await put(`${key}?lease=${token}`, "x");
    expect(await client.push()).toMatchObject({ push: "FILLED" });
    client.close();
  });
});

test("what is wrong is 400 and names the parameter", async () => {
  const key = fresh();
  for (const [path, name, method] of [
    [`${key}?lease=0`, "lease", "GET"],
    [`${key}?lease=x`, "lease", "GET"],
    [`${key}?lease=5&wait=-1`, "wait", "GET"],
    [`${key}?wait=5`, "wait", "GET"],
    [`${key}?leash=5`, "leash", "GET"],
    [`${key}?lease=x`, "lease", "PUT"],
    [`${key}?lease=0`, "lease", "PUT"],
    [`${key}?lease=99999999999999999999`, "lease", "PUT"],
  ] as const) {
    const response = await ask(path, { method, ...(method === "PUT" && { body: "x" }) });
    expect({
      path,
      status: response.status,
      message: ((await response.json()) as { message: string }).message,
    }).toEqual({
      path,
      status: 400,
      message: expect.stringContaining(name),
    });
  }
});

test("a lease is a condition by itself: beside another one the request is refused", async () => {
  const conditions: [query: string, headers: Record<string, string>][] = [
    ["&if=absent", {}],
    ["", { "If-Match": '"5"' }],
    ["", { "If-None-Match": "*" }],
  ];
  for (const [query, headers] of conditions)
    expect((await ask(`k?lease=5${query}`, { method: "PUT", body: "x", headers })).status).toBe(400);
});

test("a token needs the right to read and to write", async () => {
  await server.stop();
  server = await startServer({
    flags: ["--token-secret-file", temporaryFile("lease-secrets", `${SECRET}\n`)],
  });
  for (const [allow, status] of [
    [["get"], 403],
    [["put"], 403],
    [["get", "put"], 404],
  ] as const) {
    const headers = { Authorization: `Bearer ${scopedToken("", [...allow])}` };
    expect({ allow, status: (await ask("k?lease=1000", { headers })).status }).toEqual({ allow, status });
  }
  const headers = { Authorization: `Bearer ${scopedToken("", ["put"])}` };
  expect((await ask("k?lease=5", { method: "PUT", body: "x", headers })).status).toBe(403);
});

test("who waits does not hold up the end of the server", async () => {
  await server.stop();
  server = await startServer();
  await leased("k?lease=60000");
  const waiting = ask("k?lease=60000&wait=60000");
  await untilWaiting(1);
  const stopped = server.stop();
  expect((await waiting).headers.get("retry-after")).toBe("60");
  expect(await stopped).toBe(0);
});
