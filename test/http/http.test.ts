/** HTTP as its page says: rows, errors, headers; what the table of cases cannot express. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { parseExposition } from "../support/exposition";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";

let server: TestServer;

beforeAll(async () => {
  server = await startServer({
    flags: [
      "--max-key",
      "64",
      "--max-value",
      "100kb",
      "--max-message",
      "200kb",
      "--allow-origin",
      "https://ok.example",
    ],
  });
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
  expect(server.log()).not.toContain(" error ");
});

const call = (path: string, init?: RequestInit) => fetch(server.http + path, init);
const put = (body: NonNullable<RequestInit["body"]>, headers: Record<string, string> = {}) =>
  call("/put", { method: "POST", body, headers });

async function expectError(response: Response, code: number, ...words: string[]): Promise<void> {
  const body = (await response.json()) as { status: string; message: string };
  expect({ code: response.status, status: body.status }).toEqual({ code, status: "ERROR" });
  expect(Object.keys(body)).toEqual(["status", "message"]);
  expect(response.headers.get("content-type")).toBe("application/json");
  for (const word of words) expect(body.message).toContain(word);
}

/** Sends bytes as they are, and reads until the server closes or `until` is seen. */
function raw(text: string, until = "\0"): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(server.port, "127.0.0.1", () => socket.write(text));
    sockets.push(socket);
    let got = "";
    socket.on("data", (chunk) => {
      got += chunk.toString("latin1");
      if (got.includes(until)) resolve(got);
    });
    socket.on("close", () => resolve(got));
    socket.on("error", reject);
  });
}

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

