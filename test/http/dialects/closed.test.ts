/** A dialect that is closed has no paths: what it would answer is answered as any unknown path is. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { DIALECTS } from "../../../src/http/dialects/names";
import { type DialectServer, startDialects } from "./support";

let dialects: DialectServer;

beforeAll(async () => {
  dialects = await startDialects(DIALECTS.map((name) => `--no-${name}`));
});

afterAll(async () => {
  expect(await dialects.server.stop()).toBe(0);
});

test("404, whatever the method and the token", async () => {
  for (const path of [
    ...["/v8/artifacts/1", "/v8/artifacts", "/v8/artifacts/status", "/v8/artifacts/events", "/v1/cache/1"],
    ...["/unstorage", "/unstorage/a", "/unstorage/:", "/upstash", "/upstash/pipeline", "/upstash/get/a"],
  ])
    for (const method of ["GET", "PUT", "POST", "DELETE", "OPTIONS"])
      for (const token of ["all-token", null]) {
        const { status } = await dialects.call(path, { method, token });
        expect({ path, method, status }).toEqual({ path, method, status: 404 });
      }
});

test("405 for the verbs of WebDAV, whose paths are there for other methods", async () => {
  for (const method of ["PROPFIND", "MKCOL"]) {
    const refused = await dialects.call("/kv/a/", { method });
    expect([refused.status, refused.headers.get("allow")]).toEqual([405, "GET, HEAD, PUT, DELETE"]);
  }
});
