/** What npm publishes: the right files, which work where they are installed, in every runtime, for compilers, and by npx. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, normalize } from "node:path";
import { chromium } from "playwright-core";
import { COMMANDS, installClients, NODE_22 } from "../compat/clients";
import { CHROMIUM, MISSING_CHROMIUM, QUIET } from "../support/chromium";
import { run, runAny } from "../support/command";
import { startServer, type TestServer } from "../support/server";
import { temporaryPath } from "../support/temporary";
import { MANIFEST, pack, type Packed, projectWith, ROOT } from "./packed";

const BUN = process.execPath;
const NAME: string = MANIFEST.name;
const MAY_TAKE_MS = 120_000;
const PACKED_BYTES_MAX = 600_000;
let packed: Packed;
let project: string;

beforeAll(async () => {
  packed = await pack();
  project = await projectWith(packed.tarball, `ws@${MANIFEST.devDependencies.ws}`);
  await installClients();
}, MAY_TAKE_MS);

/** What a module imports, and what a page refers to. */
const IMPORTS = /(?:\bfrom |\bimport |import\(|src=|href=)"(\.[^"]+?)(?:\.js)?"/g;

/** The files that are reached from some by the imports that `pattern` finds. */
function reachedFrom(entries: readonly string[], ending: string, directory: string): string[] {
  const reached = new Set<string>();
  const visit = (path: string) => {
    if (reached.has(path)) return;
    reached.add(path);
    const text = readFileSync(join(directory, path), "utf8");
    for (const [, relative] of text.matchAll(IMPORTS)) {
      const other = normalize(join(dirname(path), relative!));
      if (!other.endsWith(".json")) visit(/\.(ts|html|css|svg)$/.test(other) ? other : other + ending);
    }
  };
  for (const entry of entries) visit(entry);
  return [...reached].sort();
}

describe("the tarball", () => {
  const below = (folder: string, ending: string) =>
    packed.files
      .map(({ path }) => path)
      .filter((path) => path.startsWith(folder) && path.endsWith(ending))
      .sort();

  test("holds what the server, its command line and the client consist of, their documents, and nothing else", () => {
    const entries = MANIFEST.scripts["build:binary"].match(/src\/\S+\.ts/g);
    expect(entries).toContain("src/bin.ts");
    const sources = reachedFrom(entries, ".ts", ROOT);
    for (const ending of [".ts", ".html", ".css", ".svg"])
      expect(below("src/", ending)).toEqual(sources.filter((path) => path.endsWith(ending)));

    const exported = Object.values<{ types?: string; default?: string }>(MANIFEST.exports);
    const declared = exported.flatMap(({ types }) => (types === undefined ? [] : [normalize(types)]));
    const declarations = reachedFrom(declared, ".d.ts", join(project, "node_modules", NAME));
    // Here each import ends with .js, and stands for a .d.ts.
    expect(below("dist/types/", ".d.ts")).toEqual(declarations);

    const modules = exported.flatMap((entry) =>
      entry.default === undefined ? [] : [normalize(entry.default)],
    );
    expect(modules).toContain("dist/client.js");
    const documents = below("src/", ".md");
    expect(documents).toEqual([
      "src/adapters/README.md",
      "src/cli/CLI.md",
      "src/client/CLIENT.md",
      "src/config/CONFIGURATION.md",
      "src/http/HTTP.md",
      "src/http/dialects/README.md",
      "src/origin/ORIGIN.md",
      "src/protocol/PROTOCOL.md",
    ]);
    const top = ["LICENSE", "README.md", "bin/breadbox", "package.json"];
    expect(packed.files.map(({ path }) => path).sort()).toEqual(
      [...top, ...modules, ...declarations, ...documents, ...sources].sort(),
    );
  });

  test("is small", () => {
    expect(packed.bytes).toBeLessThan(PACKED_BYTES_MAX);
  });

  test("installs what the server needs, and no more", () => {
    const installed = readdirSync(join(project, "node_modules")).filter((name) => !name.startsWith("."));
    const manifest = (name: string) =>
      JSON.parse(readFileSync(join(project, "node_modules", name, "package.json"), "utf8"));
    const wanted = new Set([NAME, "ws"]);
    for (const name of wanted)
      for (const other of Object.keys(manifest(name).dependencies ?? {})) wanted.add(other);
    expect(Object.keys(manifest(NAME).dependencies)).toEqual(["iovalkey", "jose", "uplot", "zod"]);
    // Of a scope only its directory shows.
    expect(installed.sort()).toEqual([...new Set([...wanted].map((name) => name.split("/")[0]!))].sort());
  });
});

