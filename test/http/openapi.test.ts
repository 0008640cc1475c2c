/** GET /openapi.json against a validator of its standard, the table of routes, and what a real server answers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import Ajv2020 from "ajv/dist/2020";
import type { HttpContext } from "../../src/http/context";
import type { DialectName } from "../../src/http/dialects/names";
import { createRoutes } from "../../src/http/routes";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const TOKEN = "token-of-the-writer";
const KEY_BYTES_MAX = 64;
/** A value has the type that it was stored with. */
const ANY_TYPE = "*/*";
/** Larger answers would have to be counted against --max-buffered. */
const LARGE_BYTES = 64 * 1024;

let open: TestServer;
let guarded: TestServer;
let document: any;

beforeAll(async () => {
  const flags = ["--max-key", String(KEY_BYTES_MAX), "--max-value", "1kb", "--max-message", "2kb"];
  [open, guarded] = await Promise.all([
    startServer({ flags }),
    startServer({ flags: ["--protect-metrics"], env: { BREADBOX_TOKEN: TOKEN } }),
  ]);
  document = await (await fetch(`${open.http}/openapi.json`)).json();
});

afterAll(async () => {
  expect(await Promise.all([open.stop(), guarded.stop()])).toEqual([0, 0]);
});

interface Operation {
  path: string;
  method: string;
  about: any;
}

const METHODS = ["get", "head", "put", "post", "delete"];
const operations = (): Operation[] =>
  Object.entries<any>(document.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => method in item).map((method) => ({
      path,
      method: method.toUpperCase(),
      about: item[method],
    })),
  );

function operationOf(path: string, method: string): any {
  const template = path.split("?")[0]!.replace(/^\/kv\/.*/, "/kv/{key}");
  return document.paths[template]?.[method.toLowerCase()];
}

/** A path of this template that has an entry or not. */
const pathOf = (template: string) => template.replace("{key}", "some-key");

const resolve = (part: any): any => {
  if (part?.$ref === undefined) return part;
  return part.$ref
    .slice(2)
    .split("/")
    .reduce((inner: any, name: string) => inner[name], document);
};

function validatorOf(schema: object): (value: unknown) => string[] {
  const ajv = new Ajv2020({ strict: false, validateSchema: false, allErrors: true });
  ajv.addSchema(document, "openapi");
  const here = JSON.parse(JSON.stringify(schema).replaceAll('"#/components', '"openapi#/components'));
  const validate = ajv.compile(here);
  return (value) =>
    validate(value) ? [] : validate.errors!.map(({ instancePath, message }) => `${instancePath} ${message}`);
}

/** Of an answer that does not end. */
async function beginningOf(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  const { value } = (await reader?.read()) ?? {};
  await reader?.cancel();
  return Buffer.from(value ?? []).toString();
}

/** Holds an answer to the document: its status, its headers, the type and form of its body. */
async function conforms(path: string, method: string, response: Response): Promise<void> {
  const place = `${method} ${path} ${response.status}`;
  const described = resolve(operationOf(path, method)?.responses[response.status]);
  expect({ place, described: described !== undefined }).toEqual({ place, described: true });
  const headers = Object.entries<any>(described.headers).filter(([, header]) => resolve(header).required);
  for (const [name] of headers)
    expect({ place, name, value: response.headers.get(name) }).toEqual({
      place,
      name,
      value: expect.any(String),
    });
  const [type, content] = Object.entries<any>(described.content ?? {})[0] ?? [];
  const text = await (type?.startsWith("text/event-stream") ? beginningOf(response) : response.text());
  if (text === "")
    return expect({ place, empty: content === undefined || method === "HEAD" }).toEqual({
      place,
      empty: true,
    });
  if (type !== ANY_TYPE)
    expect({ place, type: response.headers.get("content-type") }).toEqual({ place, type: type! });
  if (type === "application/json")
    expect({ place, problems: validatorOf(content.schema)(JSON.parse(text)) }).toEqual({
      place,
      problems: [],
    });
}

test("is valid OpenAPI 3.1, and small enough to be sent at once", async () => {
  expect(await new Validator().validate(structuredClone(document))).toEqual({ valid: true });
  expect(document.openapi).toBe("3.1.0");
  expect(JSON.stringify(document).length).toBeLessThan(LARGE_BYTES);
});

test("a validator finds what is wrong with one that is not", async () => {
  const wrong = structuredClone(document);
  wrong.paths["/get"].get.parameters[0].in = "nowhere";
  expect(await new Validator().validate(wrong)).toMatchObject({ valid: false });
});

