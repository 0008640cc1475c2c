/** A time to live of 0 is an error, whichever way it comes; it changes nothing, and the connection goes on. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Fields, type Reply, request } from "../support/frames";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const [GET, PUT, TOUCH, ADD] = [1, 2, 4, 5];
const NOT_A_NUMBER = 0x84;
const ONE = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);

let server: TestServer;
let client: WireClient;
beforeAll(async () => {
  server = await startServer();
  client = await WireClient.connect(server.ws);
  await client.ask(request({ op: PUT, key: "k", value: Buffer.from("5") }));
});
afterAll(async () => {
  client.close();
  expect(await server.stop()).toBe(0);
});

const get = (key = "k") => request({ op: GET, key });
const FIVE: Reply = { status: "VALUE", value: Buffer.from("5") };
const REFUSED: Reply = { status: "ERROR", code: NOT_A_NUMBER, message: expect.stringContaining("ttlMs") };

for (const [name, fields] of [
  ["PUT", { op: PUT, key: "k", value: Buffer.from("other") }],
  ["TOUCH", { op: TOUCH, key: "k" }],
  ["ADD", { op: ADD, key: "k", value: ONE }],
] as [string, Fields][])
  test(`frames, ${name}: NOT_A_NUMBER in its place, and the batch goes on`, async () => {
    const answers = await client.ask(get(), request({ ...fields, ttlMs: 0n }), get());
    expect(answers).toEqual([FIVE, REFUSED, FIVE]);
  });

test("frames, for what is not there: nothing is created, and a ttl of 1 is one", async () => {
  const answers = await client.ask(
    request({ op: PUT, key: "new", value: ONE, ttlMs: 0n }),
    request({ op: ADD, key: "new", value: ONE, ttlMs: 0n }),
    request({ op: TOUCH, key: "new", ttlMs: 0n }),
    get("new"),
    request({ op: PUT, key: "new", value: ONE, ttlMs: 1n }),
  );
  expect(answers).toEqual([REFUSED, REFUSED, REFUSED, { status: "MISS" }, { status: "OK" }]);
});

test("text, POST /put and PUT /kv: an error as well", async () => {
  expect(await client.askJson({ op: "put", key: "k", value: "other", ttl: 0 })).toMatchObject({
    status: "ERROR",
    message: expect.stringContaining("ttl"),
  });
  const body = JSON.stringify({ key: "k", value: "other", ttl: 0 });
  expect((await fetch(`${server.http}/put`, { method: "POST", body })).status).toBe(400);
  expect((await fetch(`${server.http}/kv/k?ttl=0`, { method: "PUT", body: "other" })).status).toBe(400);
  expect(await client.ask(get())).toEqual([FIVE]);
});
