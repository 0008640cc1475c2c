/** The client's reference: every example in CLIENT.md and at the methods is run and type-checked, and nothing is left out. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Cache, connect, JsonView, Namespace } from "../../src/client/client";
import { Near } from "../../src/client/near/near";
import { startServer, type TestServer } from "../support/server";
import { temporaryPath } from "../support/temporary";
import { blocksOf, claimsOf, documentedIn, type Example, examplesOf, moduleOf } from "./examples";

const ROOT = new URL("../../", import.meta.url).pathname;
const sourceOf = (name: string) => readFileSync(join(ROOT, "src/client", name), "utf8");
const REFERENCE = sourceOf("CLIENT.md");
const documented = [
  "client.ts",
  "cache.ts",
  "namespace.ts",
  "json-view.ts",
  "near/near.ts",
  "errors.ts",
].flatMap((file) => documentedIn(sourceOf(file)).map((item) => ({ ...item, name: `${file}: ${item.name}` })));
const examples: Example[] = [
  ...blocksOf(REFERENCE, "ts").map((code, i) => ({ name: `CLIENT.md, block ${i + 1}`, code })),
  ...documented.flatMap(examplesOf),
];
let server: TestServer;
let root: Cache;

beforeAll(async () => {
  server = await startServer();
  root = await connect(server.http);
});

afterAll(async () => {
  await root.close();
  expect(await server.stop()).toBe(0);
});

/** Its module in a file. */
function fileOf(example: Example, index: number): string {
  const file = temporaryPath(`example-${index}.ts`);
  writeFileSync(file, moduleOf(example, server.ws));
  return file;
}

describe("every example runs, and what its comments claim is so", () => {
  for (const [index, example] of examples.entries())
    test(example.name, async () => {
      await root.clear();
      const child = Bun.spawn([process.execPath, fileOf(example, index)], { stdout: "pipe", stderr: "pipe" });
      const [stdout, stderr, code] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
        child.exited,
      ]);
      expect({ code, stderr, stdout }).toEqual({ code: 0, stderr: "", stdout: "" });
    });

  test("and they claim something", () => {
    expect(examples.length).toBeGreaterThanOrEqual(37);
    const claims = examples.reduce((sum, example) => sum + claimsOf(example), 0);
    expect(claims).toBeGreaterThanOrEqual(55);
  });
});

test("every example has the right types", async () => {
  const files = examples.map(fileOf);
  const project = temporaryPath("tsconfig.json");
  const compilerOptions = { typeRoots: [join(ROOT, "node_modules")], noUnusedLocals: false };
  writeFileSync(project, JSON.stringify({ extends: join(ROOT, "tsconfig.json"), compilerOptions, files }));
  const child = Bun.spawn([join(ROOT, "node_modules/.bin/tsc"), "-p", project], { stdout: "pipe" });
  expect({ output: await new Response(child.stdout).text(), code: await child.exited }).toEqual({
    output: "",
    code: 0,
  });
});

describe("nothing is left out", () => {
  const PRIVATE = ["constructor", "ask", "getText", "copy", "ttlOf"];
  const methodsOf = ({ prototype }: { prototype: object }) =>
    Object.getOwnPropertyNames(prototype).filter((name) => !PRIVATE.includes(name));
  /** What asks the server for nothing. */
  const WITHOUT_ERRORS = ["json", "close", "peek", "stats"];

  test("every public function has a comment with an example, and every request the errors that it has", () => {
    const named = (file: string, name: string) => documented.find((item) => item.name === `${file}: ${name}`);
    const functions = [
      ["client.ts", "connect"],
      ["client.ts", "open"],
      ...methodsOf(Cache).map((name) => ["cache.ts", name]),
      ...methodsOf(Namespace).map((name) => ["namespace.ts", name === "scan" ? "*scan" : name]),
      ...methodsOf(JsonView).map((name) => ["json-view.ts", name]),
      ...methodsOf(Near).map((name) => ["near/near.ts", name]),
    ];
    expect(functions.length).toBeGreaterThanOrEqual(30);
    for (const [file, name] of functions) {
      const { comment = "" } = named(file!, name!) ?? {};
      expect({ name, hasExample: comment.includes("@example\n") }).toEqual({ name, hasExample: true });
      const says = /^@throws CacheError/m.test(comment) || WITHOUT_ERRORS.includes(name!);
      expect({ name, saysErrors: says }).toEqual({ name, saysErrors: true });
    }
  });

  test("CLIENT.md has every method, option with its default, error and event", () => {
    const hasRow = (cell: string, rest: RegExp = /./) =>
      REFERENCE.split("\n").some((line) => line.startsWith(`| \`${cell}`) && rest.test(line));
    for (const name of [...methodsOf(Cache), ...methodsOf(Namespace)])
      expect({ name, isThere: hasRow(name) }).toEqual({ name, isThere: true });
    for (const name of methodsOf(Near)) expect(hasRow(`near.${name}(`)).toBe(true);
    const errors = sourceOf("errors.ts");
    const codes = [...errors.matchAll(/^ {2}\| "([a-z-]+)"/gm)].map(([, code]) => code!);
    expect(codes.length).toBeGreaterThanOrEqual(18);
    for (const code of codes) expect({ code, isThere: hasRow(`${code}\``) }).toEqual({ code, isThere: true });
    const optionsOf = (table: string, path: string) => {
      const bounds = new RegExp(`const ${table} = \\{([^]*?)\\n\\}`).exec(sourceOf("options.ts"))![1]!;
      const rows = bounds.matchAll(/^ {2}(\w+): \[([^,]+),/gm);
      return [...rows].map(([, name, preset]) => [path + name, preset] as const);
    };
    const options = [...optionsOf("BOUNDS", ""), ...optionsOf("NEAR_BOUNDS", "near.")];
    expect(options.length).toBeGreaterThanOrEqual(12);
    for (const [name, preset] of options) {
      const value = String(eval(preset!));
      expect({ name, isThere: hasRow(`${name}\``, new RegExp(`\\| ${value}\\b`)) }).toEqual({
        name,
        isThere: true,
      });
    }
    for (const name of ["token", "WebSocket", "near", "ttlMs", "failFast"])
      expect(hasRow(`${name}\``)).toBe(true);
    const events = /interface ConnectionEvents \{([^]*?)\n\}/.exec(sourceOf("events.ts"))![1]!;
    for (const [, name] of events.matchAll(/^ {2}(\w+):/gm)) expect(hasRow(`${name}\``)).toBe(true);
  });
});