describe("the client, installed", () => {
  let server: TestServer;
  let site: Bun.Server<undefined>;

  beforeAll(async () => {
    site = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      routes: {
        "/": new Response("<!doctype html><title>page</title>", { headers: { "Content-Type": "text/html" } }),
        "/app.js": () => new Response(Bun.file(join(project, "bundle.js"))),
      },
    });
    server = await startServer({ flags: ["--allow-origin", `http://127.0.0.1:${site.port}`] });
  });

  afterAll(async () => {
    await site.stop(true);
    expect(await server.stop()).toBe(0);
  });

  /** A module that uses the client, and what it finds. */
  const program = (prelude = "", options = "") => `
    import { CacheError, connect } from "${NAME}/client";
    ${prelude}
    export async function use(url) {
      const cache = await connect(url, { ${options} });
      await cache.put("crust", "brown", { ttlMs: 60_000 });
      const values = await cache.many(["crust", "nothing"]);
      const code = await cache.add("crust").catch((error) => error instanceof CacheError && error.code);
      await cache.close();
      return JSON.stringify([...values, code]);
    }
  `;
  const FOUND = '["brown",null,"not-a-number"]';
  const WS = 'import { WebSocket } from "ws";';

  for (const [name, command, prelude, options] of [
    ["Node with the ws package", () => "node", WS, "WebSocket"],
    ["Node 22 with its own WebSocket", () => NODE_22, "", ""],
    ["Bun", () => BUN, "", ""],
  ] as const)
    test(`works in ${name}`, async () => {
      const file = `${name.replaceAll(" ", "-")}.mjs`;
      const main = `console.log(process.version, await use(${JSON.stringify(server.http)}));`;
      writeFileSync(join(project, file), program(prelude, options) + main);
      const [version, found] = (await run([command(), file], { cwd: project })).trim().split(" ");
      expect(found).toBe(FOUND);
      if (name.startsWith("Node 22")) expect(version).toStartWith("v22.");
    });

  test.skipIf(MISSING_CHROMIUM)("works in a browser, in a bundle by esbuild", async () => {
    writeFileSync(join(project, "app.js"), program());
    const esbuild = join(COMMANDS, "esbuild");
    await run([esbuild, "app.js", "--bundle", "--format=esm", "--outfile=bundle.js"], { cwd: project });
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: QUIET });
    try {
      const page = await browser.newPage();
      await page.goto(`http://127.0.0.1:${site.port}/`);
      const found = await page.evaluate(
        async (url) => (await import("/app.js" as string)).use(url),
        server.http,
      );
      expect(found).toBe(FOUND);
    } finally {
      await browser.close();
    }
  });
});

describe("the declarations", () => {
  const tsc = join(ROOT, "node_modules/.bin/tsc");

  for (const [module, moduleResolution] of [
    ["nodenext", "nodenext"],
    ["esnext", "bundler"],
  ] as const)
    test(`are found and hold with moduleResolution ${moduleResolution}`, async () => {
      const code = `
        import { type Cache, connect } from "${NAME}/client";
        const cache: Cache = await connect("ws://localhost", { near: {} });
        export const text: string | null = await cache.get("key");
        // @ts-expect-error: there is no such option
        await cache.put("key", "value", { ttl: 5 });
        // @ts-expect-error: a value may be missing
        export const sure: string = await cache.get("key");
      `;
      const directory = join(project, moduleResolution);
      mkdirSync(directory);
      writeFileSync(join(directory, "use.ts"), code);
      const strict = { strict: true, noEmit: true, skipLibCheck: false, types: [] };
      const compilerOptions = {
        ...strict,
        module,
        moduleResolution,
        target: "esnext",
        lib: ["esnext", "dom"],
      };
      writeFileSync(join(directory, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["use.ts"] }));
      expect(await runAny([tsc, "-p", directory])).toEqual({ code: 0, stdout: "", stderr: "" });
    });

  test("and the whole package pass Are The Types Wrong", async () => {
    // Modules of Node's newer kind only: a program of the older kind uses import().
    const { code, stdout } = await runAny([
      ...[join(COMMANDS, "attw"), packed.tarball],
      ...["--profile", "esm-only", "--no-color", "--no-emoji", "--format", "json"],
    ]);
    const { analysis } = JSON.parse(stdout);
    expect(Object.keys(analysis.entrypoints).sort()).toEqual(Object.keys(MANIFEST.exports).sort());
    if (code !== 0) throw new Error(stdout);
  });

  test("and the whole package pass publint", async () => {
    expect(await run([join(COMMANDS, "publint"), "run", packed.tarball, "--strict"])).toContain("All good!");
  });
});