test("every reference leads to something", () => {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, ref]) => ref!);
  expect(references.length).toBeGreaterThan(100);
  for (const $ref of new Set(references))
    expect({ $ref, target: resolve({ $ref }) }).toEqual({ $ref, target: expect.any(Object) });
});

test("describes every route and method, and no other", () => {
  const { routes } = createRoutes({
    protectMetrics: false,
    servesPage: false,
    dialects: [] as readonly DialectName[],
  } as HttpContext);
  const routed = Object.entries(routes).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path.replace(/\*$/, "{key}")}`),
  );
  const described = operations().map(({ path, method }) => `${method} ${path}`);
  const heads = routed
    .filter((route) => route.startsWith("GET "))
    .map((route) => route.replace("GET", "HEAD"));
  expect(described.sort()).toEqual([...routed, ...heads].sort());
  const ids = operations().map(({ about }) => about.operationId);
  expect(new Set(ids).size).toBe(ids.length);
});

test("names the query parameters that an endpoint knows, and no others", async () => {
  for (const { path, method, about } of operations().filter(({ method }) => method !== "HEAD")) {
    const response = await fetch(`${open.http}${pathOf(path)}?nonsense=1`, { method });
    await conforms(path, method, response.clone() as Response);
    const { message } = (await response.json()) as { message: string };
    const names = (about.parameters ?? []).filter((p: any) => p.in === "query").map((p: any) => p.name);
    const known = names.length === 0 ? "none" : `only ${names.join(", ")}`;
    expect({ path, method, message }).toEqual({
      path,
      method,
      message: `"nonsense": unknown query parameter; ${known} is understood here`,
    });
  }
});

describe("tokens", () => {
  test("what is said to need one is refused without it, and all else is not", async () => {
    const said = (await (await fetch(`${guarded.http}/openapi.json`)).json()) as any;
    for (const { path, method } of operations()) {
      const { security, responses } = said.paths[path][method.toLowerCase()];
      const headers: Record<string, string> =
        path === "/ws" ? { Upgrade: "websocket", Connection: "Upgrade", "Sec-WebSocket-Version": "13" } : {};
      if (path === "/ws" && method === "HEAD") continue;
      const response = await fetch(guarded.http + pathOf(path), { method, headers });
      const needs = security.length > 0;
      expect({ path, method, isRefused: response.status === 401 }).toEqual({
        path,
        method,
        isRefused: needs,
      });
      expect({ path, method, is401: "401" in responses }).toEqual({ path, method, is401: needs });
      if (needs) expect(response.headers.get("www-authenticate")).toBe("Bearer");
    }
    expect(said.paths["/metrics"].get.security).toEqual([{ bearer: [] }, { basic: [] }]);
    expect(document.paths["/metrics"].get.security).toEqual([]);
    const { bearer, basic } = said.components.securitySchemes;
    expect([bearer, basic]).toMatchObject([
      { type: "http", scheme: "bearer" },
      { type: "http", scheme: "basic" },
    ]);
    for (const token of [`Bearer ${TOKEN}`, `Basic ${btoa(`anybody:${TOKEN}`)}`]) {
      const { status } = await fetch(`${guarded.http}/metrics`, { headers: { Authorization: token } });
      expect(status).toBe(200);
    }
  });

  test("the document needs none, and has nothing of the configuration", async () => {
    const text = await (await fetch(`${guarded.http}/openapi.json`)).text();
    expect(text).not.toContain(TOKEN);
    expect(Object.keys(JSON.parse(text).paths)).toEqual(Object.keys(document.paths));
  });
});

test("a Host that is not answered gets 403 everywhere", async () => {
  for (const { path, method } of operations()) {
    const response = await fetch(open.http + pathOf(path), { method, headers: { Host: "evil.example" } });
    expect(response.status).toBe(403);
    await conforms(path, method, response);
  }
});

/** Each answer that an endpoint has of its own, in an order that makes it so. */
const CALLS: [method: string, path: string, status: number, init?: RequestInit][] = [
  ["GET", "/", 200],
  ["GET", "/openapi.json", 200],
  ["GET", "/healthz", 200],
  ["GET", "/stats", 200],
  ["GET", "/access", 200],
  ["GET", "/metrics", 200],
  ["POST", "/put", 200, { body: '{"key":"a","value":"1"}' }],
  ["PUT", "/put", 200, { body: '{"key":"byte","value":"/w==","encoding":"base64"}' }],
  ["POST", "/put", 412, { body: '{"key":"a","value":"1","if":"absent"}' }],
  ["PUT", "/put", 412, { body: '{"key":"a","value":"1","ifVersion":1}' }],
  ["POST", "/put", 413, { body: JSON.stringify({ key: "a", value: "x".repeat(1500) }) }],
  ["PUT", "/put", 413, { body: "x".repeat(5000) }],
  ["POST", "/put", 400, { body: "no JSON" }],
  ["GET", "/get?key=a", 200],
  ["GET", "/get?key=byte", 200],
  ["GET", "/get?key=none", 404],
  ["GET", "/get", 400],
  ["GET", `/get?key=${"k".repeat(KEY_BYTES_MAX + 1)}`, 413],
  ["PUT", "/kv/b?ttl=1.5h&if=absent", 204, { body: "value" }],
  ["PUT", "/kv/b?if=absent", 412, { body: "value" }],
  ["PUT", "/kv/b?ttl=soon", 400, { body: "value" }],
  ["PUT", "/kv/b", 413, { body: "x".repeat(2000) }],
  ["GET", "/kv/b", 200],
  ["GET", "/kv/b", 304, { headers: { "If-None-Match": "*" } }],
  ["GET", "/kv/b", 412, { headers: { "If-Match": '"1"' } }],
  ["GET", "/kv/none", 404],
  ["GET", `/kv/${"k".repeat(KEY_BYTES_MAX + 1)}`, 413],
  ["GET", "/kv/leased?lease=5s", 404],
  ["GET", "/kv/leased?lease=5s&wait=1", 404],
  ["PUT", "/kv/leased?lease=1", 412, { body: "computed" }],
  ["DELETE", "/kv/b", 412, { headers: { "If-Match": '"1"' } }],
  ["DELETE", "/kv/b", 204],
  ["DELETE", "/kv/b", 404],
  ["DELETE", `/kv/${"k".repeat(KEY_BYTES_MAX + 1)}`, 413],
  [
    "POST",
    "/batch",
    200,
    {
      body: JSON.stringify([
        { op: "put", key: "c", value: "1", id: [1] },
        { op: "put", key: "c", value: "1", if: "absent" },
        { op: "add", key: "c", delta: "9007199254740993" },
        { op: "get", key: "c" },
        { op: "get", key: "byte" },
        { op: "get", key: "none" },
        { op: "info", key: "c" },
        { op: "touch", key: "c", ttl: 60_000 },
        { op: "info", key: "c" },
        { op: "append", key: "c", value: "x" },
        { op: "scan", prefix: "" },
        { op: "ping", value: "p" },
        { op: "stats" },
        { op: "delete", key: "c" },
        { op: "lease", key: "d" },
        { op: "lease", key: "d" },
        { op: "release", key: "d", token: 1 },
        { op: "put", key: "d", value: "1", ttl: 1000 },
        { op: "lease", key: "d", early: 60_000 },
        { op: "watch", prefix: "" },
        { op: "clear", prefix: "" },
        { op: "boil" },
      ]),
    },
  ],
  ["POST", "/batch", 400, { body: "{}" }],
  ["POST", "/batch", 413, { body: `[${"1,".repeat(2000)}1]` }],
  ["GET", "/events?prefix=a", 200],
  ["GET", `/events?prefix=${"k".repeat(KEY_BYTES_MAX + 1)}`, 413],
  ["GET", "/ws", 400],
];

/** Own answers that no call of this table can have, and where they are seen. */
const SEEN_ELSEWHERE = [
  // Only a client that does not resolve dot segments by itself can send such a path: test/http/http.test.ts.
  "PUT /kv/{key} 404",
  // fetch makes no WebSocket.
  "GET /ws 101",
];

test("what a server answers is what is described, and each answer of an endpoint of its own is one that it gives", async () => {
  const seen = new Set<string>();
  for (const [method, path, status, init] of CALLS) {
    const response = await fetch(open.http + path, { ...init, method });
    expect({ method, path, status: response.status }).toEqual({ method, path, status });
    await conforms(path, method, response);
    seen.add(`${method} ${path.split("?")[0]!.replace(/^\/kv\/.*/, "/kv/{key}")} ${status}`);
    if (method !== "GET" || path.startsWith("/ws")) continue;
    const head = await fetch(open.http + path, { ...init, method: "HEAD" });
    expect(head.status).toBe(status);
    await conforms(path, "HEAD", head);
  }
  const own = operations()
    .filter(({ method }) => method !== "HEAD")
    .flatMap(({ path, method, about }) =>
      Object.entries<any>(about.responses)
        .filter(([, response]) => response.$ref === undefined)
        .map(([status]) => `${method} ${path} ${status}`),
    );
  expect(own.filter((answer) => !seen.has(answer)).sort()).toEqual([...SEEN_ELSEWHERE].sort());
});

describe("leases and held versions", () => {
  const batch = async (...requests: object[]) => {
    const response = await fetch(`${open.http}/batch`, { method: "POST", body: JSON.stringify(requests) });
    await conforms("/batch", "POST", response.clone() as Response);
    return (await response.json()) as { status: string; version: number }[];
  };

  test("have the statuses that an answer is said to have", async () => {
    const [put] = await batch({ op: "put", key: "held", value: "1", ttl: 60_000 });
    const answers = await batch(
      { op: "get", key: "held", version: put!.version },
      { op: "lease", key: "held", early: 120_000 },
      { op: "lease", key: "absent" },
      { op: "lease", key: "absent" },
    );
    expect(answers.map(({ status }) => status)).toEqual(["CURRENT", "HIT_LEASED", "LEASED", "PENDING"]);
  });

  test("have the headers that a 404 is said to have", async () => {
    const { headers } = operationOf("/kv/{key}", "GET").responses[404];
    const optional = Object.keys(headers).filter((name) => !resolve(headers[name]).required);
    expect(optional).toEqual(["Lease", "Retry-After"]);
    for (const name of optional)
      expect((await fetch(`${open.http}/kv/wanted?lease=5s`)).headers.get(name)).toMatch(/\d/);
  });

  test("need a token that is named by the verbs that it is given", () => {
    expect(operationOf("/events", "GET").description).toEndWith("Needs a token that allows GET.");
    expect(operationOf("/kv/{key}", "GET").description).toEndWith("Needs a token that allows GET.");
  });
});

test("the WebSocket opens as it is described", async () => {
  const { parameters } = operationOf("/ws", "GET");
  expect(parameters.map(({ name }: any) => name)).toEqual(["Upgrade", "Sec-WebSocket-Protocol"]);
  const client = await WireClient.connect(open.ws, { protocols: ["breadbox.v1"] });
  expect(client.socket.protocol).toBe("breadbox.v1");
  client.close();
});

test("the schema of a request takes what the server takes, and refuses what it refuses", async () => {
  const problemsOf = validatorOf({ $ref: "#/components/schemas/Request" });
  for (const request of [
    { op: "get", key: "a" },
    { op: "get" },
    { op: "get", key: 1 },
    { op: "get", key: "a", more: true },
    { op: "put", key: "a", value: "1", ttl: 5, ifVersion: 3 },
    { op: "put", key: "a", value: "1", ttl: 0 },
    { op: "put", key: "a", value: "1", if: "never" },
    { op: "put", key: "a", value: "1", encoding: "hex" },
    { op: "add", key: "n", delta: 1 },
    { op: "add", key: "n", value: "-5" },
    { op: "add", key: "n", delta: "one" },
    { op: "scan", prefix: "a", cursor: "0" },
    { op: "scan", cursor: 0 },
    { op: "get", key: "a", version: 0 },
    { op: "put", key: "a", value: "1", lease: 3 },
    { op: "lease", key: "l", ttl: 5, early: 5 },
    { op: "lease", key: "l", ttl: 0 },
    { op: "lease", key: "l", wait: 1 },
    { op: "release", key: "l", token: 3 },
    { op: "release", key: "l" },
    { op: "watch", prefix: "a", noloop: "yes" },
    { op: "unwatch", keys: 1 },
    { op: "ping", id: { any: ["thing"] } },
    { op: "boil" },
    [],
  ]) {
    const body = JSON.stringify([request]);
    const [answer] = (await (await fetch(`${open.http}/batch`, { method: "POST", body })).json()) as any;
    const isTaken = !["MALFORMED", "UNKNOWN_OP"].includes(answer.code);
    expect({ request, isTaken: problemsOf(request).length === 0 }).toEqual({ request, isTaken });
  }
  const putProblems = validatorOf({ $ref: "#/components/schemas/PutBody" });
  expect(putProblems({ key: "a", value: "b", ttl: 1, if: "present" })).toEqual([]);
  expect(putProblems({ key: "a" })).toHaveLength(1);
});