describe("the two endpoints everyone starts with", () => {
  test("the seed examples, exactly", async () => {
    const stored = await put('{"key":"name", "value":"KeyValueCache"}', {
      "Content-Type": "application/json",
    });
    expect(stored.status).toBe(200);
    expect(await stored.text()).toBe('{"status":"OK","message":"Key inserted/updated successfully."}');
    const got = await call("/get?key=name");
    expect(got.status).toBe(200);
    expect(await got.text()).toBe('{"status":"OK","key":"name","value":"KeyValueCache"}');
    const miss = await call("/get?key=other");
    expect(miss.status).toBe(404);
    expect(await miss.text()).toBe('{"status":"ERROR","message":"Key not found."}');
  });

  test("PUT /put, and any Content-Type without an Origin", async () => {
    const body = '{"key":"ct","value":"1"}';
    expect((await call("/put", { method: "PUT", body })).status).toBe(200);
    expect((await put(body, { "Content-Type": "application/x-www-form-urlencoded" })).status).toBe(200);
    const headers = { Origin: "https://ok.example", "Content-Type": "text/plain" };
    await expectError(await put(body, headers), 400, "Content-Type");
    expect((await put(body, { ...headers, "Content-Type": "application/json; charset=utf-8" })).status).toBe(
      200,
    );
  });

  test("every spelling of the usual body means the same", async () => {
    const spellings = [
      '{"key":"sp","value":"v"}',
      '{ "key" : "sp" , "value" : "v" }',
      ' {"key":"sp","value":"v"} ',
      '{"value":"v","key":"sp"}',
      '{\n"key":"sp",\t"value":"v"\n}',
      '{"key":"s\\u0070","value":"\\u0076"}',
      '{"key":"sp","value":"v","ttl":100000}',
    ];
    for (const body of spellings) {
      await put('{"key":"sp","value":"other"}');
      expect({ body, code: (await put(body)).status }).toEqual({ body, code: 200 });
      expect(await (await call("/get?key=sp")).json()).toEqual({ status: "OK", key: "sp", value: "v" });
    }
  });

  test("values and bodies around the size up to which answers are put together in one buffer", async () => {
    const sizes = [0, 1, 63, 64, 65, 4096, 20_000, 60_000];
    for (let size = 15 * 1024 - 120; size <= 15 * 1024 + 20; size++) sizes.push(size);
    for (const size of sizes) {
      const value = "v".repeat(size);
      expect((await put(JSON.stringify({ key: "sized", value }))).status).toBe(200);
      const answer = (await (await call("/get?key=sized")).json()) as { value: string };
      expect(answer.value === value).toBe(true);
      expect((await (await call("/kv/sized")).text()) === value).toBe(true);
      const raw = await call("/kv/sized", { method: "PUT", body: `${value}"` });
      expect(raw.status).toBe(204);
      const quoted = (await (await call("/get?key=sized")).json()) as { value: string };
      expect(quoted.value === `${value}"`).toBe(true);
    }
  });

  test("answers of one connection after another keep their own key and value", async () => {
    const names = Array.from({ length: 40 }, (_, i) => `own-${i}`);
    for (const name of names) await put(JSON.stringify({ key: name, value: `${name}!`.repeat(name.length) }));
    const answers = await Promise.all(names.map(async (name) => (await call(`/get?key=${name}`)).json()));
    const raws = await Promise.all(names.map(async (name) => (await call(`/kv/${name}`)).text()));
    names.forEach((name, i) => {
      expect(answers[i]).toEqual({ status: "OK", key: name, value: `${name}!`.repeat(name.length) });
      expect(raws[i]).toBe(`${name}!`.repeat(name.length));
    });
  });

  test("a value that is no UTF-8 goes in and comes out as base64", async () => {
    const value = Buffer.from([0xff, 0x00, 0x80]).toString("base64");
    expect((await put(JSON.stringify({ key: "b64", value, encoding: "base64" }))).status).toBe(200);
    expect(await (await call("/get?key=b64")).json()).toEqual({
      status: "OK",
      key: "b64",
      value,
      encoding: "base64",
    });
  });

  test("the query is decoded as a form", async () => {
    await put(JSON.stringify({ key: "a b/ü?&=+", value: "x" }));
    expect((await call("/get?key=a+b%2F%C3%BC%3F%26%3D%2B")).status).toBe(200);
    expect((await call("/get?k%65y=a%20b%2F%c3%bc%3f%26%3d%2b&")).status).toBe(200);
  });

  const WRONG: [body: string, word: string][] = [
    ["", "JSON"],
    ["key=a&value=b", "JSON"],
    ["[]", ""],
    ['{"key":"a"}', "value"],
    ['{"value":"a"}', "key"],
    ['{"key":1,"value":"a"}', "key"],
    ['{"key":"a","value":null}', "value"],
    ['{"key":"","value":"a"}', "key"],
    ['{"key":"a","value":"b","ttl":0}', "ttl"],
    ['{"key":"a","value":"b","ttl":-1}', "ttl"],
    ['{"key":"a","value":"b","ttl":1.5}', "ttl"],
    ['{"key":"a","value":"b","ttl":"10"}', "ttl"],
    ['{"key":"a","value":"b","if":"never"}', "if"],
    ['{"key":"a","value":"b","ifVersion":"1"}', "ifVersion"],
    ['{"key":"a","value":"b","if":"absent","ifVersion":1}', "ifVersion"],
    ['{"key":"a","value":"b"', "JSON"],
    ['{"key":"a","value":"b"}x', "JSON"],
    ['{"key":"a","value":"\u0001"}', "JSON"],
  ];
  for (const [body, word] of WRONG) {
    test(`${JSON.stringify(body)} is 400 and names what is wrong`, async () => {
      await expectError(await put(body), 400, word);
      expect((await call("/get?key=a")).status).toBe(404);
    });
  }

  test("a body that is no UTF-8 is 400", async () => {
    const body = Buffer.concat([Buffer.from('{"key":"a","value":"'), Buffer.from([0xff]), Buffer.from('"}')]);
    await expectError(await put(body as Buffer<ArrayBuffer>), 400, "JSON");
  });

  test("GET /get says what is wrong with its query", async () => {
    await expectError(await call("/get"), 400, "key");
    await expectError(await call("/get?key="), 400, "key");
    await expectError(await call("/get?key=%"), 400, "percent");
    await expectError(await call("/get?key=%ff"), 400, "percent");
    await expectError(await call(`/get?key=${"k".repeat(65)}`), 413, "--max-key", "64");
  });
});

