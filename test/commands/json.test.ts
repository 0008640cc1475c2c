/** What a JSON request may cost before it is known what it asks for, and who asks: its id, and what its token forbids. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { parseJson } from "../../src/protocol/json";
import { LIMITS } from "../support/small-session";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const ID_BYTES_MAX = 4096;
const bearer = (token: string) => ({ headers: { Authorization: `Bearer ${token}` } });

let server: TestServer;
beforeAll(async () => {
  server = await startServer({
    flags: ["--workers", "1", "--token", "all-of-it", "--read-token", "reading"],
  });
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
  expect(server.log()).not.toContain("error");
});

/** Answers to one text over both ways that JSON requests come. */
async function answers(token: string, text: string): Promise<any[]> {
  const client = await WireClient.connect(server.ws, bearer(token));
  client.sendText(text);
  const overText = JSON.parse((await client.message()) as string);
  expect(await client.askJson({ op: "stats" })).toMatchObject({ status: "OK" });
  client.close();
  const post = await fetch(`${server.http}/batch`, { method: "POST", body: `[${text}]`, ...bearer(token) });
  const overHttp: any = await post.json();
  return [overText, Array.isArray(overHttp) ? overHttp[0] : overHttp];
}

describe("an id", () => {
  test("of megabytes of nested arrays is refused at once, and the connection stays", async () => {
    const deep = "[".repeat(61) + "]".repeat(61);
    const id = `[${Array(64_000).fill(deep).join(",")}]`;
    for (const answer of await answers("all-of-it", `{"op":"ping","id":${id}}`)) {
      expect(answer).toMatchObject({ status: "ERROR" });
      expect(answer.message).toContain("values in one message (--max-batch)");
    }
  });

  test(`comes back unchanged up to ${ID_BYTES_MAX} bytes of JSON text`, async () => {
    for (const id of [
      0,
      null,
      false,
      "",
      {},
      [[[]]],
      { a: [1, "ü", { b: null }] },
      "x".repeat(ID_BYTES_MAX - 2),
    ])
      for (const answer of await answers("all-of-it", JSON.stringify({ op: "ping", id })))
        expect(answer).toEqual({ status: "OK", id });
  });

  test("a byte longer, it is an error that does not repeat it", async () => {
    for (const id of [
      "x".repeat(ID_BYTES_MAX - 1),
      "ü".repeat(ID_BYTES_MAX / 2),
      Array(ID_BYTES_MAX / 2).fill(1),
    ])
      for (const answer of await answers(
        "all-of-it",
        JSON.stringify({ op: "put", key: "k", value: "v", id }),
      ))
        expect(answer).toEqual({
          status: "ERROR",
          code: "MALFORMED",
          message: expect.stringContaining(`at most ${ID_BYTES_MAX} are allowed`),
        });
    expect((await answers("all-of-it", '{"op":"get","key":"k"}'))[0]).toMatchObject({ status: "MISS" });
  });
});

test("what a token may not do is answered so before the rest of the request is looked at", async () => {
  const fields = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`field${i}`, i]));
  for (const answer of await answers("reading", JSON.stringify({ op: "put", key: 5, value: {}, ...fields })))
    expect(answer).toMatchObject({ status: "ERROR", code: "FORBIDDEN" });
});

test("an error names a few unknown fields, not all of a message", async () => {
  const fields = Object.fromEntries(
    Array.from({ length: 1000 }, (_, i) => [`field${i}`.padEnd(100, "x"), i]),
  );
  for (const answer of await answers("all-of-it", JSON.stringify({ op: "ping", ...fields }))) {
    expect(answer).toMatchObject({ status: "ERROR", code: "MALFORMED" });
    expect(answer.message).toStartWith("field0xxx");
    expect(answer.message.length).toBeLessThan(400);
  }
});

test("as many requests as are allowed may have all of their fields", () => {
  const request = {
    ...{ op: "put", key: "k", value: "v", encoding: "utf8", ttl: 1, if: "present", ifVersion: 1 },
    id: { number: 1, of: [1, 2] },
  };
  const text = JSON.stringify(Array(LIMITS.batchRequestsMax).fill(request));
  expect(parseJson(text, "it", LIMITS)).toHaveLength(LIMITS.batchRequestsMax);
});

test("answers that have no room are left out, but none of what has changed something", async () => {
  const small = await startServer({ flags: ["--max-message", "200kb", "--max-value", "100kb"] });
  const client = await WireClient.connect(small.ws);
  const value = "x".repeat(90_000);
  for (const key of ["a", "b", "c", "d"])
    expect(await client.askJson({ op: "put", key, value, ttl: 60_000 })).toMatchObject({ status: "OK" });
  const get = (key: string) => ({ op: "get", key });
  const lease = (key: string) => ({ op: "lease", key, early: 120_000 });
  const [, , leased, last] = await client.askJson([get("a"), get("b"), lease("c"), lease("d")]);
  expect(leased).toMatchObject({ status: "HIT_LEASED", value, token: expect.any(Number) });
  expect(last).toMatchObject({ status: "ERROR", code: "BUSY" });
  // What was refused was not executed.
  expect(await client.askJson(lease("d"))).toMatchObject({ status: "HIT_LEASED" });
  expect(await client.askJson([get("a"), get("b"), get("c")])).toMatchObject([
    { status: "OK" },
    { status: "OK" },
    { status: "ERROR", code: "BUSY" },
  ]);
  const take = (key: string) => ({ op: "getdelete", key });
  expect(await client.askJson([get("a"), get("b"), take("c"), take("d")])).toMatchObject([
    { status: "OK" },
    { status: "OK" },
    { status: "OK", value },
    { status: "ERROR", code: "BUSY" },
  ]);
  expect(await client.askJson([take("c"), { op: "gettouch", key: "d" }])).toMatchObject([
    { status: "MISS", key: "c" },
    { status: "OK", key: "d", value, version: expect.any(Number) },
  ]);
  client.close();
  expect(await small.stop()).toBe(0);
});
