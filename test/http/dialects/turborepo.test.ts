/** Turborepo's paths: statuses, headers, errors in its client's form, teams. The client itself is in test/compat. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Call, type DialectServer, expectSafe, READ, scoped, startDialects } from "./support";

let dialects: DialectServer;
const call: DialectServer["call"] = (path, init) => dialects.call(path, init);
const ARTIFACT = "/v8/artifacts/b5285a4017511292";
const put = (path: string, init: Call = {}) =>
  call(path, {
    method: "PUT",
    body: Buffer.from("bytes"),
    ...init,
    headers: { "Content-Type": "application/octet-stream", ...init.headers },
  });
const errorOf = async (response: Response) => [
  response.status,
  ((await response.json()) as { error: object }).error,
];

beforeAll(async () => {
  dialects = await startDialects();
});

afterAll(async () => {
  expect(await dialects.server.stop()).toBe(0);
});

test("status, and events, of which nothing is kept", async () => {
  const status = await call("/v8/artifacts/status?slug=web");
  expect([status.status, await status.json()]).toEqual([200, { status: "enabled" }]);
  const events = (body: string) => call("/v8/artifacts/events", { method: "POST", body });
  const event = '[{"sessionId":"1","source":"LOCAL","event":"HIT","hash":"12","duration":3}]';
  expect((await events(event)).status).toBe(200);
  expect((await events("[]")).status).toBe(200);
  expect(await errorOf(await events('{"a":1}'))).toEqual([
    400,
    { code: "bad_request", message: expect.stringContaining("body: ") },
  ]);
  expect((await events("[")).status).toBe(400);
});

test("an artifact comes back with what its PUT said of it", async () => {
  const said = {
    "x-artifact-duration": "1234",
    "x-artifact-tag": "dGFn+/8=",
    "x-artifact-sha": "abc",
    "x-artifact-dirty-hash": "0f",
  };
  const stored = await put(`${ARTIFACT}?slug=web`, { headers: said });
  expect([stored.status, await stored.json()]).toEqual([
    202,
    { urls: [`${dialects.server.http}${ARTIFACT}`] },
  ]);
  for (const method of ["GET", "HEAD"]) {
    const got = await call(`${ARTIFACT}?slug=web`, { method });
    expectSafe(got);
    expect([got.status, got.headers.get("content-type"), got.headers.get("content-length")]).toEqual([
      200,
      "application/octet-stream",
      "5",
    ]);
    for (const [name, value] of Object.entries(said)) expect(got.headers.get(name)).toBe(value);
    expect(await got.text()).toBe(method === "GET" ? "bytes" : "");
  }
  await put(`${ARTIFACT}?slug=web`);
  const bare = await call(`${ARTIFACT}?slug=web`);
  expect([bare.headers.get("x-artifact-duration"), bare.headers.get("x-artifact-tag")]).toEqual([null, null]);
});

test("what does not fit beside duration and tag is left out; what cannot come back is refused", async () => {
  const tag = "t".repeat(160);
  const long = { "x-artifact-duration": "1", "x-artifact-tag": tag, "x-artifact-sha": "s".repeat(100) };
  expect((await put(ARTIFACT, { headers: long })).status).toBe(202);
  const { headers } = await call(ARTIFACT);
  expect([
    headers.get("x-artifact-duration"),
    headers.get("x-artifact-tag"),
    headers.get("x-artifact-sha"),
  ]).toEqual(["1", tag, null]);
  for (const [name, value] of [
    ["duration", "soon"],
    ["tag", `${tag}t`],
    ["tag", 'a"b'],
    ["tag", "\xe9"],
  ] as const) {
    const refused = await put(ARTIFACT, { headers: { [`x-artifact-${name}`]: value } });
    expect(await errorOf(refused)).toEqual([
      400,
      { code: "bad_request", message: expect.stringContaining(`${name}: must be`) },
    ]);
  }
});

test("teams have artifacts of their own, by id or by name", async () => {
  await put("/v8/artifacts/1?slug=web", { body: "web's" });
  await put("/v8/artifacts/1?teamId=team_1", { body: "1's" });
  await put("/v8/artifacts/1", { body: "nobody's" });
  const got = async (query: string) => (await call(`/v8/artifacts/1${query}`)).text();
  expect(await Promise.all(["?slug=web", "?teamId=team_1", "?teamId=team_1&slug=web", ""].map(got))).toEqual([
    "web's",
    "1's",
    "1's",
    "nobody's",
  ]);
  expect(await (await call("/kv/turborepo:web:1")).text()).toBe("web's");
  expect((await call("/v8/artifacts/2?slug=web")).status).toBe(404);
});

test("POST /v8/artifacts says which are there", async () => {
  await put("/v8/artifacts/q1?slug=q", { headers: { "x-artifact-duration": "7", "x-artifact-tag": "t" } });
  await put("/v8/artifacts/q2?slug=q", { body: "" });
  const ask = (hashes: unknown, query = "?slug=q") =>
    call(`/v8/artifacts${query}`, { method: "POST", body: JSON.stringify({ hashes }) });
  expect(await (await ask(["q1", "q2", "q3"])).json()).toEqual({
    q1: { size: 5, taskDurationMs: 7, tag: "t" },
    q2: { size: 0, taskDurationMs: 0 },
    q3: null,
  });
  expect(await (await ask([])).json()).toEqual({});
  const many = Array.from({ length: 600 }, (_, i) => `h${i}`);
  expect(Object.keys((await (await ask(many)).json()) as object)).toEqual(many);
  expect(await errorOf(await ask([...many, "one more"]))).toEqual([
    413,
    { code: "bad_request", message: expect.stringContaining("--max-batch") },
  ]);
  expect((await ask("q1")).status).toBe(400);
  expect((await ask([1])).status).toBe(400);
});

test("errors have the form that its client shows", async () => {
  expect(await errorOf(await call("/v8/artifacts/none"))).toEqual([
    404,
    { code: "not_found", message: "Artifact not found" },
  ]);
  expect(await errorOf(await call(ARTIFACT, { token: null }))).toEqual([
    401,
    { code: "unauthorized", message: "a token is needed: Authorization: Bearer TOKEN" },
  ]);
  expect(await errorOf(await put(ARTIFACT, { token: READ }))).toEqual([
    403,
    { code: "forbidden", message: "this token may only read (GET, INFO, SCAN, STATS, WATCH)" },
  ]);
  expect(await errorOf(await put(ARTIFACT, { body: Buffer.alloc(100 * 1024 + 1) }))).toEqual([
    413,
    { code: "bad_request", message: expect.stringContaining("--max-value") },
  ]);
  for (const path of [
    "/v8/artifacts/a%2Fb",
    "/v8/artifacts/",
    "/v8/artifacts/a%3Ab",
    "/v8/artifacts/1?slug=a:b",
  ])
    expect({ path, status: (await call(path)).status }).toEqual({ path, status: 400 });
  expect((await call(`/v8/artifacts/${"a".repeat(200)}`)).status).toBe(413);
});

test("a scoped token is held to its team and its verbs", async () => {
  const web = scoped("turborepo:web:", ["get", "put"]);
  expect((await put("/v8/artifacts/s?slug=web", { token: web })).status).toBe(202);
  expect((await call("/v8/artifacts/s?slug=web", { token: web })).status).toBe(200);
  for (const query of ["?slug=app", "?slug=webs", "", "?teamId=team_1&slug=web"]) {
    expect({ query, status: (await put(`/v8/artifacts/s${query}`, { token: web })).status }).toEqual({
      query,
      status: 403,
    });
    expect((await call(`/v8/artifacts/s${query}`, { token: web })).status).toBe(403);
  }
  const reader = scoped("turborepo:web:", ["get"]);
  expect((await put("/v8/artifacts/s?slug=web", { token: reader })).status).toBe(403);
  const ask = { method: "POST", body: '{"hashes":["s"]}', token: web };
  expect((await call("/v8/artifacts?slug=web", ask)).status).toBe(200);
  expect((await call("/v8/artifacts?slug=app", ask)).status).toBe(403);
});

test("--preflight of its client: where to send it, and that the token may come along", async () => {
  const headers = {
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "Authorization, Content-Type",
  };
  const answer = await call(ARTIFACT, { method: "OPTIONS", headers, token: null });
  expect(answer.status).toBe(204);
  expect(answer.headers.get("access-control-allow-headers")).toMatch(/(^|, )Authorization(,|$)/);
  expect(answer.headers.get("access-control-allow-methods")).toBe("GET, HEAD, PUT");
  const events = await call("/v8/artifacts/events", { method: "OPTIONS", headers, token: null });
  expect(events.headers.get("access-control-allow-methods")).toBe("POST");
});

test("another method is 405, and another path below /v8 is 404", async () => {
  expect((await call(ARTIFACT, { method: "DELETE" })).status).toBe(405);
  expect((await call("/v8/artifacts/status", { method: "POST" })).status).toBe(405);
  expect((await call("/v8/other")).status).toBe(404);
});