describe("/kv/{key}", () => {
  test("ETags, 304, HEAD, DELETE", async () => {
    const stored = await call("/kv/etag", { method: "PUT", body: "bytes" });
    expect(stored.status).toBe(204);
    const etag = stored.headers.get("etag")!;
    const got = await call("/kv/etag");
    expect(got.headers.get("etag")).toBe(etag);
    expect(got.headers.get("content-length")).toBe("5");
    const unchanged = await call("/kv/etag", { headers: { "If-None-Match": etag } });
    expect({
      code: unchanged.status,
      body: await unchanged.text(),
      etag: unchanged.headers.get("etag"),
    }).toEqual({
      code: 304,
      body: "",
      etag,
    });
    expect((await call("/kv/etag", { headers: { "If-None-Match": '"1", W/"2"' } })).status).toBe(200);
    const head = await call("/kv/etag", { method: "HEAD" });
    expect({
      code: head.status,
      length: head.headers.get("content-length"),
      etag: head.headers.get("etag"),
    }).toEqual({
      code: 200,
      length: "5",
      etag,
    });
    expect((await call("/kv/none", { method: "HEAD" })).status).toBe(404);
    expect((await call("/kv/etag", { headers: { "If-Match": '"1"' } })).status).toBe(412);
    expect((await call("/kv/etag", { headers: { "If-Match": etag } })).status).toBe(200);
    const weak = { method: "PUT", body: "x", headers: { "If-Match": `W/${etag}` } };
    expect((await call("/kv/etag", weak)).status).toBe(412);
    expect((await call("/kv/etag", { method: "DELETE", headers: { "If-Match": '"1"' } })).status).toBe(412);
    expect((await call("/kv/etag", { method: "DELETE", headers: { "If-Match": etag } })).status).toBe(204);
    expect((await call("/kv/etag", { method: "DELETE" })).status).toBe(404);
  });

  test("a version of an earlier life matches nothing now", async () => {
    const old = (await call("/kv/life", { method: "PUT", body: "then" })).headers.get("etag")!;
    const next = await startServer();
    const url = `${next.http}/kv/life`;
    await fetch(url, { method: "PUT", body: "now" });
    expect((await fetch(url, { headers: { "If-None-Match": old } })).status).toBe(200);
    expect((await fetch(url, { method: "PUT", body: "x", headers: { "If-Match": old } })).status).toBe(412);
    expect(await next.stop()).toBe(0);
  });

  test("keys are percent-decoded, slashes are theirs", async () => {
    await call("/kv/a%2Fb%20c", { method: "PUT", body: "1" });
    expect(await (await call("/kv/a/b%20c")).text()).toBe("1");
    expect((await (await call("/get?key=a/b+c")).json()) as unknown).toMatchObject({ value: "1" });
    await expectError(await call("/kv/%ff"), 400, "key");
    await expectError(await call("/kv/", { method: "PUT", body: "1" }), 400, "key");
  });

  test("dot segments that lead out of /kv/ lead to no key: 404, and nothing is stored or read", async () => {
    const head = (line: string) =>
      `${line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx`;
    await call("/kv/defg", { method: "PUT", body: "own" });
    for (const path of ["/kv/../abcdefg", "/kv/%2e%2e/abcdefg", "/kv/a/../../abcdefg", "/kv/../x"])
      for (const method of ["PUT", "DELETE", "GET"])
        expect(await raw(head(`${method} ${path}`))).toContain("404 Not Found");
    expect(await (await call("/kv/defg")).text()).toBe("own");
    for (const line of ["GET /./get?key=defg", "GET /stats/../get?key=defg", "PUT /x/../kv/defg"]) {
      const answer = await raw(head(line));
      expect([line, answer.includes("404 Not Found"), answer.includes("no such path")]).toEqual([
        line,
        true,
        true,
      ]);
    }
  });

  test("ttl must be a positive whole number", async () => {
    for (const ttl of ["0", "-1", "1.5", "x", "", "99999999999999999"])
      await expectError(await call(`/kv/t?ttl=${ttl}`, { method: "PUT", body: "1" }), 400, "ttl");
    expect((await call("/kv/t?ttl=60000", { method: "PUT", body: "1" })).status).toBe(204);
    expect((await call("/kv/t")).status).toBe(200);
  });

  test("a value over the limit is 413 and changes nothing, announced or chunked", async () => {
    await call("/kv/big", { method: "PUT", body: "small" });
    await expectError(
      await call("/kv/big", { method: "PUT", body: Buffer.alloc(102_401) }),
      413,
      "--max-value",
      "102400",
    );
    const chunk = `${(70_000).toString(16)}\r\n${"x".repeat(70_000)}\r\n`;
    const answer = await raw(
      `PUT /kv/big HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}${chunk}0\r\n\r\n`,
      "}",
    );
    expect(answer).toContain(" 413 ");
    expect(await (await call("/kv/big")).text()).toBe("small");
    expect((await call("/kv/big", { method: "PUT", body: Buffer.alloc(102_400) })).status).toBe(204);
  });
});

