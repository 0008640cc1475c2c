/** What Tab offers, asked of a real server. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Cache, connect } from "../../src/client/client";
import { COMPLETION_KEYS_MAX, completions } from "../../src/cli/repl/completion";
import { VERBS } from "../../src/cli/verbs";
import { wordsOf } from "../../src/cli/repl/words";
import { HostileServer } from "../client/hostile-server";
import { startServer, type TestServer } from "../support/server";

let server: TestServer;
let cache: Cache;

beforeAll(async () => {
  server = await startServer();
  cache = await connect(server.ws);
  const keys = ["user:ada", "user:grace", "only one", "it's", 'say "hi"', "line\nbreak", "-dash"];
  await Promise.all(keys.map((key) => cache.put(key, "x")));
});

afterAll(async () => {
  await cache.close();
  expect(await server.stop()).toBe(0);
});

describe("names and options", () => {
  for (const [line, offered, typed] of [
    ["to", ["touch "], "to"],
    ["  wat", ["watch", "watch-stats"], "wat"],
    ["st", ["stats "], "st"],
    ["xy", [], "xy"],
    ["nothing user:", [], "user:"],
    ["help ap", ["append "], "ap"],
    ["help get a", [], "a"],
    ["put k v --", ["--file", "--ttl", "--if", "--if-version", "--json", "--help"], "--"],
    ["put k v --t", ["--ttl "], "--t"],
    ["put k v --if ", ["absent", "present"], ""],
    ["put k v --if p", ["present "], "p"],
    ["put k v --ttl ", [], ""],
    ["put k us", [], "us"],
    ["stats us", [], "us"],
  ] as const)
    test(JSON.stringify(line), async () => {
      expect(await completions(line, cache)).toEqual([[...offered], typed]);
    });

  test("every name at the beginning", async () => {
    expect(await completions("", cache)).toEqual([[...Object.keys(VERBS), "help", "quit"], ""]);
  });
});

describe("keys", () => {
  for (const [line, offered, typed] of [
    ["get us", ["user:ada", "user:grace"], "us"],
    ["get user:ada us", ["user:ada", "user:grace"], "us"],
    ["touch --ttl 60s us", ["user:ada", "user:grace"], "us"],
    ["put 'us", ["'user:ada", "'user:grace"], "'us"],
    ["scan user:g", ["user:grace "], "user:g"],
    ["get onl", ["only\\ one "], "onl"],
    ["get 'onl", ["'only one' "], "'onl"],
    ['get "onl', ['"only one" '], '"onl'],
    ["get o'n'l", ["o'n'ly\\ one "], "o'n'l"],
    ["get it", ["it\\'s "], "it"],
    ["get 'it", ["'it'\\''s' "], "'it"],
    ['get "sa', ['"say \\"hi\\"" '], '"sa'],
    ["get li", ["line$'\\n'break "], "li"],
    ['get "li', ['"line"$\'\\n\'"break" '], '"li'],
    ["get -", ["--delete", "--null", "--json", "--help"], "-"],
    ["get -- -", ["-dash "], "-"],
    ["get only\\", [], "only\\"],
  ] as const)
    test(line, async () => {
      expect(await completions(line, cache)).toEqual([[...offered], typed]);
      if (offered.length === 1) expect(await cache.info(wordsOf(offered[0]!)[0]!)).not.toBeNull();
    });

  test("more than can be shown: so many, and that there are more, so that nothing is filled in", async () => {
    const keys = Array.from({ length: COMPLETION_KEYS_MAX + 1 }, (_, i) => `many:${i}`);
    await Promise.all(keys.map((key) => cache.put(key, "x")));
    const [offered] = await completions("get man", cache);
    expect(offered).toHaveLength(COMPLETION_KEYS_MAX + 1);
    expect(offered.at(-1)).toBe("(more)");
    await cache.delete(keys[0]!);
    const [all] = await completions("get man", cache);
    expect(all.sort()).toEqual(keys.slice(1).sort());
  });

  test("of a server that does not answer: none, and no error", async () => {
    await using silent = new HostileServer([{}]);
    const waiting = await connect(silent.url);
    expect(await completions("get us", waiting)).toEqual([[], "us"]);
    await waiting.close();
  });
});