/** The commands that npx, npm's scripts and the package's own command need, and no Bun, unless one is given. */
function pathWith(commands: Record<string, string>): string {
  const directory = temporaryPath(`path-${crypto.randomUUID()}`);
  mkdirSync(directory);
  for (const name of ["sh", "dirname", "readlink", "sort", "head"])
    symlinkSync(Bun.which(name)!, join(directory, name));
  for (const [name, file] of Object.entries(commands)) symlinkSync(file, join(directory, name));
  return directory;
}

describe("npx", () => {
  const node = { node: Bun.which("node")!, npm: Bun.which("npm")!, npx: Bun.which("npx")! };
  const inProject = () => [Bun.which("env")!, "-C", project];

  /** Starts, serves, the page too, and ends with npx: no process is left that has its standard error. */
  async function expectServer(launcher: string[], env: Record<string, string>): Promise<TestServer> {
    const server = await startServer({ launcher: (flags) => [...launcher, "serve", ...flags], env });
    expect(await (await fetch(`${server.http}/healthz`)).text()).toContain("OK");
    const page = await (await fetch(server.http, { headers: { Accept: "text/html" } })).text();
    const linked = [...page.matchAll(/(?:href|src)="(\/[^"]+)"/g)].map(([, path]) => path!);
    expect(linked.length).toBe(3);
    for (const path of linked) expect((await fetch(server.http + path)).status).toBe(200);
    server.process.kill("SIGTERM");
    expect(await server.silent).toContain("answering what has come in, then closing");
    return server;
  }

  test(
    "starts the server from the tarball, and ends it",
    async () => {
      const npx = ["npx", "--yes", "--package", packed.tarball, "breadbox"];
      const env = { PATH: pathWith({ ...node, bun: BUN }), npm_config_cache: temporaryPath("npm") };
      const server = await expectServer(npx, env);
      expect(server.log()).not.toContain("npx runs");
    },
    MAY_TAKE_MS,
  );

  for (const [name, bun, reason] of [
    ["where there is no Bun", undefined, "there is no Bun on the PATH"],
    ["where Bun is too old", "1.4.4", "Bun 1.4.4 on the PATH is older than 1.4.5"],
    ["where Bun is far too old", "0.10.12", "Bun 0.10.12 on the PATH is older than 1.4.5"],
  ] as const)
    test(
      `starts the server with npm's Bun ${name}, says so, and ends it`,
      async () => {
        const others: Record<string, string> = bun === undefined ? {} : { bun: fakeBun(bun) };
        const env = { PATH: pathWith({ ...node, ...others }) };
        const server = await expectServer([...inProject(), "npx", "breadbox"], env);
        expect(server.log()).toContain(`breadbox: ${reason}, so npx runs bun@1.4.5\n`);
      },
      MAY_TAKE_MS,
    );

  test("passes what it was asked for on to the command, and nothing to the npx within", async () => {
    const env = { ...process.env, PATH: pathWith(node) };
    const version = `breadbox ${MANIFEST.version}\n`;
    for (const call of [
      ["breadbox", "--version"],
      ["--package", NAME, "breadbox", "--version"],
      ["-c", "breadbox --version"],
    ])
      expect(await run(["npx", ...call], { cwd: project, env })).toBe(version);
  });

  test("without npx and Bun the command says what to install", async () => {
    const command = join(project, "node_modules/.bin/breadbox");
    expect(await runAny([command, "--version"], { env: { PATH: pathWith({}) } })).toEqual({
      code: 127,
      stdout: "",
      stderr: "breadbox: there is no Bun on the PATH; install it: https://bun.sh/docs/installation\n",
    });
  });

  test("a Bun that is new enough is the one that runs", async () => {
    const command = join(project, "node_modules/.bin/breadbox");
    for (const version of ["1.4.5", "1.4.10", "1.10.0", "2.0.0-canary.1"]) {
      const ran = await runAny([command, "x"], { env: { PATH: pathWith({ bun: fakeBun(version) }) } });
      expect(ran).toEqual({ code: 0, stdout: `${version} runs bin.ts x\n`, stderr: "" });
    }
  });
});

/** A `bun` that says it is of this version, and what it is to run. */
function fakeBun(version: string): string {
  const file = temporaryPath(`bun-${version}`);
  if (existsSync(file)) return file;
  const script = `[ "$1" = --version ] && echo ${version} || echo "${version} runs \${1##*/} $2"`;
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  return file;
}

test("the version of Bun is the same wherever it stands", () => {
  const { engines, devDependencies, scripts } = MANIFEST;
  expect(engines.bun).toBe(`>=${devDependencies["bun-types"]}`);
  expect(scripts.prepack).toContain(`bun@${devDependencies["bun-types"]} `);
  const launcher = readFileSync(join(ROOT, "bin/breadbox"), "utf8");
  expect(launcher).toContain(`\nNEEDED=${devDependencies["bun-types"]}\n`);
});
