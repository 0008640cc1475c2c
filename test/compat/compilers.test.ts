/** Build caches that speak plain HTTP with /kv: ccache itself, and Gradle's and Bazel's requests as they send them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { ALL, type DialectServer, READ, startDialects } from "../http/dialects/support";
import { missingCommands, testThatNeeds } from "../support/needs";
import { Project } from "./clients";

let dialects: DialectServer;

beforeAll(async () => {
  dialects = await startDialects();
});

afterAll(async () => {
  expect(await dialects.server.stop()).toBe(0);
});

testThatNeeds(missingCommands("ccache", "gcc"), "ccache compiles once, and then hits", async () => {
  const { port } = dialects.server;
  const project = new Project(
    { "a.c": "int answer(void) { return 42; }\n" },
    { CCACHE_DIR: "cache", CCACHE_REMOTE_STORAGE: `http://anybody:${ALL}@127.0.0.1:${port}/kv/ccache` },
  );
  const remote = async () => {
    const statistics = await project.run("ccache --print-stats");
    const count = (name: string) =>
      Number(new RegExp(`^remote_storage_${name}\\s+(\\d+)$`, "m").exec(statistics)![1]);
    return { hits: count("hit"), misses: count("miss"), errors: count("error") };
  };
  await project.run("ccache gcc -c a.c -o first.o");
  expect(await remote()).toEqual({ hits: 0, misses: 1, errors: 0 });
  await project.run("rm -rf cache");
  await project.run("ccache gcc -c a.c -o second.o && cmp first.o second.o");
  expect(await remote()).toEqual({ hits: 1, misses: 0, errors: 0 });
  expect(
    await project.run("ccache gcc -c a.c -o third.o", {
      CCACHE_REMOTE_STORAGE: `http://anybody:wrong@127.0.0.1:${port}/kv/ccache`,
      CCACHE_RECACHE: "1",
    }),
  ).toBe("");
  expect((await remote()).errors).toBe(1);
});

/** Runs curl, and answers with what it printed: the body, and behind it the status. */
async function curl(...args: string[]): Promise<string> {
  const project = new Project({});
  return project.run(`curl -sS -w ' %{http_code}' ${args.map((arg) => `'${arg}'`).join(" ")}`);
}

test("Gradle's HttpBuildCache: Basic unasked, its own type, and Expect on a PUT", async () => {
  const key = "f0b5e1c25e2b4f7f9d6a2d8f3b1c4e5a";
  const url = `${dialects.server.http}/kv/gradle/${key}`;
  const type = "application/vnd.gradle.build-cache-artifact.v2";
  const common = ["-u", `gradle:${ALL}`, "-H", `Accept: ${type}, */*`, "-A", "Gradle/9.2.0"];
  expect(await curl(...common, url)).toContain(" 404");
  const put = [
    "-X",
    "PUT",
    "-H",
    `Content-Type: ${type}`,
    "-H",
    "Expect: 100-continue",
    "--data-binary",
    "artifact",
  ];
  expect(await curl(...common, ...put, url)).toBe(" 204");
  expect(await curl(...common, url)).toBe("artifact 200");
  expect((await dialects.call(`/kv/gradle/${key}`)).headers.get("content-type")).toBe(type);
  expect(await curl("-u", `gradle:${READ}`, ...put, url)).toContain(" 403");
  expect(await curl("-u", "gradle:wrong", url)).toContain(" 401");
});

test("Gradle's PUT of more than is allowed is 413, before the body is sent", async () => {
  const url = `${dialects.server.http}/kv/gradle/large`;
  const project = new Project({ large: "x".repeat(100 * 1024 + 1) });
  const refused = await project.run(
    `curl -sS -v -u gradle:${ALL} -X PUT -H 'Expect: 100-continue' --data-binary @large -w ' %{http_code}' ${url}`,
  );
  expect(refused).toContain(" 413");
  expect((await dialects.call("/kv/gradle/large")).status).toBe(404);
});

test("Bazel's --remote_cache: actions and contents by SHA-256, with the token as a password", async () => {
  const base = dialects.server.http.replace("//", `//bazel:${ALL}@`);
  const content = "the output of an action";
  const digest = new Bun.CryptoHasher("sha256").update(content).digest("hex");
  const put = (path: string, body: string) =>
    curl(
      "-X",
      "PUT",
      "-H",
      "Content-Type: application/octet-stream",
      "-H",
      "Accept: */*",
      "--data-binary",
      body,
      `${base}/kv/bazel${path}`,
    );
  expect(await curl(`${base}/kv/bazel/ac/${digest}`)).toContain(" 404");
  expect(await put(`/cas/${digest}`, content)).toBe(" 204");
  expect(await put(`/ac/${digest}`, "an action")).toBe(" 204");
  expect(await curl(`${base}/kv/bazel/cas/${digest}`)).toBe(`${content} 200`);
  expect(await curl(`${base}/kv/bazel/ac/${digest}`)).toBe("an action 200");
});