describe("bodies", () => {
  test("one that announces too much is told the limit before it is sent", async () => {
    for (const path of ["/put", "/kv/huge"]) {
      const answer = await raw(
        `PUT ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000000\r\n\r\nx`,
        "}",
      );
      expect(answer).toContain(" 413 ");
      expect(answer).toContain(path === "/put" ? "--max-message" : "--max-value");
    }
  });

  test("one that breaks off stores nothing and is no fault of the server's", async () => {
    for (const head of [
      "Content-Length: 10\r\n\r\nhalf",
      "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ]) {
      const socket = connect(server.port, "127.0.0.1");
      const closed = new Promise((resolve) => socket.on("close", resolve));
      socket.end(`PUT /kv/broken HTTP/1.1\r\nHost: localhost\r\n${head}`);
      socket.resume();
      await closed;
    }
    expect((await call("/kv/broken")).status).toBe(404);
    expect(server.log()).not.toContain(" error ");
  });
});

describe("/batch", () => {
  test("one wrong item is answered in its place", async () => {
    const response = await call("/batch", {
      method: "POST",
      body: JSON.stringify([
        { op: "put", key: "ba", value: "1" },
        { op: "get" },
        7,
        { op: "get", key: "ba", id: 3 },
      ]),
    });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual([
      { status: "OK", version: expect.any(Number) },
      { status: "ERROR", code: "MALFORMED", message: expect.stringContaining("key") },
      { status: "ERROR", code: "MALFORMED", message: expect.any(String) },
      { status: "OK", key: "ba", value: "1", version: expect.any(Number), id: 3 },
    ]);
  });

  test("anything but an array is 400", async () => {
    await expectError(await call("/batch", { method: "POST", body: '{"op":"ping"}' }), 400, "array");
    await expectError(await call("/batch", { method: "POST", body: "x" }), 400, "JSON");
  });

  test("an answer longer than a message may be leaves in pieces, whole and in order", async () => {
    await call("/kv/100k", { method: "PUT", body: Buffer.alloc(100_000, 97) });
    const gets = Array.from({ length: 100 }, (_, id) => ({ op: "get", key: "100k", id }));
    const response = await call("/batch", { method: "POST", body: JSON.stringify(gets) });
    const answers = (await response.json()) as { status: string; value: string; id: number }[];
    expect(answers.map(({ id }) => id)).toEqual(gets.map(({ id }) => id));
    expect(answers.every(({ status, value }) => status === "OK" && value.length === 100_000)).toBe(true);
  });
});

describe("the server itself", () => {
  test("healthz, index, and paths and methods that are not there", async () => {
    expect(await (await call("/healthz")).text()).toBe('{"status":"OK"}');
    expect(await (await call("/")).json()).toMatchObject({ name: "breadbox" });
    await expectError(await call("/nothing"), 404, "path");
    for (const [path, method, allow] of [
      ["/put", "GET", "POST, PUT"],
      ["/get", "POST", "GET, HEAD"],
      ["/kv/x", "POST", "GET, HEAD, PUT, DELETE, PROPFIND, MKCOL"],
      ["/batch", "GET", "POST"],
      ["/stats", "DELETE", "GET, HEAD"],
    ] as const) {
      const response = await call(path, { method });
      expect({ path, allow: response.headers.get("allow") }).toEqual({ path, allow });
      await expectError(response, 405, method);
    }
  });

  test("stats and metrics are the same whichever worker answers", async () => {
    await call("/kv/counted", { method: "PUT", body: "1" });
    const client = await WireClient.connect(server.ws);
    const views = await Promise.all(
      Array.from({ length: 12 }, async () => {
        // A connection of its own, so that the kernel chooses a worker anew.
        const text = await raw("GET /stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        const stats = JSON.parse(text.slice(text.indexOf("\r\n\r\n")));
        // These follow the time, and the requests that ask for them.
        for (const name of ["httpRequests", "httpResponses", "traffic", "eventLoopLag", "uptime"]) {
          expect(stats[name]).toBeDefined();
          delete stats[name];
        }
        return stats;
      }),
    );
    for (const view of views) expect(view).toEqual(views[0]);
    expect(views[0]).toMatchObject({ workers: 2, connections: 1, version: expect.any(String) });
    expect(views[0].shards.length).toBeGreaterThan(0);
    for (const name of [
      "entries",
      "bytesUsed",
      "bytesMax",
      "hits",
      "misses",
      "puts",
      "evictions",
      "expirations",
    ]) {
      const sum = views[0].shards.reduce((total: number, shard: any) => total + shard[name], 0);
      expect({ name, sum }).toEqual({ name, sum: views[0][name] });
    }
    client.close();
  });

  test("metrics are valid exposition text with the promised names", async () => {
    const response = await call("/metrics");
    expect(response.headers.get("content-type")).toContain("version=0.0.4");
    const { types } = parseExposition(await response.text());
    for (const name of [
      "keyspace_hits_total",
      "keyspace_misses_total",
      "evicted_keys_total",
      "expired_keys_total",
      "memory_used_bytes",
      "memory_max_bytes",
      "connected_clients",
      "commands_total",
      "uptime_in_seconds",
    ])
      expect([...types.keys()]).toContain(`breadbox_${name}`);
  });

  test("pipelined requests are answered in order", async () => {
    await call("/kv/p1", { method: "PUT", body: "one" });
    await call("/kv/p2", { method: "PUT", body: "two" });
    const get = (key: string) => `GET /get?key=${key} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    const text = await raw(
      get("p1") + get("p2") + get("none") + get("p1").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
    );
    expect(text.match(/"value":"\w+"|not found/g)).toEqual([
      '"value":"one"',
      '"value":"two"',
      "not found",
      '"value":"one"',
    ]);
  });

  test("origins: foreign ones are refused, its own and listed ones are not", async () => {
    const origin = (value: string) => call("/get?key=o", { headers: { Origin: value } });
    await expectError(await origin("https://evil.example"), 403, "rigin");
    await expectError(await origin("null"), 403, "rigin");
    expect((await origin("https://ok.example")).status).toBe(404);
    expect((await origin(server.http)).status).toBe(404);
  });
});

describe("tokens", () => {
  let guarded: TestServer;
  beforeAll(async () => {
    guarded = await startServer({
      flags: ["--read-token", "reader-token", "--log-level", "debug"],
      env: { BREADBOX_TOKEN: "writer-token" },
    });
  });
  afterAll(async () => {
    expect(await guarded.stop()).toBe(0);
    expect(guarded.log()).not.toContain("writer-token");
    expect(guarded.log()).not.toContain("reader-token");
  });
  const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });

  test("none or a wrong one is 401 with WWW-Authenticate", async () => {
    for (const headers of [
      {},
      bearer("wrong"),
      bearer("writer-tokenx"),
      { Authorization: "Basic d3JpdGVyLXRva2Vu" },
    ]) {
      for (const path of ["/get?key=a", "/kv/a", "/stats"]) {
        const response = await fetch(guarded.http + path, { headers: headers as Record<string, string> });
        expect(response.headers.get("www-authenticate")).toBe("Bearer");
        const text = await response.clone().text();
        expect(text).not.toContain("writer-token");
        await expectError(response, 401, "token");
      }
    }
    expect((await fetch(`${guarded.http}/batch`, { method: "POST", body: "[]" })).status).toBe(401);
  });

  test("healthz and metrics need none", async () => {
    expect((await fetch(`${guarded.http}/healthz`)).status).toBe(200);
    expect((await fetch(`${guarded.http}/metrics`)).status).toBe(200);
  });

  test("the reader reads, the writer writes, over HTTP", async () => {
    const write = (token: string) =>
      fetch(`${guarded.http}/kv/t`, { method: "PUT", body: "1", headers: bearer(token) });
    await expectError(await write("reader-token"), 403, "read");
    expect((await write("writer-token")).status).toBe(204);
    expect(await (await fetch(`${guarded.http}/kv/t`, { headers: bearer("reader-token") })).text()).toBe("1");
    const answers = await fetch(`${guarded.http}/batch`, {
      method: "POST",
      headers: bearer("reader-token"),
      body: '[{"op":"get","key":"t"},{"op":"delete","key":"t"}]',
    });
    expect((await answers.json()) as unknown).toMatchObject([
      { status: "OK" },
      { status: "ERROR", code: "FORBIDDEN" },
    ]);
  });

  test("over WebSocket: header or subprotocol, which is never selected", async () => {
    const encoded = Buffer.from("reader-token").toString("base64url");
    const reader = await WireClient.connect(guarded.ws, { protocols: ["breadbox.v1", `bearer.${encoded}`] });
    expect(reader.socket.protocol).toBe("breadbox.v1");
    const { request } = await import("../support/frames");
    const [write, read] = await reader.ask(
      request({ op: 2, key: "a", value: Buffer.from("x") }),
      request({ op: 1, key: "a" }),
    );
    expect(write).toMatchObject({ status: "ERROR", code: 0x85 });
    expect(read).toEqual({ status: "MISS" });
    reader.close();
    const writer = await WireClient.connect(guarded.ws, { headers: bearer("writer-token") });
    expect(await writer.ask(request({ op: 2, key: "a", value: Buffer.from("x") }))).toEqual([
      { status: "OK" },
    ]);
    writer.close();
    const alone = await WireClient.connect(guarded.ws, { protocols: [`bearer.${encoded}`] }).catch(
      () => null,
    );
    // Clients differ on whether they want one of the offered names back; what counts is that the token never is.
    expect(alone?.socket.protocol ?? "").toBe("");
    alone?.close();
    expect(WireClient.connect(guarded.ws)).rejects.toThrow();
    expect(
      WireClient.connect(guarded.ws, { protocols: ["breadbox.v1", "bearer.d3Jvbmc"] }),
    ).rejects.toThrow();
  });
});
