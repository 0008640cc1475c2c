/** What sccache sends beside the methods of /kv. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { ALL, type DialectServer, expectSafe, READ, scoped, startDialects } from "./support";

let dialects: DialectServer;
const call: DialectServer["call"] = (path, init) => dialects.call(path, init);
const propfind = (path: string, token = ALL, depth = "0") =>
  call(path, { method: "PROPFIND", token, headers: { Depth: depth, "Content-Type": "application/xml" } });

beforeAll(async () => {
  dialects = await startDialects();
});

afterAll(async () => {
  expect(await dialects.server.stop()).toBe(0);
});

test("every collection is there, and making one stores nothing", async () => {
  for (const path of ["/kv/", "/kv/sccache/", "/kv/sccache/a/b/"])
    for (const depth of ["0", "1"]) {
      const found = await propfind(path, ALL, depth);
      expect([found.status, found.headers.get("content-type")]).toEqual([
        207,
        "application/xml; charset=utf-8",
      ]);
      const text = await found.text();
      expect(text).toContain(`<D:href>${path}</D:href>`);
      expect(text).toContain("<D:resourcetype><D:collection/></D:resourcetype>");
    }
  expect((await call("/kv/sccache/a/", { method: "MKCOL" })).status).toBe(201);
  expect((await call("/kv/sccache/a/")).status).toBe(404);
  expect((await call("/kv/sccache/a", { method: "MKCOL" })).status).toBe(409);
});

test("an entry has its length, tag and type, escaped; a miss is 404", async () => {
  const type = 'text/x; a="<&>"';
  const put = await call("/kv/sccache/a/b%26c", {
    method: "PUT",
    body: "12345",
    headers: { "Content-Type": type },
  });
  const found = await propfind("/kv/sccache/a/b%26c");
  expectSafe(found);
  const text = await found.text();
  expect(text).toContain("<D:href>/kv/sccache/a/b%26c</D:href>");
  expect(text).toContain("<D:resourcetype/>");
  expect(text).toContain("<D:getcontentlength>5</D:getcontentlength>");
  expect(text).toContain(`<D:getetag>${put.headers.get("etag")}</D:getetag>`);
  expect(text).toContain('<D:getcontenttype>text/x; a="&lt;&amp;&gt;"</D:getcontenttype>');
  expect((await propfind("/kv/sccache/none")).status).toBe(404);
});

test("asks for the rights of what it does: a reader looks, and makes nothing", async () => {
  await call("/kv/sccache/k", { method: "PUT", body: "1" });
  expect((await propfind("/kv/sccache/k", READ)).status).toBe(207);
  expect((await call("/kv/sccache/", { method: "MKCOL", token: READ })).status).toBe(403);
  const inside = scoped("sccache/", ["get", "put"]);
  const outside = scoped("other/", ["get", "put"]);
  expect((await propfind("/kv/sccache/k", inside)).status).toBe(207);
  expect((await propfind("/kv/sccache/k", outside)).status).toBe(403);
  expect((await call("/kv/sccache/", { method: "MKCOL", token: inside })).status).toBe(201);
  expect((await call("/kv/sccache/", { method: "MKCOL", token: null })).status).toBe(401);
});

test("a method that is known elsewhere only is 405, and the other way round", async () => {
  expect((await call("/get", { method: "PROPFIND" })).status).toBe(405);
  const refused = await call("/kv/a", { method: "POST" });
  expect([refused.status, refused.headers.get("allow")]).toEqual([
    405,
    "GET, HEAD, PUT, DELETE, PROPFIND, MKCOL",
  ]);
});
